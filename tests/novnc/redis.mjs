// A restart of Redis: running sessions continue, newcomers meanwhile get a clear refusal, and those who
// come later are admitted.

import { execFileSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { Page, launch } from "./browser.mjs";
import { Desktop, ROOT_LATER, ROOT_POINT, TERMINAL_POINT, TYPED, at } from "./desktop.mjs";
import { expect, same } from "./looks.mjs";
import { DEBIAN, GATEWAY, freePort, listens } from "./stage.mjs";

/** What the log must not show. */
const TOKENS = { early: "early-t0ken-53cret", denied: "denied-t0ken-53cret", late: "late-t0ken-53cret" };
const PASSWORD = "r3dis-hunter2";

/** The case: returns the milliseconds to the first picture. */
export async function restart(_row, stage, opened) {
    const desktop = await Desktop.start(stage);
    const redis = await freePort();
    const start = async () => {
        const keeps = ["--dir", stage.folder, "--appendonly", "yes"];
        const options = ["--port", redis, "--bind", "127.0.0.1", "--requirepass", PASSWORD, ...keeps];
        const program = stage.start("redis", ["redis-server", ...options]);
        await stage.until("Redis", () => tell(redis, "ping") === "PONG");
        return program;
    };
    let service = await start();
    for (const token of Object.values(TOKENS)) {
        expect(tell(redis, "set", `consoles:${token}`, `127.0.0.1:${desktop.port}`) === "OK", "Redis keeps a token");
    }
    const port = await freePort();
    const program = stage.start("gateway", [
        ...[GATEWAY, "-v", "--web", DEBIAN, "--token-plugin", "TokenRedis"],
        ...["--token-source", `redis://:${PASSWORD}@127.0.0.1:${redis}/0/consoles`, `127.0.0.1:${port}`],
    ]);
    await stage.until("gateway", () => listens(port));
    const browser = await launch(stage.folder);
    opened.push(browser);
    const url = (token) =>
        `http://localhost:${port}/vnc.html?autoconnect=1&path=websockify%3Ftoken%3D${token}`;

    const early = await Page.open(browser);
    const firstFrameMs = await early.firstFrame(url(TOKENS.early));
    await works(stage, early);

    await stage.stop(service, () => !listens(redis));
    await works(stage, early);
    const before = await same(stage, desktop, early, "what was typed in the outage");
    const denied = await Page.open(browser);
    await denied.tab.goto(url(TOKENS.denied));
    await stage.until("refusal", () => denied.faults.some((fault) => fault.includes("503")));
    const status = denied.tab.locator("#noVNC_status.noVNC_open");
    await stage.until("word to the person", async () => /fail|close/i.test(await status.textContent()));
    await denied.close();

    service = await start();
    const late = await Page.open(browser);
    await late.firstFrame(url(TOKENS.late));
    await works(stage, late);
    await works(stage, early);
    desktop.paint(ROOT_LATER);
    for (const page of [early, late]) {
        const painted = await same(stage, desktop, page, "the new colour", before);
        expect(at(painted, ROOT_POINT) === ROOT_LATER, "the root window has another colour");
        expect(page.sockets.length === 1 && page.faults.length === 0, page.faults.join("\n"));
        await page.close();
    }
    await stage.stop(program, () => !listens(port));
    await stage.stop(service);

    const log = stage.read("gateway.log");
    const lines = (text) => log.split("\n").filter((line) => line.includes(text)).length;
    expect(lines("Plain non-SSL (ws://) WebSocket connection") === 2, "two sessions are in the log");
    expect(lines("code 503, message lookup of token ") === 1, "the refusal is in the log with its reason");
    expect(lines("warning: TokenRedis: ") === 1 && lines("answers again") === 1, "the outage and its end are in the log");
    for (const secret of [...Object.values(TOKENS), PASSWORD]) {
        expect(!log.includes(secret), `a secret is in the log: ${secret}`);
    }
    return firstFrameMs;
}

/** What Redis says; nothing while it does not answer. */
function tell(port, ...words) {
    const env = { ...process.env, REDISCLI_AUTH: PASSWORD };
    const options = { env, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], timeout: 10_000 };
    try {
        return execFileSync("redis-cli", ["-p", port, ...words], options).trim();
    } catch {
        return "";
    }
}

/** Types a word, which has to come out on the far side. */
async function works(stage, page) {
    await page.click(TERMINAL_POINT);
    const word = `word${randomInt(1e9)}`;
    await page.type(word);
    await stage.until("the word on the far side", () => stage.read(TYPED).endsWith(`${word}\n`));
}
