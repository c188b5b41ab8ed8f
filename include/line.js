// A line editor, for servers that do not echo: what is typed is shown here, can be deleted, and is sent when Enter is
// pressed. Text in; text for the screen and text for the server out.

/** Characters that take two columns. */
const WIDE = /^[\p{Emoji_Presentation}\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u;

/** Escape sequences of keys such as the arrows, which are ignored; and single characters. */
const PIECES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|.)?|\r\n|[^]/gu;

/** The most characters of a line; any beyond are ignored. */
const LINE_MAX = 4096;

/** @typedef {{ screen: string, server: string, interrupt: boolean }} Typed */

export default class LineEditor {
    /** @type {string[]} */
    #line = [];

    /**
     * Handles what was typed or pasted.
     *
     * @param {string} text
     * @returns {Typed} What to show, what to send, and whether it contained Ctrl-C.
     */
    type(text) {
        /** @type {Typed} */
        const typed = { screen: "", server: "", interrupt: false };
        for (const [piece] of text.matchAll(PIECES)) this.#key(piece, typed);
        return typed;
    }

    /** Returns the unfinished line and empties it: for a server that takes over in the middle of it. */
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
                    // A tab's width depends on its column; a blank's does not.
                    const shown = key === "\t" ? " " : key;
                    this.#line.push(key);
                    typed.screen += shown;
                }
        }
    }

    /**
     * Deletes the last characters.
     *
     * @param {number} count
     * @returns {string} What removes them from the screen.
     */
    #takeBack(count) {
        const gone = this.#line.splice(this.#line.length - Math.min(count, this.#line.length));
        return gone.reverse().map((key) => "\b \b".repeat(WIDE.test(key) ? 2 : 1)).join("");
    }
}
