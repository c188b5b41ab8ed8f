// telnet.js: what it answers, what it shows, and that it makes no difference where a message is cut.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import Module, { Telnet } from "../../include/telnet.js";

const [IAC, DONT, DO, WONT, WILL, SB, SE, DM, NOP] = [255, 254, 253, 252, 251, 250, 240, 242, 241];
const [BINARY, ECHO, SGA, STATUS, TM, TTYPE, NAWS, TSPEED, LFLOW, LINEMODE] = [0, 1, 3, 5, 6, 24, 31, 32, 33, 34];
const [XDISPLOC, OLD_ENVIRON, AUTH, ENCRYPT, NEW_ENVIRON] = [35, 36, 37, 38, 39];

const text = (string) => [...new TextEncoder().encode(string)];
const sub = (option, ...bytes) => [IAC, SB, option, ...bytes, IAC, SE];
const [IS, SEND] = [0, 1];

/** The result of bytes that come in these pieces. */
function heard(pieces, telnet = new Telnet()) {
    const all = { data: [], reply: [], events: [] };
    for (const piece of pieces) {
        const { data, reply, events } = telnet.receive(Uint8Array.from(piece));
        all.data.push(...data);
        all.reply.push(...reply);
        for (const event of events) all.events.push("bytes" in event ? { ...event, bytes: [...event.bytes] } : event);
    }
    return all;
}

const reply = (bytes, telnet) => heard([bytes], telnet).reply;
const data = (bytes, telnet) => heard([bytes], telnet).data;
const option = (side, option, on) => ({ type: "option", side, option, on });

/** What real servers begin with, and the answers that they need. */
const GREETINGS = {
    busybox: {
        says: [IAC, DO, ECHO, IAC, DO, NAWS, IAC, WILL, ECHO, IAC, WILL, SGA, ...text("login: ")],
        data: "login: ",
        hears: [IAC, WONT, ECHO, IAC, WILL, NAWS, ...sub(NAWS, 0, 80, 0, 24), IAC, DO, ECHO, IAC, DO, SGA],
    },
    "telnetd-ssl": {
        says: [
            ...[IAC, DO, NEW_ENVIRON, IAC, DO, AUTH, IAC, DO, TTYPE, IAC, DO, TSPEED, IAC, DO, XDISPLOC],
            ...[...sub(TTYPE, SEND), IAC, DO, ECHO, IAC, DO, NAWS, IAC, DO, LFLOW],
            ...[IAC, WILL, SGA, IAC, WILL, STATUS, IAC, WILL, ECHO, ...text("é\r\n\r\0"), IAC, DM, IAC, IAC, 65],
        ],
        data: [...text("é\r\n\r"), 255, 65],
        hears: [
            ...[IAC, WONT, NEW_ENVIRON, IAC, WONT, AUTH, IAC, WILL, TTYPE, IAC, WONT, TSPEED, IAC, WONT, XDISPLOC],
            ...[...sub(TTYPE, IS, ...text("xterm-256color")), IAC, WONT, ECHO],
            ...[IAC, WILL, NAWS, ...sub(NAWS, 0, 80, 0, 24), IAC, WONT, LFLOW],
            ...[IAC, DO, SGA, IAC, DONT, STATUS, IAC, DO, ECHO],
        ],
    },
    inetutils: {
        says: [
            ...[IAC, WILL, AUTH, IAC, WILL, ENCRYPT, IAC, DO, OLD_ENVIRON, IAC, DO, LINEMODE, IAC, DO, TM],
            ...[IAC, DO, BINARY, IAC, WILL, BINARY, ...text("\r\0"), IAC, NOP, ...sub(200, 1, IAC, IAC, 2)],
        ],
        data: "\r\0",
        hears: [
            ...[IAC, DONT, AUTH, IAC, DONT, ENCRYPT, IAC, WONT, OLD_ENVIRON, IAC, WONT, LINEMODE, IAC, WONT, TM],
            ...[IAC, WILL, BINARY, IAC, DO, BINARY],
        ],
    },
};

test("the class is the module's default and has a name", () => assert.equal(Telnet, Module));

describe("every split", () => {
    for (const [server, { says, data, hears }] of Object.entries(GREETINGS)) {
        const whole = heard([says]);

        test(`${server} hears an answer to all that it offers and asks`, () => {
            assert.deepEqual(whole.reply, hears);
            assert.deepEqual(whole.data, typeof data === "string" ? text(data) : data);
        });

        test(`${server}'s greeting means the same in two and in three pieces, wherever it is cut`, () => {
            for (let one = 0; one <= says.length; one++) {
                for (let other = one; other <= says.length; other++) {
                    const pieces = [says.slice(0, one), says.slice(one, other), says.slice(other)];
                    assert.deepEqual(heard(pieces), whole, `cut at ${one} and ${other}`);
                }
            }
        });

        test(`${server}'s greeting means the same byte by byte`, () => {
            assert.deepEqual(heard(says.map((byte) => [byte])), whole);
        });
    }

    test("any bytes mean the same however they are cut", () => {
        // A mix of the bytes with a meaning; a small generator with a fixed seed.
        const likely = [IAC, IAC, IAC, SB, SE, DO, DONT, WILL, WONT, DM, 13, 0, 10, ECHO, SGA, TTYPE, NAWS, SEND, 65];
        let seed = 1;
        const random = (below) => {
            seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
            return (seed >>> 8) % below;
        };
        for (let round = 0; round < 2000; round++) {
            const bytes = Array.from({ length: random(60) }, () => likely[random(likely.length)]);
            const pieces = [];
            for (let at = 0; at < bytes.length; ) {
                const length = 1 + random(5);
                pieces.push(bytes.slice(at, at + length));
                at += length;
            }
            assert.deepEqual(heard(pieces), heard([bytes]), JSON.stringify(bytes));
        }
    });
});

