// A line at a time, for servers that do not echo: what is typed is shown here, can be taken back, and goes when Enter
// is pressed. Text in; text for the screen and text for the server out.

/** Characters that take two columns. */
const WIDE = /^[\p{Emoji_Presentation}\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u;

/** Sequences that keys such as the arrows send, which mean nothing here; and what stands for itself. */
const PIECES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|.)?|\r\n|[^]/gu;

/** Characters of one line; what is typed beyond is not taken. */
const LINE_MAX = 4096;

/** @typedef {{ screen: string, server: string, interrupt: boolean }} Typed */

export default class LineEditor {
    /** @type {string[]} */
    #line = [];

    /**
     * Takes what was typed or pasted.
     *
     * @param {string} text
     * @returns {Typed} What to show, what to send, and whether Ctrl-C was among it.
     */
    type(text) {
        /** @type {Typed} */
        const typed = { screen: "", server: "", interrupt: false };
        for (const [piece] of text.matchAll(PIECES)) this.#key(piece, typed);
        return typed;
    }

    /** The line as far as it was typed, which is empty then: for a server that takes over in the middle. */
    take() {
        return this.#line.splice(0).join("");
    }

    /**
     * @param {string} key
     * @param {Typed} typed
     */
    #key(key, typed) {
        switch (key) {
            case "\r":
            case "\n":
            case "\r\n":
                typed.screen += "\r\n";
                typed.server += `${this.take()}\r`;
                break;
            case "\b":
            case "\x7f":
                typed.screen += this.#takeBack(1);
                break;
            // Ctrl-U
            case "\x15":
                typed.screen += this.#takeBack(this.#line.length);
                break;
            // Ctrl-C
            case "\x03":
                this.take();
                typed.screen += "^C\r\n";
                typed.interrupt = true;
                break;
            // Ctrl-D
            case "\x04":
                typed.server += `${this.take()}\x04`;
                break;
            default:
                if (key === "\t" || (key >= " " && this.#line.length < LINE_MAX)) {
                    // A tab's columns depend on where it stands; a blank's don't.
                    const shown = key === "\t" ? " " : key;
                    this.#line.push(key);
                    typed.screen += shown;
                }
        }
    }

    /**
     * Takes back the last characters.
     *
     * @param {number} count
     * @returns {string} What makes them vanish from the screen.
     */
    #takeBack(count) {
        const gone = this.#line.splice(this.#line.length - Math.min(count, this.#line.length));
        return gone.reverse().map((key) => "\b \b".repeat(WIDE.test(key) ? 2 : 1)).join("");
    }
}
