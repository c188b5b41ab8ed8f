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
export default class Websock extends EventTarget {
    /** @param {Options} [options] */
    constructor({ receiveSize, receiveMax, sendSize }?: Options);
    /**
     * Connects. The address may be relative to the page, and `http` stands for `ws`. Without protocols none are
     * requested. Bytes that were queued before are sent once the connection is open.
     *
     * @param {string | URL} uri
     * @param {string | string[]} [protocols]
     * @throws {SyntaxError | TypeError} The address is invalid.
     */
    open(uri: string | URL, protocols?: string | string[]): void;
    /**
     * Uses an existing channel; if it is open already, there is no `open` event.
     *
     * @param {Channel} channel
     * @throws {TypeError} It lacks a member that a channel must have.
     */
    attach(channel: Channel): void;
    /**
     * Empties both queues and drops the connection, which is closed without an event.
     *
     * @param {string | string[]} [protocols] What `open` requests when it is given none.
     */
    init(protocols?: string | string[]): void;
    /**
     * Closes the connection. Messages that still arrive are dropped; the `close` event comes. What is queued and not
     * flushed is lost.
     *
     * @param {number} [code] 1000, or 3000 to 4999.
     * @param {string} [reason] At most 123 bytes of UTF-8.
     */
    close(code?: number, reason?: string): void;
    /** @returns {ReadyState} */
    get readyState(): ReadyState;
    /** The sub-protocol that the server chose; empty if none. */
    get protocol(): string;
    /** The address that it is connected to; empty if there is none. */
    get url(): string;
    /** Bytes that were flushed and that the browser has not sent yet. */
    get bufferedAmount(): number;
    /**
     * Sets the one handler of an event; it replaces an earlier one. `addEventListener` adds others. `open` and
     * `message` call it without an argument, `close` and `error` with the channel's event.
     *
     * @param {EventName} name
     * @param {(event?: any) => void} handler
     */
    on(name: EventName, handler: (event?: any) => void): void;
    /** Removes the handler that `on` has set. @param {EventName} name */
    off(name: EventName): void;
    /** How many bytes are unread. */
    rQlen(): number;
    /**
     * Whether fewer than `wanted` bytes are unread; then `goback` bytes that were read before become unread again,
     * so that the next `message` begins with them.
     *
     * @param {string} _what For readers of the calling code.
     * @param {number} wanted
     * @param {number} [goback]
     * @throws {RangeError} Fewer than `goback` bytes were read since this message came.
     */
    rQwait(_what: string, wanted: number, goback?: number): boolean;
    /** The next byte, which stays unread. */
    rQpeek8(): number;
    /** The next byte. */
    rQshift8(): number;
    /** The next two bytes as a number, most significant first. */
    rQshift16(): number;
    /** The next four bytes as a number from 0 to 4294967295, most significant first. */
    rQshift32(): number;
    /**
     * The next bytes as a string, one character for each (Latin-1).
     *
     * @param {number} [length] All by default.
     */
    rQshiftStr(length?: number): string;
    /**
     * The next bytes.
     *
     * @param {number} [length] All by default.
     * @param {boolean} [copy] Without a copy they are only valid until the next message.
     */
    rQshiftBytes(length?: number, copy?: boolean): Uint8Array<ArrayBuffer>;
    /**
     * The next bytes, which stay unread.
     *
     * @param {number} [length] All by default.
     * @param {boolean} [copy] Without a copy they are only valid until the next message.
     */
    rQpeekBytes(length?: number, copy?: boolean): Uint8Array<ArrayBuffer>;
    /**
     * Unread bytes from `start` to `end`, counted from the next one; they stay unread.
     *
     * @param {number} start
     * @param {number} [end] All from `start` on by default.
     */
    rQslice(start: number, end?: number): Uint8Array<ArrayBuffer>;
    /**
     * Moves the next bytes to the beginning of `target`.
     *
     * @param {Uint8Array} target
     * @param {number} [length] As many as fit into `target` by default.
     */
    rQshiftTo(target: Uint8Array, length?: number): void;
    /** Skips the next bytes. @param {number} length */
    rQskipBytes(length: number): void;
    /** Skips the next byte. */
    rQskip8(): void;
    /** Puts a byte in front of the unread ones. @param {number} byte */
    rQunshift8(byte: number): void;
    /** All bytes that are still in the queue, including those read since this message came. */
    rQwhole(): Uint8Array<ArrayBuffer>;
    /** The receive queue itself; `rQi` is the index of the next byte in it. A view: see `rQshiftBytes`. */
    get rQ(): Uint8Array<ArrayBuffer>;
    set rQi(place: number);
    /** The index of the next byte in `rQ`. */
    get rQi(): number;
    /** The bytes that wait for `flush`, as a view. */
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
    /** Queues two bytes, most significant first. @param {number} number */
    sQpush16(number: number): void;
    /** Queues four bytes, most significant first. @param {number} number */
    sQpush32(number: number): void;
    /** Queues a string, one byte for each character: the low byte of its code, not UTF-8. @param {string} text */
    sQpushString(text: string): void;
    /** Queues bytes. @param {Bytes} bytes */
    sQpushBytes(bytes: Bytes): void;
    /**
     * Sends what is queued as one binary message. Before the connection is open it stays queued until it
     * opens; after its end it is dropped.
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
     * The original name of `sendString`.
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
 * What carries the bytes: a WebSocket, an RTCDataChannel or something that looks like one.
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
     * Initial size of the receive queue, in bytes.
     */
    receiveSize?: number | undefined;
    /**
     * Largest size of the receive queue, in bytes.
     */
    receiveMax?: number | undefined;
    /**
     * Initial size of the send queue, in bytes.
     */
    sendSize?: number | undefined;
};
