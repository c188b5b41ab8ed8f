/**
 * @typedef {"unused" | "connecting" | "open" | "closing" | "closed" | "unknown"} ReadyState
 * @typedef {"open" | "message" | "close" | "error"} EventName
 * @typedef {ArrayLike<number> | ArrayBuffer | ArrayBufferView} Bytes
 */
/**
 * What bytes travel by: a WebSocket, an RTCDataChannel or something that looks like one.
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
 * @property {number} [receiveSize] Room of the receive queue at first, in bytes.
 * @property {number} [receiveMax] What the receive queue may grow to, in bytes.
 * @property {number} [sendSize] Room of the send queue at first, in bytes.
 */
/**
 * Its events are `open`, `message`, `close` and `error`. `message` carries no data and comes while there are unread
 * bytes: what it is about stands in the queue.
 */
export default class Websock extends EventTarget {
    /** @param {Options} [options] */
    constructor({ receiveSize, receiveMax, sendSize }?: Options);
    /**
     * Connects. The address may be relative to the page, and `http` stands for `ws`. Without protocols none is
     * asked for. Bytes that were queued before are sent once the connection is open.
     *
     * @param {string | URL} uri
     * @param {string | string[]} [protocols]
     * @throws {SyntaxError | TypeError} The address is none.
     */
    open(uri: string | URL, protocols?: string | string[]): void;
    /**
     * Takes a channel that somebody else has made; it may be open already, and then there is no `open` event.
     *
     * @param {Channel} channel
     * @throws {TypeError} It lacks what a channel has to have.
     */
    attach(channel: Channel): void;
    /**
     * Empties both queues and lets go of the connection, which is closed without an event.
     *
     * @param {string | string[]} [protocols] What `open` asks for when it is told none.
     */
    init(protocols?: string | string[]): void;
    /**
     * Closes the connection. Messages that still come are dropped; the `close` event comes. What is queued and not
     * flushed is lost.
     *
     * @param {number} [code] 1000, or 3000 to 4999.
     * @param {string} [reason] At most 123 bytes of UTF-8.
     */
    close(code?: number, reason?: string): void;
    /** @returns {ReadyState} */
    get readyState(): ReadyState;
    /** The sub-protocol that the server has chosen; empty if none. */
    get protocol(): string;
    /** The address that it is connected to; empty if there is none. */
    get url(): string;
    /** Bytes that were flushed and that the browser has not handed to the network yet. */
    get bufferedAmount(): number;
    /**
     * Sets the one handler of an event; it replaces an earlier one. `addEventListener` adds others. `open` and
     * `message` call it without an argument, `close` and `error` with the channel's event.
     *
     * @param {EventName} name
     * @param {(event?: any) => void} handler
     */
    on(name: EventName, handler: (event?: any) => void): void;
    /** Takes the handler away that `on` has set. @param {EventName} name */
    off(name: EventName): void;
    /** How many bytes are unread. */
    rQlen(): number;
    /**
     * Whether fewer than `wanted` bytes are unread; then `goback` bytes that were read before become unread again,
     * so that the next `message` begins with them.
     *
     * @param {string} _what For people who read the caller.
     * @param {number} wanted
     * @param {number} [goback]
     * @throws {RangeError} So many were not read since this message came.
     */
    rQwait(_what: string, wanted: number, goback?: number): boolean;
    /** The next byte, which stays unread. */
    rQpeek8(): number;
    /** The next byte. */
    rQshift8(): number;
    /** The next two bytes as a number, the high one first. */
    rQshift16(): number;
    /** The next four bytes as a number from 0 to 4294967295, the highest one first. */
    rQshift32(): number;
    /**
     * The next bytes as a string, one character for each (Latin-1).
     *
     * @param {number} [length] All, if not given.
     */
    rQshiftStr(length?: number): string;
    /**
     * The next bytes.
     *
     * @param {number} [length] All, if not given.
     * @param {boolean} [copy] Without a copy they are good until the next message only.
     */
    rQshiftBytes(length?: number, copy?: boolean): Uint8Array<ArrayBuffer>;
    /**
     * The next bytes, which stay unread.
     *
     * @param {number} [length] All, if not given.
     * @param {boolean} [copy] Without a copy they are good until the next message only.
     */
    rQpeekBytes(length?: number, copy?: boolean): Uint8Array<ArrayBuffer>;
    /**
     * Unread bytes from `start` to `end`, counted from the next one; they stay unread.
     *
     * @param {number} start
     * @param {number} [end] All behind `start`, if not given.
     */
    rQslice(start: number, end?: number): Uint8Array<ArrayBuffer>;
    /**
     * Moves the next bytes to the beginning of `target`.
     *
     * @param {Uint8Array} target
     * @param {number} [length] As many as `target` has room for, if not given.
     */
    rQshiftTo(target: Uint8Array, length?: number): void;
    /** Passes over the next bytes. @param {number} length */
    rQskipBytes(length: number): void;
    /** Passes over the next byte. */
    rQskip8(): void;
    /** Puts a byte in front of the unread ones. @param {number} byte */
    rQunshift8(byte: number): void;
    /** All bytes of the queue that are still there, those read since this message came included. */
    rQwhole(): Uint8Array<ArrayBuffer>;
    /** The receive queue itself; `rQi` is the place of the next byte in it. A view: see `rQshiftBytes`. */
    get rQ(): Uint8Array<ArrayBuffer>;
    set rQi(place: number);
    /** The place of the next byte in `rQ`. */
    get rQi(): number;
    /** What waits for `flush`, as a view. */
    get sQ(): Uint8Array<ArrayBuffer>;
    /** `rQ`. */
    get_rQ(): Uint8Array<ArrayBuffer>;
    /** `rQi`. */
    get_rQi(): number;
    /** Sets `rQi`. @param {number} place */
    set_rQi(place: number): void;
    /** `sQ`. */
    get_sQ(): Uint8Array<ArrayBuffer>;
    /** Queues a byte. @param {number} number */
    sQpush8(number: number): void;
    /** Queues two bytes, the high one first. @param {number} number */
    sQpush16(number: number): void;
    /** Queues four bytes, the highest one first. @param {number} number */
    sQpush32(number: number): void;
    /** Queues a string, one byte for each character: the low one of its code, not UTF-8. @param {string} text */
    sQpushString(text: string): void;
    /** Queues bytes. @param {Bytes} bytes */
    sQpushBytes(bytes: Bytes): void;
    /**
     * Sends what is queued as one binary message. Before the connection is open it stays queued, and goes when it
     * opens; behind its end it is dropped.
     *
     * @returns {boolean} Whether it was sent or will be.
     */
    flush(): boolean;
    /**
     * Queues bytes and sends the queue.
     *
     * @param {Bytes} bytes
     * @returns {boolean} Whether they were sent or will be.
     */
    send(bytes: Bytes): boolean;
    /**
     * Queues a string as `sQpushString` does, and sends the queue.
     *
     * @param {string} text
     * @returns {boolean} Whether it was sent or will be.
     */
    sendString(text: string): boolean;
    /**
     * `sendString` by its first name.
     *
     * @param {string} text
     * @returns {boolean}
     */
    send_string(text: string): boolean;
    #private;
}
export type ReadyState = "unused" | "connecting" | "open" | "closing" | "closed" | "unknown";
export type EventName = "open" | "message" | "close" | "error";
export type Bytes = ArrayLike<number> | ArrayBuffer | ArrayBufferView;
/**
 * What bytes travel by: a WebSocket, an RTCDataChannel or something that looks like one.
 */
export type Channel = {
    binaryType: string;
    readyState: number | string;
    protocol: string;
    url?: string | undefined;
    bufferedAmount?: number | undefined;
    onopen: ((event: any) => void) | null;
    onmessage: ((event: any) => void) | null;
    onerror: ((event: any) => void) | null;
    onclose?: ((event: any) => void) | null | undefined;
    send: (data: any) => void;
    close: (code?: number, reason?: string) => void;
};
export type Options = {
    /**
     * Room of the receive queue at first, in bytes.
     */
    receiveSize?: number | undefined;
    /**
     * What the receive queue may grow to, in bytes.
     */
    receiveMax?: number | undefined;
    /**
     * Room of the send queue at first, in bytes.
     */
    sendSize?: number | undefined;
};
