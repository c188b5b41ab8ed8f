/**
 * @typedef {"EOF" | "SUSP" | "ABORT" | "EOR" | "NOP" | "DM" | "BRK" | "IP" | "AO" | "AYT" | "EC" | "EL" | "GA"} Command
 */
/**
 * What the server has sent besides data: an option is now on or off, on our side or theirs; a command; the content of
 * an unknown subnegotiation.
 *
 * @typedef {{ type: "option", side: "us" | "them", option: number, on: boolean }
 *     | { type: "command", command: Command }
 *     | { type: "subnegotiation", option: number, bytes: Uint8Array }} TelnetEvent
 */
/**
 * @typedef {object} Received
 * @property {Uint8Array} data For the screen.
 * @property {Uint8Array} reply For the server.
 * @property {TelnetEvent[]} events In the order in which they came.
 */
/**
 * One side of one option: whether it is on, what was requested and not answered yet, and whether the opposite is
 * wanted after that (RFC 1143's NO, YES, WANTNO, WANTYES and its queue bit).
 *
 * @typedef {{ state: "no" | "yes" | "want no" | "want yes", opposite: boolean }} Side
 */
/** One connection's client side of telnet. */
export default class Telnet {
    /**
     * A command for the server, such as `IP` for Ctrl-C if it takes whole lines.
     *
     * @param {Command} command
     * @returns {Uint8Array}
     */
    static command(command: Command): Uint8Array;
    /** @param {{ terminals?: string[], columns?: number, rows?: number }} [options] */
    constructor({ terminals, columns, rows }?: {
        terminals?: string[];
        columns?: number;
        rows?: number;
    });
    /**
     * Takes bytes that came from the server.
     *
     * @param {Uint8Array} bytes
     * @returns {Received}
     */
    receive(bytes: Uint8Array): Received;
    /**
     * Encodes what a user typed. A CR alone stands for Enter; outside of binary mode it
     * becomes CR NUL if the server echoes, as terminals send it, and CR LF if it takes whole lines.
     *
     * @param {Uint8Array} bytes
     * @returns {Uint8Array}
     */
    encode(bytes: Uint8Array): Uint8Array;
    /**
     * Notes the terminal's size.
     *
     * @param {number} columns
     * @param {number} rows
     * @returns {Uint8Array} What to send: nothing if the server has not asked for sizes, or knows this one.
     */
    resize(columns: number, rows: number): Uint8Array;
    /**
     * Asks for an option to be on or off on one side.
     *
     * @param {"us" | "them"} side
     * @param {number} option
     * @param {boolean} on
     * @returns {Uint8Array} What to send.
     */
    ask(side: "us" | "them", option: number, on: boolean): Uint8Array;
    /**
     * Whether an option is on.
     *
     * @param {"us" | "them"} side
     * @param {number} option
     */
    isOn(side: "us" | "them", option: number): boolean;
    /** Whether the server echoes what is typed. If not, the client has to show it and to send whole lines. */
    get serverEchoes(): boolean;
    #private;
}
export type Command = "EOF" | "SUSP" | "ABORT" | "EOR" | "NOP" | "DM" | "BRK" | "IP" | "AO" | "AYT" | "EC" | "EL" | "GA";
/**
 * What the server has sent besides data: an option is now on or off, on our side or theirs; a command; the content of
 * an unknown subnegotiation.
 */
export type TelnetEvent = {
    type: "option";
    side: "us" | "them";
    option: number;
    on: boolean;
} | {
    type: "command";
    command: Command;
} | {
    type: "subnegotiation";
    option: number;
    bytes: Uint8Array;
};
export type Received = {
    /**
     * For the screen.
     */
    data: Uint8Array;
    /**
     * For the server.
     */
    reply: Uint8Array;
    /**
     * In the order in which they came.
     */
    events: TelnetEvent[];
};
/**
 * One side of one option: whether it is on, what was requested and not answered yet, and whether the opposite is
 * wanted after that (RFC 1143's NO, YES, WANTNO, WANTYES and its queue bit).
 */
export type Side = {
    state: "no" | "yes" | "want no" | "want yes";
    opposite: boolean;
};
