// docs/websock.md: its examples give what it says, and every member has one.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import Websock from "../../include/websock.js";
import { examples } from "./examples.mjs";
import { FakeChannel } from "./fake.mjs";

/** Sends everything back, a moment later. */
class Echo extends FakeChannel {
    bufferedAmount = 0;

    constructor(url) {
        super();
        this.url = url;
        setImmediate(() => this.opens());
    }

    send(data) {
        setImmediate(() => this.onmessage?.({ data: data.slice().buffer }));
    }

    close(...how) {
        super.close(...how);
        setImmediate(() => this.ends(how[0] ?? 1005, how[1]));
    }
}

for (const [at, { code, claims }] of examples().entries()) {
    test(`example ${at + 1} of docs/websock.md`, async () => {
        const seen = [];
        const same = (got, said, what) => seen.push([what, got, said]);
        globalThis.WebSocket = Echo;
        new Function("Websock", "WebSocket", "same", code)(Websock, Echo, same);
        for (let patience = 500; seen.length < claims && patience > 0; patience--) await sleep(10);
        for (const [what, got, said] of seen) assert.deepEqual(got, said, what);
        assert.equal(seen.length, claims, "each claim is met once");
    });
}

test("every member has an example", () => {
    const text = examples().map(({ code }) => code).join("\n");
    const members = Object.getOwnPropertyNames(Websock.prototype).filter((name) => name !== "constructor");
    assert.ok(members.length > 30);
    assert.deepEqual(members.filter((name) => !new RegExp(`[.]${name}\\b`).test(text)), []);
});
