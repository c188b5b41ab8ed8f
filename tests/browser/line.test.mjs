// line.js and ending.js, which the telnet page uses.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import LineEditor from "../../include/line.js";
import { ending } from "../../include/ending.js";

/** What is shown and what is sent for typed text, key by key or at once. */
function typed(...texts) {
    const editor = new LineEditor();
    const all = { screen: "", server: "", interrupt: false };
    for (const text of texts) {
        const { screen, server, interrupt } = editor.type(text);
        all.screen += screen;
        all.server += server;
        all.interrupt ||= interrupt;
    }
    return all;
}

describe("a line", () => {
    test("goes when Enter is pressed, and is shown before", () => {
        const editor = new LineEditor();
        assert.deepEqual(editor.type("hé"), { screen: "hé", server: "", interrupt: false });
        assert.deepEqual(editor.type("\r"), { screen: "\r\n", server: "hé\r", interrupt: false });
        assert.deepEqual(editor.type("\r"), { screen: "\r\n", server: "\r", interrupt: false });
    });

    test("pasted ones go one by one, however they end, and the last one stays", () => {
        const { screen, server } = typed("a\r\nb\nc\rd");
        assert.deepEqual([screen, server], ["a\r\nb\r\nc\r\nd", "a\rb\rc\r"]);
    });

    test("is taken back by the character, whatever its width, or whole", () => {
        assert.deepEqual(typed("aé你🦀", "\x7f", "\b", "\x7f", "\r").server, "a\r");
        assert.equal(typed("你", "\x7f").screen, "你\b \b\b \b");
        assert.equal(typed("a", "\x7f", "\x7f").screen, "a\b \b");
        assert.deepEqual(typed("a你", "\x15", "b\r"), { screen: "a你\b \b\b \b\b \bb\r\n", server: "b\r", interrupt: false });
    });

    test("has no place for keys that move something", () => {
        assert.deepEqual(typed("a\x1b[A\x1b[1;5C\x1bOPb\x1b", "\r"), { screen: "ab\r\n", server: "ab\r", interrupt: false });
    });

    test("is gone with Ctrl-C, and goes with Ctrl-D", () => {
        assert.deepEqual(typed("rm", "\x03", "a\r"), { screen: "rm^C\r\na\r\n", server: "a\r", interrupt: true });
        assert.deepEqual(typed("a\x04").server, "a\x04");
    });

    test("has an end", () => {
        assert.equal(typed("x".repeat(5000), "\r").server.length, 4097);
    });

    test("is handed over to a server that takes over", () => {
        const editor = new LineEditor();
        editor.type("ab");
        assert.equal(editor.take(), "ab");
        assert.equal(editor.take(), "");
    });
});

test("an ending has words for its code and says its reason", () => {
    for (const [code, reason, wasOpen, words] of [
        [1000, "Target closed", true, "The session ended: the other side has closed it (1000, Target closed)."],
        [1000, "", true, "The session ended: it was closed normally (1000)."],
        [1006, "", true, "The session ended: the connection broke off (1006)."],
        [1011, "Failed to connect to downstream server", true, /could not connect to its target \(1011, Failed/],
        [4000, "mine", true, "The session ended: the server gave a code of its own (4000, mine)."],
        [1006, "", false, /^Not connected: .* \(1006\)/],
    ]) {
        const text = ending({ code, reason }, wasOpen);
        if (typeof words === "string") assert.equal(text, words);
        else assert.match(text, words);
    }
});
