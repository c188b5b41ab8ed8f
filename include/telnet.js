// Telnet (RFC 854) as a pure parser: bytes go in; bytes for the screen, bytes for the server and events come out. No
// socket and no clock; an unfinished sequence continues in the next message, wherever it was cut.
//
// Options are negotiated as RFC 1143 describes, so that two programs can't answer each other for ever. Everything that
// the server offers or asks for is answered, since some servers wait for that.

/** Codes of commands (RFC 854; 236 to 238 are RFC 885 and RFC 1184). */
const SE = 240, SB = 250, WILL = 251, WONT = 252, DO = 253, DONT = 254, IAC = 255;
const COMMANDS = new Map(/** @type {const} */ ([
    [236, "EOF"], [237, "SUSP"], [238, "ABORT"], [239, "EOR"], [241, "NOP"], [242, "DM"], [243, "BRK"], [244, "IP"],
    [245, "AO"], [246, "AYT"], [247, "EC"], [248, "EL"], [249, "GA"],
]));

/** Options (RFC 856, 857, 858, 1091, 1073). */
const BINARY = 0, ECHO = 1, SGA = 3, TTYPE = 24, NAWS = 31;

/** Subcommands for the terminal type (RFC 1091). */
const IS = 0, SEND = 1;

const NUL = 0, LF = 10, CR = 13;

/** The options that we accept on our side and on the server's. Everything else is refused. */
const OURS = [BINARY, SGA, TTYPE, NAWS], THEIRS = [BINARY, ECHO, SGA];

/** The terminal types that are offered, in the order in which the server may ask for another one. */
const TERMINALS = ["xterm-256color", "xterm", "vt100"];

/** The most bytes of a subnegotiation; longer ones are ignored. Those that are understood have under a hundred. */
const SUBNEGOTIATION_BYTES_MAX = 1024;