describe("bytes (RFC 854)", () => {
    test("IAC IAC is one byte, and every other byte is itself", () => {
        const bytes = Array.from({ length: 255 }, (_, byte) => byte).filter((byte) => byte !== 13);
        assert.deepEqual(data([...bytes, IAC, IAC]), [...bytes, 255]);
        assert.deepEqual(data([DM, SE, SB]), [DM, SE, SB]);
    });

    test("the NUL behind a CR is none, but for the binary mode", () => {
        assert.deepEqual(data([13, 0, 0, 13, 10, 13, 13, 0, 65]), [13, 0, 13, 10, 13, 13, 65]);
        const binary = new Telnet();
        heard([[IAC, WILL, BINARY]], binary);
        assert.deepEqual(data([13, 0], binary), [13, 0]);
    });

    test("commands are events, and what is none is passed over", () => {
        const { data, events } = heard([[65, IAC, DM, 66, IAC, 249, IAC, 100, 67]]);
        assert.deepEqual(data, text("ABC"));
        assert.deepEqual(events, [{ type: "command", command: "DM" }, { type: "command", command: "GA" }]);
    });

    test("commands for the server", () => {
        assert.deepEqual([...Telnet.command("IP")], [IAC, 244]);
        assert.deepEqual([...Telnet.command("AYT")], [IAC, 246]);
        assert.throws(() => Telnet.command("no"), { name: "TypeError" });
    });

    test("what is typed: 255 is doubled, and Enter is what the server expects", () => {
        const telnet = new Telnet();
        const typed = (bytes) => [...telnet.encode(Uint8Array.from(bytes))];
        assert.deepEqual(typed([255, 1]), [255, 255, 1]);
        assert.deepEqual(typed([65, 13]), [65, 13, 10]);
        assert.deepEqual(typed([13, 10, 13]), [13, 10, 13, 10]);
        heard([[IAC, WILL, ECHO]], telnet);
        assert.deepEqual(typed([13, 13, 10, 65]), [13, 0, 13, 10, 65]);
        heard([[IAC, DO, BINARY]], telnet);
        assert.deepEqual(typed([13, 255]), [13, 255, 255]);
    });
});

