// websock.js, module and classic build, over channels that are driven by hand.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { createContext, runInContext } from "node:vm";
import Module, { Websock as Named } from "../../include/websock.js";
import { FakeChannel } from "./fake.mjs";
import { INCLUDE } from "./places.mjs";

/** The class that the classic build leaves in `window`. */
function classic() {
    const window = { EventTarget, Event, TextEncoder, Uint8Array, ArrayBuffer };
    window.window = window;
    runInContext(readFileSync(`${INCLUDE}/websock-classic.js`, "utf8"), createContext(window));
    return window.Websock;
}

test("the class is the module's default and has a name", () => assert.equal(Named, Module));

for (const [build, Websock] of [["module", Module], ["classic", classic()]]) {
    const opened = (options) => {
        const [ws, channel] = [new Websock(options), new FakeChannel()];
        ws.attach(channel);
        channel.opens();
        return [ws, channel];
    };
    const holding = (...bytes) => {
        const [ws, channel] = opened();
        channel.receives(...bytes);
        return ws;
    };

    describe(`reading (${build})`, () => {
        test("numbers come with the high byte first and are never negative", () => {
            const ws = holding(0xff, 1, 2, 0xff, 0xfe, 0xfd, 0xfc);
            assert.equal(ws.rQpeek8(), 0xff);
            assert.equal(ws.rQlen(), 7);
            assert.equal(ws.rQshift8(), 0xff);
            assert.equal(ws.rQshift16(), 0x0102);
            assert.equal(ws.rQshift32(), 0xfffefdfc);
            assert.equal(ws.rQlen(), 0);
        });

        test("what was not read stands before the next message", () => {
            const [ws, channel] = opened();
            channel.receives(1, 2, 3);
            assert.equal(ws.rQshift8(), 1);
            channel.receives(4);
            assert.deepEqual([...ws.rQshiftBytes()], [2, 3, 4]);
        });

        test("who asks for more than there is gets an error and loses nothing", () => {
            const calls = {
                rQpeek8: (ws) => ws.rQpeek8(),
                rQshift8: (ws) => ws.rQshift8(),
                rQshift16: (ws) => ws.rQshift16(),
                rQshift32: (ws) => ws.rQshift32(),
                rQshiftStr: (ws) => ws.rQshiftStr(4),
                rQshiftBytes: (ws) => ws.rQshiftBytes(4),
                rQpeekBytes: (ws) => ws.rQpeekBytes(4),
                rQslice: (ws) => ws.rQslice(0, 4),
                rQshiftTo: (ws) => ws.rQshiftTo(new Uint8Array(4)),
                rQskipBytes: (ws) => ws.rQskipBytes(4),
                rQskip8: (ws) => ws.rQskip8(),
            };
            for (const [name, call] of Object.entries(calls)) {
                const few = { rQpeek8: [], rQshift8: [], rQskip8: [], rQshift16: [1] }[name] ?? [1, 2, 3];
                const ws = holding(...few);
                assert.throws(() => call(ws), { name: "RangeError", message: /^rQ\w+: \d bytes wanted, \d there$/ }, name);
                assert.deepEqual([...ws.rQshiftBytes()], few, name);
            }
        });

        test("lengths that are none are errors", () => {
            for (const length of [-1, 0.5, NaN, "1", null]) {
                const ws = holding(1, 2);
                assert.throws(() => ws.rQshiftBytes(length), { name: "RangeError" }, String(length));
                assert.throws(() => ws.rQskipBytes(length), { name: "RangeError" }, String(length));
                assert.equal(ws.rQlen(), 2);
            }
            const ws = holding(1, 2);
            assert.throws(() => ws.rQslice(2, 1), { name: "RangeError" });
            assert.throws(() => ws.rQslice(-1), { name: "RangeError" });
            assert.throws(() => ws.rQshiftTo(new Uint8Array(1), 2), { name: "RangeError" });
            assert.equal(ws.rQlen(), 2);
        });

        test("strings have a character for each byte, however long they are", () => {
            const [ws, channel] = opened();
            channel.receives(0x41, 0xe4, 0, 0xff);
            assert.equal(ws.rQshiftStr(2), "A\u00e4");
            assert.equal(ws.rQshiftStr(), "\0\u00ff");
            const many = new Uint8Array(300_001).map((_, at) => at);
            channel.onmessage({ data: many.buffer });
            const text = ws.rQshiftStr();
            assert.equal(text.length, many.length);
            assert.ok(many.every((byte, at) => text.charCodeAt(at) === byte));
        });

        test("bytes are copies unless a view is asked for", () => {
            const [ws, channel] = opened();
            channel.receives(1, 2, 3, 4);
            const [copy, view] = [ws.rQpeekBytes(2), ws.rQpeekBytes(2, false)];
            assert.deepEqual([...ws.rQshiftBytes(2)], [1, 2]);
            channel.receives(5, 6);
            assert.deepEqual([...copy], [1, 2]);
            assert.notDeepEqual([...view], [1, 2]);
            assert.deepEqual([...ws.rQshiftBytes(4, false)], [3, 4, 5, 6]);
        });

        test("slices, targets and skipping", () => {
            const ws = holding(9, 1, 2, 3, 4, 5, 6, 7, 8);
            ws.rQskip8();
            assert.deepEqual([...ws.rQslice(2)], [3, 4, 5, 6, 7, 8]);
            assert.deepEqual([...ws.rQslice(2, 4)], [3, 4]);
            assert.equal(ws.rQlen(), 8);
            const target = new Uint8Array(3);
            ws.rQshiftTo(target, 2);
            assert.deepEqual([...target], [1, 2, 0]);
            ws.rQshiftTo(target);
            assert.deepEqual([...target], [3, 4, 5]);
            ws.rQskipBytes(2);
            assert.deepEqual([...ws.rQwhole()], [9, 1, 2, 3, 4, 5, 6, 7, 8]);
            assert.deepEqual([...ws.rQshiftBytes()], [8]);
        });

        test("a byte is put back, also in front of the first and into a full queue", () => {
            const [ws, channel] = opened({ receiveSize: 2 });
            channel.receives(1, 2);
            ws.rQunshift8(7);
            assert.deepEqual([...ws.rQpeekBytes()], [7, 1, 2]);
            ws.rQskipBytes(2);
            ws.rQunshift8(8);
            assert.deepEqual([...ws.rQshiftBytes()], [8, 2]);
        });

        test("rQwait says whether to wait, and gives back what was read", () => {
            const ws = holding(1, 2, 3);
            assert.equal(ws.rQwait("header", 3), false);
            assert.equal(ws.rQwait("header", 4), true);
            ws.rQskipBytes(2);
            assert.equal(ws.rQwait("body", 1, 2), false);
            assert.equal(ws.rQlen(), 1);
            assert.throws(() => ws.rQwait("body", 2, 3), { name: "RangeError" });
            assert.equal(ws.rQwait("body", 2, 2), true);
            assert.equal(ws.rQlen(), 3);
        });

        test("the queue by its old names", () => {
            const ws = holding(1, 2, 3);
            ws.rQskip8();
            assert.equal(ws.get_rQi(), 1);
            assert.deepEqual([...ws.get_rQ()], [1, 2, 3]);
            ws.set_rQi(0);
            assert.equal(ws.rQi, 0);
            ws.rQi = 3;
            assert.equal(ws.rQlen(), 0);
            assert.throws(() => (ws.rQi = 4), { name: "RangeError" });
            assert.throws(() => ws.set_rQi(-1), { name: "RangeError" });
            assert.deepEqual([...ws.rQ], [1, 2, 3]);
        });

        test("text messages are their UTF-8", () => {
            const [ws, channel] = opened();
            channel.receivesText("a€");
            assert.deepEqual([...ws.rQshiftBytes()], [0x61, 0xe2, 0x82, 0xac]);
        });
    });

    describe(`queues (${build})`, () => {
        test("the receive queue grows over every border and keeps the order", () => {
            const [ws, channel] = opened({ receiveSize: 1 });
            const [put, got] = [[], []];
            let next = 0;
            for (let length = 0; length < 70; length++) {
                const bytes = Array.from({ length }, () => next++ % 256);
                put.push(...bytes);
                channel.receives(...bytes);
                got.push(...ws.rQshiftBytes(Math.floor(ws.rQlen() / 2)));
            }
            got.push(...ws.rQshiftBytes());
            assert.deepEqual(got, put);
        });

        test("beyond its limit the receive queue is an error, and the connection is closed", () => {
            const [ws, channel] = opened({ receiveMax: 4 });
            const seen = [];
            ws.on("error", ({ error }) => seen.push(error.name));
            ws.addEventListener("error", ({ error }) => seen.push(error.name));
            ws.on("close", ({ code }) => seen.push(code));
            channel.receives(1, 2, 3, 4);
            ws.rQskip8();
            channel.receives(5);
            assert.deepEqual(seen, []);
            channel.receives(6);
            assert.deepEqual(seen, ["RangeError", "RangeError"]);
            assert.deepEqual(channel.closed, [[4009, "the receive queue is full"]]);
            channel.receives(7);
            assert.deepEqual([...ws.rQshiftBytes()], [2, 3, 4, 5]);
            channel.ends(4009);
            assert.deepEqual(seen.at(-1), 4009);
        });

        test("what is queued goes as one message", () => {
            const [ws, channel] = opened({ sendSize: 1 });
            ws.sQpush8(0x1ff);
            ws.sQpush16(0x0102);
            ws.sQpush32(0xfffefdfc);
            ws.sQpushString("A\u00e4\u20ac");
            ws.sQpushBytes(new Uint8Array([7, 8]));
            assert.deepEqual(channel.sent, []);
            assert.equal(ws.get_sQ().length, 12);
            assert.equal(ws.flush(), true);
            assert.deepEqual(channel.sent, [[255, 1, 2, 255, 254, 253, 252, 0x41, 0xe4, 0xac, 7, 8]]);
            assert.equal(ws.sQ.length, 0);
            ws.flush();
            assert.equal(channel.sent.length, 1);
        });

        test("send takes every kind of bytes", () => {
            const [ws, channel] = opened();
            const behind = new Uint8Array([0, 1, 2, 3, 0]).subarray(1, 4);
            ws.send([1, 2]);
            ws.send(behind);
            ws.send(behind.slice().buffer);
            ws.send(new DataView(behind.buffer, 1, 2));
            ws.send(new Uint16Array(new Uint8Array([5, 6]).buffer));
            ws.send_string("ab");
            ws.sendString("c");
            const sent = [[1, 2], [1, 2, 3], [1, 2, 3], [1, 2], [5, 6], [97, 98], [99]];
            assert.deepEqual(channel.sent, sent);
        });

        test("a long send is one message and whole", () => {
            const [ws, channel] = opened();
            const long = new Uint8Array(1 << 20).map((_, at) => at >> 8);
            assert.equal(ws.send(long), true);
            assert.equal(channel.sent.length, 1);
            assert.deepEqual(Uint8Array.from(channel.sent[0]), long);
        });
    });

    describe(`the connection (${build})`, () => {
        test("bytes that were sent before it is open go when it opens, before its event", () => {
            const [ws, channel] = [new Websock(), new FakeChannel()];
            assert.equal(ws.send([1]), true);
            ws.attach(channel);
            assert.equal(ws.send([2]), true);
            ws.on("open", () => ws.send([3]));
            assert.deepEqual(channel.sent, []);
            channel.opens();
            assert.deepEqual(channel.sent, [[1, 2], [3]]);
        });

        test("a channel that is open already gets them at once, and there is no event", () => {
            const [ws, channel] = [new Websock(), new FakeChannel(1)];
            ws.on("open", () => assert.fail("it was open"));
            ws.send([1]);
            ws.attach(channel);
            assert.deepEqual(channel.sent, [[1]]);
            assert.equal(channel.binaryType, "arraybuffer");
        });

        test("behind the end nothing is sent, and nothing is kept for the next connection", () => {
            const [ws, channel] = opened();
            ws.sQpush8(1);
            channel.ends(1000);
            assert.equal(ws.send([2]), false);
            const next = new FakeChannel(1);
            ws.attach(next);
            assert.deepEqual(next.sent, []);
        });

        test("readyState is a word", () => {
            const ws = new Websock();
            assert.equal(ws.readyState, "unused");
            const words = ["connecting", "open", "closing", "closed"];
            for (const [number, word] of words.entries()) {
                for (const state of [number, word]) {
                    ws.attach(new FakeChannel(state));
                    assert.equal(ws.readyState, word);
                }
            }
            for (const state of [4, "closed?", undefined]) {
                ws.attach(new FakeChannel(state ?? {}));
                assert.equal(ws.readyState, "unknown");
            }
            ws.init();
            assert.equal(ws.readyState, "unused");
        });

        test("what is no channel is refused, by what it lacks", () => {
            const ws = new Websock();
            for (const [what, lacks] of [[{}, /send, close/], [null, /send/], [undefined, /send/], ["ws://x", /send/]]) {
                assert.throws(() => ws.attach(what), { name: "TypeError", message: lacks });
            }
            const almost = new FakeChannel();
            delete almost.protocol;
            assert.throws(() => ws.attach(almost), { message: "not a channel: protocol missing" });
            assert.equal(ws.readyState, "unused");
        });

        test("close tells code and reason, drops later messages, and its event comes", () => {
            const [ws, channel] = opened();
            const seen = [];
            ws.on("message", () => seen.push("message"));
            ws.on("close", ({ code }) => seen.push(code));
            ws.close(3001, "enough");
            ws.close();
            channel.receives(1);
            channel.ends(3001);
            assert.deepEqual(channel.closed, [[3001, "enough"]]);
            assert.deepEqual(seen, [3001]);
            assert.equal(ws.rQlen(), 0);
        });

        test("a code that there is not changes nothing", () => {
            const [ws, channel] = opened();
            assert.throws(() => ws.close(1), { name: "RangeError" });
            channel.receives(1);
            assert.equal(ws.rQlen(), 1);
        });

        test("close before there is a connection does nothing", () => {
            const ws = new Websock();
            ws.close();
            assert.equal(ws.readyState, "unused");
        });

        test("another channel takes the place of the one before, which is closed and not heard any more", () => {
            const [ws, first] = opened();
            first.receives(1);
            ws.on("close", () => assert.fail("the first one's end is nobody's"));
            const second = new FakeChannel(1);
            ws.attach(second);
            assert.deepEqual(first.closed, [[]]);
            first.receives(9);
            first.ends(1000);
            second.receives(2);
            assert.deepEqual([...ws.rQshiftBytes()], [2]);
        });

        test("init empties everything", () => {
            const [ws, channel] = opened();
            channel.receives(1);
            ws.sQpush8(1);
            ws.init();
            assert.equal(ws.rQlen() + ws.get_sQ().length, 0);
            assert.deepEqual(channel.closed, [[]]);
            assert.equal(ws.protocol + ws.url, "");
            assert.equal(ws.bufferedAmount, 0);
        });

        test("what the channel says of itself", () => {
            const ws = new Websock();
            ws.attach(Object.assign(new FakeChannel(), { protocol: "binary", url: "ws://x/", bufferedAmount: 5 }));
            assert.deepEqual([ws.protocol, ws.url, ws.bufferedAmount], ["binary", "ws://x/", 5]);
        });
    });

    describe(`events (${build})`, () => {
        test("there is one handler for each, which is replaced and taken away, and any number of listeners", () => {
            const [ws, channel] = opened();
            const seen = [];
            ws.on("message", () => seen.push("replaced"));
            ws.on("message", (...all) => seen.push(`handler ${all.length}`));
            ws.addEventListener("message", (event) => seen.push(`one ${event.type}`));
            ws.addEventListener("message", () => seen.push("two"));
            channel.receives(1);
            assert.deepEqual(seen, ["handler 0", "one message", "two"]);
            ws.off("message");
            channel.receives(1);
            assert.deepEqual(seen.slice(3), ["one message", "two"]);
        });

        test("an empty message is none, unless bytes are unread", () => {
            const [ws, channel] = opened();
            let count = 0;
            ws.on("message", () => (count += 1));
            channel.receives();
            assert.equal(count, 0);
            channel.receives(1);
            channel.receives();
            assert.equal(count, 2);
        });

        test("close and error say what the channel says", () => {
            const [ws, channel] = opened();
            const seen = [];
            ws.on("close", ({ code, reason, wasClean }) => seen.push([code, reason, wasClean]));
            ws.addEventListener("close", ({ code, reason, wasClean }) => seen.push([code, reason, wasClean]));
            ws.on("error", (event) => seen.push(event.type));
            ws.addEventListener("error", (event) => seen.push(event.type));
            channel.onerror(new Event("error"));
            channel.ends(1011, "no target", false);
            assert.deepEqual(seen, ["error", "error", [1011, "no target", false], [1011, "no target", false]]);
        });

        test("a handler that throws is heard of, and the listeners are called nevertheless", () => {
            const [ws, channel] = opened();
            let heard = false;
            ws.on("message", () => {
                throw new Error("handler");
            });
            ws.addEventListener("message", () => (heard = true));
            assert.throws(() => channel.receives(1), { message: "handler" });
            assert.ok(heard);
        });
    });
}