/** Columns and rows are numbers of 16 bits, and 0 would mean that the client does not know. */
const SIZE_MAX = 65535;

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
    #terminals;
    #terminal = 0;
    #lastWasSaidTwice = false;
    #columns;
    #rows;
    /** @type {Record<"us" | "them", Map<number, Side>>} */
    #options = { us: new Map(), them: new Map() };

    /** The state of the parser: which part of a sequence the next byte belongs to. */
    /** @type {"data" | "command" | "option" | "sub" | "sub command"} */
    #place = "data";
    /** WILL, WONT, DO or DONT, whose option comes next. */
    #verb = 0;
    /** The subnegotiation so far, its option first. */
    /** @type {number[]} */
    #sub = [];
    /** The last byte for the screen was a CR, so that a NUL after it is dropped. */
    #cr = false;

    /** @type {number[]} */
    #reply = [];
    /** @type {TelnetEvent[]} */
    #events = [];

    /** @param {{ terminals?: string[], columns?: number, rows?: number }} [options] */
    constructor({ terminals = TERMINALS, columns = 80, rows = 24 } = {}) {
        this.#terminals = terminals;
        this.#columns = size(columns);
        this.#rows = size(rows);
    }

    /**
     * Takes bytes that came from the server.
     *
     * @param {Uint8Array} bytes
     * @returns {Received}
     */
    receive(bytes) {
        const data = new Uint8Array(bytes.length);
        let length = 0;
        for (const byte of bytes) {
            if (this.#isData(byte)) {
                data[length] = byte;
                length += 1;
            }
        }
        const received = { data: data.subarray(0, length), reply: this.#replied(), events: this.#events };
        this.#events = [];
        return received;
    }

    /**
     * Encodes what a user typed. A CR alone stands for Enter; outside of binary mode it
     * becomes CR NUL if the server echoes, as terminals send it, and CR LF if it takes whole lines.
     *
     * @param {Uint8Array} bytes
     * @returns {Uint8Array}
     */
    encode(bytes) {
        const binary = this.isOn("us", BINARY);
        const behindCr = this.isOn("them", ECHO) ? NUL : LF;
        /** @type {number[]} */
        const out = [];
        bytes.forEach((byte, at) => {
            out.push(byte);
            if (byte === IAC) out.push(IAC);
            if (byte === CR && !binary && bytes[at + 1] !== LF) out.push(behindCr);
        });
        return Uint8Array.from(out);
    }

    /**
     * Notes the terminal's size.
     *
     * @param {number} columns
     * @param {number} rows
     * @returns {Uint8Array} What to send: nothing if the server has not asked for sizes, or knows this one.
     */
    resize(columns, rows) {
        if (size(columns) === this.#columns && size(rows) === this.#rows) return new Uint8Array();
        this.#columns = size(columns);
        this.#rows = size(rows);
        if (this.isOn("us", NAWS)) this.#sendSize();
        return this.#replied();
    }

    /**
     * Asks for an option to be on or off on one side.
     *
     * @param {"us" | "them"} side
     * @param {number} option
     * @param {boolean} on
     * @returns {Uint8Array} What to send.
     */
    ask(side, option, on) {
        const now = this.#side(side, option);
        const [is, goes, comes] = on
            ? /** @type {const} */ (["yes", "want no", "want yes"])
            : /** @type {const} */ (["no", "want yes", "want no"]);
        if (now.state === goes) now.opposite = true;
        else if (now.state === comes) now.opposite = false;
        else if (now.state !== is) {
            now.state = comes;
            this.#say(side, option, on);
        }
        return this.#replied();
    }

    /**
     * Whether an option is on.
     *
     * @param {"us" | "them"} side
     * @param {number} option
     */
    isOn(side, option) {
        const state = this.#options[side].get(option)?.state;
        return state === "yes" || state === "want no";
    }

    /** Whether the server echoes what is typed. If not, the client has to show it and to send whole lines. */
    get serverEchoes() {
        return this.isOn("them", ECHO);
    }

    /**
     * A command for the server, such as `IP` for Ctrl-C if it takes whole lines.
     *
     * @param {Command} command
     * @returns {Uint8Array}
     */
    static command(command) {
        for (const [code, name] of COMMANDS) {
            if (name === command) return Uint8Array.of(IAC, code);
        }
        throw new TypeError(`no such command: ${command}`);
    }

    // ---- private

    /**
     * Takes a byte.
     *
     * @param {number} byte
     * @returns {boolean} Whether it is for the screen.
     */
    #isData(byte) {
        switch (this.#place) {
            case "data":
                if (byte === IAC) {
                    this.#place = "command";
                    return false;
                }
                return this.#isShown(byte);
            case "command":
                return this.#command(byte);
            case "option":
                this.#place = "data";
                this.#negotiate(this.#verb, byte);
                return false;
            case "sub":
                if (byte === IAC) this.#place = "sub command";
                else this.#collect(byte);
                return false;
            case "sub command":
                if (byte === IAC) {
                    this.#place = "sub";
                    this.#collect(byte);
                    return false;
                }
                // Anything else ends the subnegotiation; if it is not SE, it is a command of its own.
                this.#place = "data";
                this.#subnegotiate(this.#sub);
                return byte === SE ? false : this.#command(byte);
        }
    }

    /**
     * Whether a byte outside of commands is shown: all except the NUL that pads a CR.
     *
     * @param {number} byte
     */
    #isShown(byte) {
        const pads = this.#cr && byte === NUL && !this.isOn("them", BINARY);
        this.#cr = byte === CR;
        return !pads;
    }

    /**
     * Takes the byte after an IAC.
     *
     * @param {number} byte
     * @returns {boolean} Whether it is for the screen.
     */
    #command(byte) {
        this.#place = "data";
        if (byte === IAC) return this.#isShown(byte);
        if (byte === SB) {
            this.#place = "sub";
            this.#sub = [];
        } else if (byte >= WILL) {
            this.#place = "option";
            this.#verb = byte;
        } else {
            const command = COMMANDS.get(/** @type {any} */ (byte));
            if (command !== undefined) this.#events.push({ type: "command", command });
        }
        return false;
    }

    /**
     * Handles what the server says about an option.
     *
     * @param {number} verb
     * @param {number} option
     */
    #negotiate(verb, option) {
        const side = verb === WILL || verb === WONT ? "them" : "us";
        const on = verb === WILL || verb === DO;
        const now = this.#side(side, option);
        const before = this.isOn(side, option);
        switch (now.state) {
            case "no":
                if (on) {
                    const accepted = (side === "us" ? OURS : THEIRS).includes(option);
                    if (accepted) now.state = "yes";
                    this.#say(side, option, accepted);
                }
                break;
            case "yes":
                if (!on) {
                    now.state = "no";
                    this.#say(side, option, false);
                }
                break;
            case "want no":
                if (on) {
                    // RFC 1143 calls this answer an error; the server gets its way.
                    now.state = now.opposite ? "yes" : "no";
                } else {
                    now.state = now.opposite ? "want yes" : "no";
                    if (now.opposite) this.#say(side, option, true);
                }
                now.opposite = false;
                break;
            case "want yes":
                if (on) {
                    now.state = now.opposite ? "want no" : "yes";
                    if (now.opposite) this.#say(side, option, false);
                } else {
                    now.state = "no";
                }
                now.opposite = false;
                break;
        }
        const after = this.isOn(side, option);
        if (before === after) return;
        this.#events.push({ type: "option", side, option, on: after });
        if (after && side === "us" && option === NAWS) this.#sendSize();
    }

    /**
     * Adds a byte to a subnegotiation.
     *
     * @param {number} byte
     */
    #collect(byte) {
        if (this.#sub.length <= SUBNEGOTIATION_BYTES_MAX) this.#sub.push(byte);
    }

    /**
     * Handles a complete subnegotiation.
     *
     * @param {number[]} sub
     */
    #subnegotiate(sub) {
        const [option, what, ...more] = sub;
        if (option === undefined || sub.length > SUBNEGOTIATION_BYTES_MAX) return;
        if (option === TTYPE && what === SEND && more.length === 0) {
            if (this.isOn("us", TTYPE)) this.#sendTerminal();
            return;
        }
        this.#events.push({ type: "subnegotiation", option, bytes: Uint8Array.from(sub.slice(1)) });
    }

    /** Sends the next terminal type; the last one twice, so that the server knows that there are no more. */
    #sendTerminal() {
        const name = this.#terminals[this.#terminal] ?? "unknown";
        this.#sendSub(TTYPE, [IS, ...new TextEncoder().encode(name)]);
        if (this.#terminal + 1 < this.#terminals.length) {
            this.#terminal += 1;
        } else if (this.#lastWasSaidTwice) {
            this.#terminal = 0;
            this.#lastWasSaidTwice = false;
        } else {
            this.#lastWasSaidTwice = true;
        }
    }

    #sendSize() {
        const [columns, rows] = [this.#columns, this.#rows];
        this.#sendSub(NAWS, [columns >> 8, columns & 255, rows >> 8, rows & 255]);
    }

    /**
     * @param {number} option
     * @param {number[]} bytes
     */
    #sendSub(option, bytes) {
        this.#reply.push(IAC, SB, option, ...bytes.flatMap((byte) => (byte === IAC ? [IAC, IAC] : [byte])), IAC, SE);
    }

    /**
     * Says that an option is to be on or off.
     *
     * @param {"us" | "them"} side
     * @param {number} option
     * @param {boolean} on
     */
    #say(side, option, on) {
        const [yes, no] = side === "us" ? [WILL, WONT] : [DO, DONT];
        this.#reply.push(IAC, on ? yes : no, option);
    }

    /**
     * @param {"us" | "them"} side
     * @param {number} option
     * @returns {Side}
     */
    #side(side, option) {
        const found = this.#options[side].get(option);
        if (found !== undefined) return found;
        /** @type {Side} */
        const made = { state: "no", opposite: false };
        this.#options[side].set(option, made);
        return made;
    }

    #replied() {
        const reply = Uint8Array.from(this.#reply);
        this.#reply = [];
        return reply;
    }
}

export { Telnet };

/** @param {number} number */
function size(number) {
    return Math.min(Math.max(Math.trunc(number) || 1, 1), SIZE_MAX);
}