describe("options (RFC 855, 857, 858, 1143)", () => {
    test("what is there is answered once, and repeated answers are not answered", () => {
        const telnet = new Telnet();
        assert.deepEqual(reply([IAC, WILL, ECHO], telnet), [IAC, DO, ECHO]);
        assert.deepEqual(reply([IAC, WILL, ECHO, IAC, WILL, ECHO], telnet), []);
        assert.equal(telnet.serverEchoes, true);
        assert.deepEqual(reply([IAC, WONT, ECHO, IAC, WONT, ECHO], telnet), [IAC, DONT, ECHO]);
        assert.equal(telnet.serverEchoes, false);
    });

    test("what is refused is refused each time, and its end is no news", () => {
        assert.deepEqual(reply([IAC, DO, TM, IAC, DO, TM, IAC, DONT, TM]), [IAC, WONT, TM, IAC, WONT, TM]);
        assert.deepEqual(heard([[IAC, DO, TM, IAC, WILL, AUTH]]).events, []);
    });

    test("changes are events", () => {
        const { events } = heard([[IAC, WILL, ECHO, IAC, DO, SGA, IAC, WONT, ECHO, IAC, WONT, ECHO]]);
        assert.deepEqual(events, [option("them", ECHO, true), option("us", SGA, true), option("them", ECHO, false)]);
    });

    test("every case of RFC 1143, on both sides", () => {
        // What we ask for, and what comes; then what is said, and whether it is on.
        const table = [
            ["on", "", "say on", false],
            ["on", "yes", "say on", true],
            ["on", "no", "say on", false],
            ["on on", "yes", "say on", true],
            ["on off", "yes", "say on, say off", true],
            ["on off", "yes no", "say on, say off", false],
            ["on off", "no", "say on", false],
            ["on off on", "yes", "say on", true],
            ["off", "", "", false],
            ["= off", "", "say off", true],
            ["= off", "no", "say off", false],
            ["= off", "yes", "say off", false],
            ["= off off", "no", "say off", false],
            ["= off on", "no", "say off, say on", false],
            ["= off on", "no yes", "say off, say on", true],
            ["= off on", "yes", "say off", true],
            ["= off on off", "no", "say off", false],
            ["= on", "", "", true],
        ];
        for (const [side, says, comes] of [["us", [WILL, WONT], [DO, DONT]], ["them", [DO, DONT], [WILL, WONT]]]) {
            for (const [asked, came, said, isOn] of table) {
                const telnet = new Telnet();
                const out = [];
                const words = asked.split(" ");
                // "=": it is on already.
                if (words[0] === "=") {
                    heard([[IAC, comes[0], SGA]], telnet);
                    words.shift();
                }
                for (const word of words) out.push(...telnet.ask(side, SGA, word === "on"));
                for (const word of came.split(" ").filter(Boolean)) {
                    out.push(...reply([IAC, comes[word === "yes" ? 0 : 1], SGA], telnet));
                }
                const verbs = said.split(", ").filter(Boolean).map((word) => says[word === "say on" ? 0 : 1]);
                assert.deepEqual(out, verbs.flatMap((verb) => [IAC, verb, SGA]), `${side}: ${asked}; ${came}`);
                assert.equal(telnet.isOn(side, SGA), isOn, `${side}: ${asked}; ${came}`);
            }
        }
    });

    test("two that ask each other for everything come to an end, and agree", () => {
        let seed = 7;
        const random = (below) => {
            seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
            return (seed >>> 8) % below;
        };
        for (let round = 0; round < 500; round++) {
            const ends = [new Telnet(), new Telnet()];
            const ways = [[], []];
            for (let step = 0; step < 40; step++) {
                const who = random(2);
                if (random(3) === 0) {
                    const [side, what] = [["us", "them"][random(2)], [ECHO, SGA, BINARY, STATUS][random(4)]];
                    ways[1 - who].push(...ends[who].ask(side, what, random(2) === 0));
                } else {
                    ways[1 - who].push(...reply(ways[who].splice(0, 1 + random(4)), ends[who]));
                }
            }
            let turns = 0;
            while (ways[0].length + ways[1].length > 0) {
                assert.ok((turns += 1) < 50, "they go on for ever");
                for (const who of [0, 1]) ways[1 - who].push(...reply(ways[who].splice(0), ends[who]));
            }
            for (const what of [ECHO, SGA, BINARY, STATUS]) {
                assert.equal(ends[0].isOn("us", what), ends[1].isOn("them", what));
                assert.equal(ends[1].isOn("us", what), ends[0].isOn("them", what));
            }
        }
    });
});

describe("the terminal (RFC 1073, 1091)", () => {
    test("its types are said in order, the last one twice, and then from the beginning", () => {
        const telnet = new Telnet({ terminals: ["ansi", "vt52"] });
        assert.deepEqual(reply(sub(TTYPE, SEND), telnet), [], "not before it was agreed upon");
        heard([[IAC, DO, TTYPE]], telnet);
        for (const name of ["ansi", "vt52", "vt52", "ansi"]) {
            assert.deepEqual(reply(sub(TTYPE, SEND), telnet), sub(TTYPE, IS, ...text(name)));
        }
    });

    test("its size is said when it is asked for, and when it changes", () => {
        const telnet = new Telnet({ columns: 255, rows: 65535 });
        assert.deepEqual([...telnet.resize(132, 43)], []);
        assert.deepEqual(reply([IAC, DO, NAWS], telnet), [IAC, WILL, NAWS, ...sub(NAWS, 0, 132, 0, 43)]);
        assert.deepEqual([...telnet.resize(132, 43)], []);
        assert.deepEqual([...telnet.resize(255, 65535)], sub(NAWS, 0, 255, 255, 255, 255, 255, 255));
        assert.deepEqual([...telnet.resize(0, 1e6)], sub(NAWS, 0, 1, 255, 255, 255, 255));
        heard([[IAC, DONT, NAWS]], telnet);
        assert.deepEqual([...telnet.resize(80, 24)], []);
    });
});

describe("subnegotiations", () => {
    test("what is not understood is an event and not shown", () => {
        const { data, events } = heard([[65, ...sub(200, 1, IAC, IAC, 2), 66]]);
        assert.deepEqual(data, text("AB"));
        assert.deepEqual(events, [{ type: "subnegotiation", option: 200, bytes: [1, 255, 2] }]);
    });

    test("one that is broken off by a command ends, and the command counts", () => {
        const { data, reply } = heard([[IAC, SB, 200, 1, IAC, DO, TM, 65]]);
        assert.deepEqual([data, reply], [text("A"), [IAC, WONT, TM]]);
    });

    test("an empty one and one that is too long are passed over", () => {
        const long = Array.from({ length: 5000 }, () => 7);
        assert.deepEqual(heard([[IAC, SB, IAC, SE, ...sub(200, ...long), 65]]), { data: [65], reply: [], events: [] });
    });
});
