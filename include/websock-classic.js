// Made from websock.js by tests/browser/build.mjs: it sets window.Websock.
(() => {
    "use strict";

    // A byte stream over WebSocket: messages go into one receive queue, which is read by bytes, numbers and strings.
    //
    // The names are those of noVNC's Websock and of the first websock.js of websockify. What the comments here
    // say briefly, docs/websock.md shows with an example for each member. `websock-classic.js` is made from
    // this file, for pages without modules.

    /** The initial size of a queue, in bytes. It grows. */
    const QUEUE_BYTES = 64 << 10;

    /** The default of the largest size of the receive queue, in bytes. */
    const RECEIVE_BYTES_MAX = 40 << 20;

    /** Bytes of a string that are decoded at a time: more arguments in one call may overflow the stack. */
    const PIECE_BYTES = 4096;

    /** The code of the Close frame if data comes too fast for its reader: 3000 to 4999 are for applications. */
    const TOO_MUCH = 4009;

    /** The members that make something a channel. */
    const MEMBERS = ["send", "close", "binaryType", "onerror", "onmessage", "onopen", "protocol", "readyState"];

    /** WebSocket's states, by number. An RTCDataChannel uses these words. */
    const STATES = /** @type {const} */ (["connecting", "open", "closing", "closed"]);

    /**
     * @typedef {"unused" | "connecting" | "open" | "closing" | "closed" | "unknown"} ReadyState
     * @typedef {"open" | "message" | "close" | "error"} EventName
     * @typedef {ArrayLike<number> | ArrayBuffer | ArrayBufferView} Bytes
     */

    /**
     * What carries the bytes: a WebSocket, an RTCDataChannel or something that looks like one.
     *
     * @typedef {object} Channel
     * @property {string} binaryType
     * @property {number | string} readyState
     * @property {string} protocol
     * @property {string} [url]
     * @property {number} [bufferedAmount]
     * @property {((event: any) => void) | null} onopen
     * @property {((event: any) => void) | null} onmessage
     * @property {((event: any) => void) | null} onerror
     * @property {((event: any) => void) | null} [onclose]
     * @property {(data: any) => void} send
     * @property {(code?: number, reason?: string) => void} close
     */

    /**
     * @typedef {object} Options
     * @property {number} [receiveSize] Initial size of the receive queue, in bytes.
     * @property {number} [receiveMax] Largest size of the receive queue, in bytes.
     * @property {number} [sendSize] Initial size of the send queue, in bytes.
     */

    /**
     * Its events are `open`, `message`, `close` and `error`. `message` carries no data and comes while there are unread
     * bytes, which are in the queue.
     */
    class Websock extends EventTarget {
        /** @type {Channel | null} */
        #channel = null;
        /** @type {string | string[] | undefined} */
        #protocols = undefined;
        /** @type {Map<string, (event?: any) => void>} */
        #handlers = new Map();

        /** The receive queue: bytes [#read, #end) are unread, those before are read and stay until the next message. */
        #received;
        #read = 0;
        #end = 0;
        #receiveMax;

        /** The send queue: bytes [0, #queued) wait for `flush`. */
        #sending;
        #queued = 0;

        /** @param {Options} [options] */
        constructor({ receiveSize = QUEUE_BYTES, receiveMax = RECEIVE_BYTES_MAX, sendSize = QUEUE_BYTES } = {}) {
            super();
            this.#receiveMax = receiveMax;
            this.#received = new Uint8Array(Math.max(1, Math.min(receiveSize, receiveMax)));
            this.#sending = new Uint8Array(Math.max(1, sendSize));
        }

        // ---- the connection

        /**
         * Connects. The address may be relative to the page, and `http` stands for `ws`. Without protocols none are
         * requested. Bytes that were queued before are sent once the connection is open.
         *
         * @param {string | URL} uri
         * @param {string | string[]} [protocols]
         * @throws {SyntaxError | TypeError} The address is invalid.
         */
        open(uri, protocols = this.#protocols) {
            this.attach(/** @type {Channel} */ (new WebSocket(address(uri), protocols ?? [])));
        }

        /**
         * Uses an existing channel; if it is open already, there is no `open` event.
         *
         * @param {Channel} channel
         * @throws {TypeError} It lacks a member that a channel must have.
         */
        attach(channel) {
            const lacking = MEMBERS.filter((name) => !(name in Object(channel)));
            if (lacking.length > 0) throw new TypeError(`not a channel: ${lacking.join(", ")} missing`);
            if (channel !== this.#channel) this.#drop();
            this.#emptyReceived();
            this.#channel = channel;
            channel.binaryType = "arraybuffer";
            channel.onopen = () => {
                this.flush();
                this.#tell("open", undefined, new Event("open"));
            };
            channel.onmessage = ({ data }) => this.#receive(data);
            channel.onerror = (event) => this.#tell("error", event, new Event("error"));
            channel.onclose = (event) => {
                this.#queued = 0;
                this.#tell("close", event, sameClose(event));
            };
            this.flush();
        }

        /**
         * Empties both queues and drops the connection, which is closed without an event.
         *
         * @param {string | string[]} [protocols] What `open` requests when it is given none.
         */
        init(protocols) {
            this.#protocols = protocols;
            this.#drop();
            this.#emptyReceived();
            this.#queued = 0;
        }

        /**
         * Closes the connection. Messages that still arrive are dropped; the `close` event comes. What is queued and not
         * flushed is lost.
         *
         * @param {number} [code] 1000, or 3000 to 4999.
         * @param {string} [reason] At most 123 bytes of UTF-8.
         */
        close(code, reason) {
            const channel = this.#channel;
            if (channel === null || !["connecting", "open"].includes(this.readyState)) return;
            // First, because it throws for invalid codes, and then nothing must have changed.
            if (code === undefined) channel.close();
            else channel.close(code, reason);
            channel.onmessage = () => {};
            this.#queued = 0;
        }

        /** @returns {ReadyState} */
        get readyState() {
            if (this.#channel === null) return "unused";
            const state = this.#channel.readyState;
            if (typeof state === "number") return STATES[state] ?? "unknown";
            return STATES.find((word) => word === state) ?? "unknown";
        }

        /** The sub-protocol that the server chose; empty if none. */
        get protocol() {
            return this.#channel?.protocol ?? "";
        }

        /** The address that it is connected to; empty if there is none. */
        get url() {
            return this.#channel?.url ?? "";
        }

        /** Bytes that were flushed and that the browser has not sent yet. */
        get bufferedAmount() {
            return this.#channel?.bufferedAmount ?? 0;
        }

        // ---- events

        /**
         * Sets the one handler of an event; it replaces an earlier one. `addEventListener` adds others. `open` and
         * `message` call it without an argument, `close` and `error` with the channel's event.
         *
         * @param {EventName} name
         * @param {(event?: any) => void} handler
         */
        on(name, handler) {
            this.#handlers.set(name, handler);
        }

        /** Removes the handler that `on` has set. @param {EventName} name */
        off(name) {
            this.#handlers.delete(name);
        }

        // ---- reading. A call that asks for more bytes than there are throws a RangeError and takes none.

        /** How many bytes are unread. */
        rQlen() {
            return this.#end - this.#read;
        }

        /**
         * Whether fewer than `wanted` bytes are unread; then `goback` bytes that were read before become unread again,
         * so that the next `message` begins with them.
         *
         * @param {string} _what For readers of the calling code.
         * @param {number} wanted
         * @param {number} [goback]
         * @throws {RangeError} Fewer than `goback` bytes were read since this message came.
         */
        rQwait(_what, wanted, goback = 0) {
            if (this.rQlen() >= wanted) return false;
            if (goback !== 0) {
                if (!(goback > 0 && goback <= this.#read)) {
                    throw new RangeError(`rQwait: ${this.#read} bytes can be given back, not ${goback}`);
                }
                this.#read -= goback;
            }
            return true;
        }

        /** The next byte, which stays unread. */
        rQpeek8() {
            return this.#received[this.#need("rQpeek8", 1)];
        }

        /** The next byte. */
        rQshift8() {
            return this.#received[this.#take("rQshift8", 1)];
        }

        /** The next two bytes as a number, most significant first. */
        rQshift16() {
            return this.#number("rQshift16", 2);
        }

        /** The next four bytes as a number from 0 to 4294967295, most significant first. */
        rQshift32() {
            return this.#number("rQshift32", 4);
        }

        /**
         * The next bytes as a string, one character for each (Latin-1).
         *
         * @param {number} [length] All by default.
         */
        rQshiftStr(length = this.rQlen()) {
            const from = this.#take("rQshiftStr", length);
            let text = "";
            for (let at = from; at < from + length; at += PIECE_BYTES) {
                const piece = this.#received.subarray(at, Math.min(at + PIECE_BYTES, from + length));
                text += String.fromCharCode(...piece);
            }
            return text;
        }

        /**
         * The next bytes.
         *
         * @param {number} [length] All by default.
         * @param {boolean} [copy] Without a copy they are only valid until the next message.
         */
        rQshiftBytes(length = this.rQlen(), copy = true) {
            const from = this.#take("rQshiftBytes", length);
            return this.#bytes(from, from + length, copy);
        }

        /**
         * The next bytes, which stay unread.
         *
         * @param {number} [length] All by default.
         * @param {boolean} [copy] Without a copy they are only valid until the next message.
         */
        rQpeekBytes(length = this.rQlen(), copy = true) {
            const from = this.#need("rQpeekBytes", length);
            return this.#bytes(from, from + length, copy);
        }

        /**
         * Unread bytes from `start` to `end`, counted from the next one; they stay unread.
         *
         * @param {number} start
         * @param {number} [end] All from `start` on by default.
         */
        rQslice(start, end = this.rQlen()) {
            const from = this.#need("rQslice", end);
            if (!(Number.isInteger(start) && start >= 0 && start <= end)) {
                throw new RangeError(`rQslice: from ${start} to ${end}`);
            }
            return this.#bytes(from + start, from + end, true);
        }

        /**
         * Moves the next bytes to the beginning of `target`.
         *
         * @param {Uint8Array} target
         * @param {number} [length] As many as fit into `target` by default.
         */
        rQshiftTo(target, length = target.length) {
            if (length > target.length) {
                throw new RangeError(`rQshiftTo: ${length} bytes don't fit into ${target.length}`);
            }
            const from = this.#take("rQshiftTo", length);
            target.set(this.#received.subarray(from, from + length));
        }

        /** Skips the next bytes. @param {number} length */
        rQskipBytes(length) {
            this.#take("rQskipBytes", length);
        }

        /** Skips the next byte. */
        rQskip8() {
            this.#take("rQskip8", 1);
        }

        /** Puts a byte in front of the unread ones. @param {number} byte */
        rQunshift8(byte) {
            if (this.#read === 0) {
                this.#makeRoom(1);
                this.#received.copyWithin(1, 0, this.#end);
                this.#read += 1;
                this.#end += 1;
            }
            this.#read -= 1;
            this.#received[this.#read] = byte;
        }

        /** All bytes that are still in the queue, including those read since this message came. */
        rQwhole() {
            return this.#bytes(0, this.#end, true);
        }

        /** The receive queue itself; `rQi` is the index of the next byte in it. A view: see `rQshiftBytes`. */
        get rQ() {
            return this.#bytes(0, this.#end, false);
        }

        /** The index of the next byte in `rQ`. */
        get rQi() {
            return this.#read;
        }

        set rQi(place) {
            if (!(Number.isInteger(place) && place >= 0 && place <= this.#end)) {
                throw new RangeError(`rQi: ${place} is not between 0 and ${this.#end}`);
            }
            this.#read = place;
        }

        /** The bytes that wait for `flush`, as a view. */
        get sQ() {
            return this.#sending.subarray(0, this.#queued);
        }

        /** `rQ`. */
        get_rQ() {
            return this.rQ;
        }

        /** `rQi`. */
        get_rQi() {
            return this.rQi;
        }

        /** Sets `rQi`. @param {number} place */
        set_rQi(place) {
            this.rQi = place;
        }

        /** `sQ`. */
        get_sQ() {
            return this.sQ;
        }

        // ---- writing

        /** Queues a byte. @param {number} number */
        sQpush8(number) {
            this.#queue(number, 1);
        }

        /** Queues two bytes, most significant first. @param {number} number */
        sQpush16(number) {
            this.#queue(number, 2);
        }

        /** Queues four bytes, most significant first. @param {number} number */
        sQpush32(number) {
            this.#queue(number, 4);
        }

        /** Queues a string, one byte for each character: the low byte of its code, not UTF-8. @param {string} text */
        sQpushString(text) {
            this.sQpushBytes(Uint8Array.from({ length: text.length }, (_, at) => text.charCodeAt(at)));
        }

        /** Queues bytes. @param {Bytes} bytes */
        sQpushBytes(bytes) {
            const more = asBytes(bytes);
            this.#reserve(more.length);
            this.#sending.set(more, this.#queued);
            this.#queued += more.length;
        }

        /**
         * Sends what is queued as one binary message. Before the connection is open it stays queued until it
         * opens; after its end it is dropped.
         *
         * @returns {boolean} Whether it was sent or will be.
         */
        flush() {
            switch (this.readyState) {
                case "open":
                    if (this.#queued > 0) {
                        // A copy: some channels send later, and the queue is reused at once.
                        this.#channel?.send(this.#sending.slice(0, this.#queued));
                        this.#queued = 0;
                    }
                    return true;
                case "unused":
                case "connecting":
                case "unknown":
                    return true;
                case "closing":
                case "closed":
                    this.#queued = 0;
                    return false;
            }
        }

        /**
         * Queues bytes and sends the queue.
         *
         * @param {Bytes} bytes
         * @returns {boolean} Whether they were sent or will be.
         */
        send(bytes) {
            this.sQpushBytes(bytes);
            return this.flush();
        }

        /**
         * Queues a string as `sQpushString` does, and sends the queue.
         *
         * @param {string} text
         * @returns {boolean} Whether it was sent or will be.
         */
        sendString(text) {
            this.sQpushString(text);
            return this.flush();
        }

        /**
         * The original name of `sendString`.
         *
         * @param {string} text
         * @returns {boolean}
         */
        send_string(text) {
            return this.sendString(text);
        }

        // ---- private

        /**
         * The index of the next byte, if there are `length` bytes.
         *
         * @param {string} caller
         * @param {number} length
         */
        #need(caller, length) {
            if (!(Number.isInteger(length) && length >= 0 && length <= this.rQlen())) {
                throw new RangeError(`${caller}: ${length} bytes wanted, ${this.rQlen()} there`);
            }
            return this.#read;
        }

        /**
         * The index of the next bytes, which count as read from now on.
         *
         * @param {string} caller
         * @param {number} length
         */
        #take(caller, length) {
            const from = this.#need(caller, length);
            this.#read += length;
            return from;
        }

        /** @param {string} caller @param {number} length */
        #number(caller, length) {
            const from = this.#take(caller, length);
            // Not with <<, which would make the number negative if the highest bit is set.
            return this.#received.subarray(from, from + length).reduce((number, byte) => number * 256 + byte, 0);
        }

        /**
         * @param {number} from
         * @param {number} to
         * @param {boolean} copy
         */
        #bytes(from, to, copy) {
            return copy ? this.#received.slice(from, to) : this.#received.subarray(from, to);
        }

        /** @param {ArrayBuffer | string} data A message. */
        #receive(data) {
            const bytes = typeof data === "string" ? new TextEncoder().encode(data) : new Uint8Array(data);
            // Bytes that were read are dropped, so views of them are no longer valid.
            this.#received.copyWithin(0, this.#read, this.#end);
            this.#end -= this.#read;
            this.#read = 0;
            try {
                this.#makeRoom(bytes.length);
            } catch (error) {
                this.close(TOO_MUCH, "the receive queue is full");
                const full = () => Object.assign(new Event("error"), { error });
                this.#tell("error", full(), full());
                return;
            }
            this.#received.set(bytes, this.#end);
            this.#end += bytes.length;
            if (this.rQlen() > 0) this.#tell("message", undefined, new Event("message"));
        }

        /** Makes room for `length` more bytes in the receive queue. @param {number} length */
        #makeRoom(length) {
            const wanted = this.#end + length;
            if (wanted > this.#receiveMax) {
                throw new RangeError(`the receive queue would need ${wanted} bytes and has at most ${this.#receiveMax}`);
            }
            this.#received = grown(this.#received, this.#end, wanted, this.#receiveMax);
        }

        #emptyReceived() {
            this.#read = 0;
            this.#end = 0;
        }

        /** Makes room for `length` more bytes in the send queue. @param {number} length */
        #reserve(length) {
            this.#sending = grown(this.#sending, this.#queued, this.#queued + length, Infinity);
        }

        /** @param {number} number @param {number} length */
        #queue(number, length) {
            this.#reserve(length);
            for (let shift = 8 * (length - 1); shift >= 0; shift -= 8) {
                this.#sending[this.#queued] = number >>> shift;
                this.#queued += 1;
            }
        }

        /** Drops the channel. */
        #drop() {
            const channel = this.#channel;
            if (channel === null) return;
            this.#channel = null;
            channel.onopen = channel.onmessage = channel.onerror = channel.onclose = null;
            channel.close();
        }

        /**
         * Calls the handler and then the listeners.
         *
         * @param {EventName} name
         * @param {Event | undefined} argument The handler's argument.
         * @param {Event} event What listeners get: an event that has not been dispatched.
         */
        #tell(name, argument, event) {
            const handler = this.#handlers.get(name);
            try {
                if (argument === undefined) handler?.();
                else handler?.(argument);
            } finally {
                this.dispatchEvent(event);
            }
        }
    }

    /** A WebSocket's address: absolute, with the scheme ws or wss. @param {string | URL} uri */
    function address(uri) {
        const url = new URL(uri, globalThis.location?.href);
        url.protocol = url.protocol.replace(/^http/, "ws");
        return url.href;
    }

    /** @param {Bytes} bytes @returns {ArrayLike<number>} */
    function asBytes(bytes) {
        if (bytes instanceof ArrayBuffer) return new Uint8Array(bytes);
        if (ArrayBuffer.isView(bytes)) return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        return bytes;
    }

    /**
     * A queue with room for `wanted` bytes that has the first `used` of this one: this one if it is large enough, or
     * one at least twice as large.
     *
     * @param {Uint8Array<ArrayBuffer>} queue
     * @param {number} used
     * @param {number} wanted
     * @param {number} most
     */
    function grown(queue, used, wanted, most) {
        if (wanted <= queue.length) return queue;
        const larger = new Uint8Array(Math.min(most, Math.max(wanted, 2 * queue.length)));
        larger.set(queue.subarray(0, used));
        return larger;
    }

    /** An event can't be dispatched again: this is a copy. @param {any} event */
    function sameClose({ code, reason, wasClean }) {
        return Object.assign(new Event("close"), { code, reason, wasClean });
    }

    window.Websock = Websock;
})();