describe("addresses", () => {
    /** What the class gives to WebSocket. */
    function asked(open, page) {
        let got;
        globalThis.WebSocket = class extends FakeChannel {
            constructor(...all) {
                super();
                got = all;
            }
        };
        globalThis.location = page && { href: page };
        try {
            open(new Module());
            return got;
        } finally {
            delete globalThis.WebSocket;
            delete globalThis.location;
        }
    }

    test("ws, http and relative ones", () => {
        const page = "https://host:8443/dir/page.html?x#y";
        for (const [uri, expected] of [
            ["ws://a/b?c", "ws://a/b?c"],
            ["wss://a", "wss://a/"],
            ["http://a:81/b", "ws://a:81/b"],
            ["https://a/b", "wss://a/b"],
            ["websockify?token=a%26b", "wss://host:8443/dir/websockify?token=a%26b"],
            ["/websockify", "wss://host:8443/websockify"],
            [new URL("http://[::1]:6080/"), "ws://[::1]:6080/"],
        ]) {
            assert.deepEqual(asked((ws) => ws.open(uri), page), [expected, []]);
        }
        assert.throws(() => asked((ws) => ws.open("websockify"), undefined), { name: "TypeError" });
    });

    test("protocols are asked for if somebody wants them", () => {
        assert.deepEqual(asked((ws) => ws.open("ws://a/", "binary")), ["ws://a/", "binary"]);
        assert.deepEqual(asked((ws) => ws.open("ws://a/", ["binary", "base64"]))[1], ["binary", "base64"]);
        const remembered = (ws) => {
            ws.init(["binary"]);
            ws.open("ws://a/");
        };
        assert.deepEqual(asked(remembered)[1], ["binary"]);
    });
});
