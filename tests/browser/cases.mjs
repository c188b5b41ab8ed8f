// include/ in Debian's Chromium, through the gateway: the examples of docs/websock.md, and the telnet page with
// third-party servers. Each case has its own window in one Chromium.

import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { launch } from "../novnc/browser.mjs";
import { END_MS, GATEWAY, STEP_MS, Stage, WORK, freePort, listens } from "../novnc/stage.mjs";
import { ADDRESS, examples } from "./examples.mjs";
import { INCLUDE } from "./places.mjs";
import { TerminalPage } from "./terminal.mjs";

/** Milliseconds for one case, from the start of its first program to the end of its last. */
const CASE_MS = 90_000;

/** Where pictures of the pages are kept, for people to look at. */
const PICTURES = `${WORK}/pictures`;

const stage = new Stage(`${WORK}/cases`);
const pem = stage.file("both.pem");

/** What telnet servers start instead of login, so that no account is needed. */
const program = stage.file("login");

function expect(holds, complaint) {
    if (!holds) throw new Error(complaint);
}

/** Makes a key of this kind and a certificate for it, in one file. */
function certify(file, ...kind) {
    const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
    const both = ["-days", "2", "-nodes", "-keyout", file, "-out", `${file}.cert`];
    execFileSync("openssl", ["req", "-x509", "-newkey", ...kind, ...names, ...both], { stdio: "pipe" });
    execFileSync("sh", ["-c", 'cat "$1.cert" >>"$1"', "sh", file]);
}

function prepare() {
    certify(pem, "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1");
    writeFileSync(program, "#!/bin/sh\nexport PS1='> ' LC_ALL=C.UTF-8\necho \"ready, $TERM\"\nexec sh -i\n");
    chmodSync(program, 0o755);
    mkdirSync(PICTURES, { recursive: true });
}

/** Starts the gateway, which serves include/, too; returns its port. */
async function gateway(name, options, ...target) {
    const port = await freePort();
    stage.start(name, [GATEWAY, "--web", INCLUDE, ...options, `127.0.0.1:${port}`, ...target]);
    await stage.until(name, () => listens(port));
    return port;
}

/** Starts busybox's telnet server; returns its address. */
async function busybox() {
    const port = await freePort();
    // -K: the session ends with the shell, even if the shell has left processes behind.
    stage.start("busybox", ["busybox", "telnetd", "-F", "-K", "-p", port, "-b", "127.0.0.1", "-l", program]);
    await stage.until("busybox", () => listens(port));
    return `127.0.0.1:${port}`;
}

/** A TCP server in this process; `serve` gets each connection. Returns its address. */
async function server(serve) {
    const listener = createServer(serve);
    await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
    listener.unref();
    return `127.0.0.1:${listener.address().port}`;
}

/** What a person does in a session with a shell behind a telnet server, from the first line to a clean end. */
async function session(page, { scheme, terminal, farewell = /^The session ended: the other side has closed it \(1000, Target closed\)/ }) {
    await page.says(/^Connected to /);
    await page.shows(new RegExp(`^ready, ${terminal}$`, "m"));
    expect((await page.focused()) === "terminal", "the terminal has the keyboard");
    expect(page.sockets.at(-1).startsWith(`${scheme}://`), `the WebSocket went to ${page.sockets.at(-1)}`);

    await page.type("echo $((6*7))-$((3*5))");
    await page.shows(/^42-15$/m);
    await page.type("printf 'gr\\303\\274n \\342\\202\\254 \\360\\237\\246\\200\\n'");
    await page.shows(/^grün € 🦀$/m);
    await page.type("printf %s 'ß€' | od -An -tx1");
    await page.shows(/^ c3 9f e2 82 ac$/m);

    await page.type("echo size $(stty size)");
    const [, rows, columns] = (await page.shows(/^size (\d+) (\d+)$/m)).map(Number);
    expect(rows === (await page.rows()), `the server knows ${rows} rows`);
    await page.tab.setViewportSize({ width: 700, height: 500 });
    // The server is told when the terminal has changed, and so before what is typed then.
    await stage.until("smaller terminal", async () => (await page.rows()) < rows);
    await page.type("clear; echo later $(stty size)");
    const [, fewer, narrower] = (await page.shows(/^later (\d+) (\d+)$/m)).map(Number);
    expect(fewer < rows && narrower < columns, `${rows}x${columns} became ${fewer}x${narrower}`);
    expect(fewer === (await page.rows()), `the server knows ${fewer} rows then`);

    await page.type("sleep 1000");
    await page.shows(/^> sleep 1000$/m);
    await page.tab.keyboard.press("Control+c");
    // Until the shell reads again, the terminal on the other side throws away what is typed.
    await page.shows(/\^C\n>\s*$/);
    await page.type("echo status $?");
    await page.shows(/^status 130$/m);

    await page.type("exit");
    await page.says(farewell);
}

/** Another session after the first one, by the key that the page names. */
async function again(page) {
    await page.tab.keyboard.press("Enter");
    await page.says(/^Connected to /);
    // The first session's output was cleared.
    await page.shows(/^ready, /m);
    await page.type("echo again-$((1+1))");
    await page.shows(/^again-2$/m);
}

/** A whole page in one scheme of colours: pictures, and what axe-core objects to at each moment. */
async function lookAt(page, name, moment) {
    await page.picture(`${PICTURES}/${name}-${moment}.png`);
    const objections = await page.objections();
    expect(objections.length === 0, `${moment}:\n${objections.join("\n")}`);
}

/** The cases, by name. Each gets the browser and returns the page whose faults count, if there is one. */
const CASES = {
    /** The same examples as in the unit tests, with real WebSockets and a real server. */
    async "examples"(browser) {
        const port = await gateway("echo", [], await server((socket) => socket.pipe(socket)));
        const page = await TerminalPage.open(browser, `http://127.0.0.1:${port}/wstelnet.html`);
        const address = `ws://127.0.0.1:${port}/websockify`;
        for (const { code, claims } of examples()) {
            // As text, since the page's rules forbid it to make functions of text; whoever drives it may.
            const wrong = await page.tab.evaluate(`(async () => {
                const { default: Websock } = await import("./websock.js");
                const seen = [];
                const same = (got, said, what) => seen.push([what, JSON.stringify(got), JSON.stringify(said)]);
                (() => { ${code.replaceAll(ADDRESS, address)} })();
                const deadline = Date.now() + ${STEP_MS};
                while (seen.length < ${claims} && Date.now() < deadline) {
                    await new Promise((resolve) => setTimeout(resolve, 10));
                }
                const differ = seen.filter(([, got, said]) => got !== said);
                return seen.length === ${claims} ? differ : [["claims", seen.length, ${claims}]];
            })()`);
            expect(wrong.length === 0, `${JSON.stringify(wrong)} in\n${code}`);
        }
        return page;
    },

    async "telnet-ws"(browser) {
        const port = await gateway("ws", [], await busybox());
        const page = await TerminalPage.open(browser, `http://127.0.0.1:${port}/wstelnet.html`);
        await page.says(/^Not connected\.$/);
        await page.tab.click("#connect");
        await session(page, { scheme: "ws", terminal: "xterm" });
        await again(page);
        await page.tab.click("#connect");
        await page.says(/^Disconnected\./);
        return page;
    },

    async "telnet-wss"(browser) {
        const port = await gateway("wss", ["--cert", pem, "--ssl-only"], await busybox());
        const page = await TerminalPage.open(browser, `https://localhost:${port}/wstelnet.html?autoconnect=1`);
        await session(page, { scheme: "wss", terminal: "xterm" });
        return page;
    },

    /** A telnet server that listens itself and serves one client: it is moved to another port, and restarted. */
    async "telnetd-ssl"(browser) {
        const port = await freePort();
        // It does not start without a certificate, and accepts only RSA keys.
        const own = stage.file("rsa.pem");
        certify(own, "rsa:2048");
        const options = ["-z", `cert=${own}`, "-z", `key=${own}`, "-L", program, "-debug", port];
        const wrapped = ["--wrap-mode=respawn", "--", `${WORK}/telnetd-ssl/usr/sbin/in.telnetd`, ...options];
        stage.start("telnetd-ssl", [GATEWAY, "--web", INCLUDE, `127.0.0.1:${port}`, ...wrapped]);
        await stage.until("telnetd-ssl", () => listens(port));
        const page = await TerminalPage.open(browser, `http://127.0.0.1:${port}/wstelnet.html?autoconnect=1`);
        await session(page, { scheme: "ws", terminal: "xterm-256color" });
        await again(page);
        return page;
    },

    /** A telnet server that is started for each session, with the session as its standard input. */
    async "inetutils"(browser) {
        const port = await freePort();
        const wrapped = ["--wrap-stdin", "--", `${WORK}/inetutils-telnetd/usr/sbin/telnetd`, "-h", "-E", program];
        stage.start("inetutils", [GATEWAY, "--web", INCLUDE, `127.0.0.1:${port}`, ...wrapped]);
        await stage.until("inetutils", () => listens(port));
        const page = await TerminalPage.open(browser, `http://127.0.0.1:${port}/wstelnet.html?autoconnect=1`);
        await session(page, { scheme: "ws", terminal: "xterm-256color" });
        return page;
    },

    /** A server that does not speak telnet: lines are shown and edited here, and sent whole. */
    async "plain"(browser) {
        let got = "";
        const target = await server((socket) => {
            socket.write("What now?\r\n");
            socket.on("data", (bytes) => {
                got += bytes.toString("latin1");
                if (got.includes("end")) socket.end("Bye.\r\n");
            });
            socket.on("error", () => {});
        });
        const port = await gateway("plain", [], target);
        const page = await TerminalPage.open(browser, `http://127.0.0.1:${port}/wstelnet.html?autoconnect=1`);
        await page.shows(/^What now\?$/m);
        await page.tab.keyboard.type("lokk");
        await page.tab.keyboard.press("Backspace");
        await page.tab.keyboard.press("Backspace");
        expect(got === "", "nothing goes before Enter");
        await page.tab.keyboard.press("ArrowUp");
        await page.type("ok 你");
        await page.shows(/^look 你$/m);
        await stage.until("the line", () => got === "look \xe4\xbd\xa0\r\n");
        await page.tab.keyboard.press("Control+c");
        await stage.until("the interruption", () => got.endsWith("\xff\xf4"));
        await page.type("end");
        await page.shows(/^Bye\.$/m);
        await page.says(/^The session ended: the other side has closed it \(1000, Target closed\)/);
        return page;
    },

    /** Why there is no session, or none any more, in words; and where the token goes. */
    async "endings"(browser) {
        const target = await server((socket) => socket.on("error", () => {}).write("Hello.\r\n"));
        writeFileSync(stage.file("tokens"), `a+b&c: ${target}\ngone: 127.0.0.1:${await freePort()}\n`);
        const tokens = ["--token-plugin", "TokenFile", "--token-source", stage.file("tokens")];
        const port = await gateway("tokens", tokens);
        const base = `http://127.0.0.1:${port}/wstelnet.html?autoconnect=1`;
        const outcome = async (query, status, shown) => {
            const page = await TerminalPage.open(browser, `${base}${query}`);
            await page.says(status);
            if (shown) await page.shows(shown);
            return page;
        };
        const good = await outcome("&token=a%2Bb%26c", /^Connected to /, /^Hello\.$/m);
        expect(good.sockets[0].endsWith("/websockify?token=a%2Bb%26c"), good.sockets[0]);
        const hidden = await outcome("#token=a%2Bb%26c", /^Connected to /, /^Hello\.$/m);
        const path = await outcome("&path=any/way%3Ftoken=a%252Bb%2526c", /^Connected to /, /^Hello\.$/m);
        const elsewhere = await outcome("&path=//example.org/x&token=a%2Bb%26c", /^Connected to /, /^Hello\.$/m);
        expect(elsewhere.sockets[0].startsWith(`ws://127.0.0.1:${port}/example.org/x?`), elsewhere.sockets[0]);
        const gone = /^The session ended: the gateway could not connect to its target \(1011, Failed to connect to /;
        await outcome("&token=gone", gone);
        await outcome("&token=unknown", /^Not connected: nobody answers there, or the server refuses you \(1006\)/);
        await outcome(`&port=${await freePort()}`, /^Not connected: nobody answers there/);
        await outcome("&port=99999", /^Not connected: .*99999/);
        await outcome("&host=a%20b", /^Not connected: /);
        const program = stage.programs().find(({ name }) => name === "tokens");
        await stage.stop(program);
        await good.says(/^The session ended: the server is going away \(1001/);
        for (const page of [good, hidden, path, elsewhere]) {
            expect(page.faults.length === 0, page.faults.join("\n"));
        }
    },

    /** What has the keyboard, what is copied and what is pasted. */
    async "keys"(browser) {
        const port = await gateway("keys", [], await busybox());
        const page = await TerminalPage.open(browser, `http://127.0.0.1:${port}/wstelnet.html`);
        await page.context.grantPermissions(["clipboard-read", "clipboard-write"]);
        const press = (keys) => page.tab.keyboard.press(keys);
        expect((await page.focused()) === "connect", "the page begins at its button");
        await press("Enter");
        await page.shows(/^ready, /m);
        await press("Tab");
        expect((await page.focused()) === "terminal", "Tab is the server's");
        await press("Alt+Shift+T");
        expect((await page.focused()) === "connect", "the named key leaves the terminal");
        const way = [];
        for (let step = 0; step < 3; step++) {
            await press("Tab");
            way.push(await page.focused());
        }
        expect(way.join() === "paste,reader,terminal", `the keyboard's way is ${way}`);

        await press("Control+u");
        await page.type("echo $((1000+234))");
        await page.shows(/^1234$/m);
        await page.selectWord(/^1234$/, 10);
        const copied = () => page.tab.evaluate(() => navigator.clipboard.readText());
        await press("Control+Shift+C");
        await stage.until("the copy", async () => (await copied()) === "1234");
        await page.tab.evaluate(() => navigator.clipboard.writeText("echo \u00fc-$((3*3))"));
        await page.tab.click("#paste");
        await page.shows(/^> echo \u00fc-/m);
        await press("Enter");
        await page.shows(/^\u00fc-9$/m);
        await page.selectWord(/^\u00fc-9$/, 22);
        await page.tab.click("#copy");
        await stage.until("the copy", async () => /9/.test(await copied()));
        expect((await page.focused()) === "terminal", "the terminal has the keyboard again");
        await press("Control+Shift+V");
        await page.shows(/^> .*9$/m);
        return page;
    },

    /** Pictures for people, and what axe-core objects to: nothing, in every state, light and dark. */
    async "looks"(browser) {
        const port = await gateway("looks", [], await busybox());
        for (const colorScheme of ["light", "dark"]) {
            const url = `http://127.0.0.1:${port}/wstelnet.html`;
            const page = await TerminalPage.open(browser, url, { colorScheme });
            await lookAt(page, colorScheme, "idle");
            await page.tab.click("#connect");
            await page.shows(/^ready, /m);
            await page.type("for c in 1 2 3 4 5 6 7; do printf \"\\033[3${c}mcolour $c  \\033[1mbold\\033[0m\\n\"; done");
            await page.shows(/^colour 7/m);
            await lookAt(page, colorScheme, "session");
            await page.tab.check("#reader");
            await lookAt(page, colorScheme, "reader");
            await page.tab.setViewportSize({ width: 360, height: 640 });
            await page.tab.click("#terminal");
            await page.type("exit");
            await page.says(/^The session ended/);
            await lookAt(page, colorScheme, "narrow");
            expect(page.faults.length === 0, page.faults.join("\n"));
        }
    },
};

/** Runs one case to its end, good or bad, and ends all that it has started. */
async function attempt(name, browser) {
    const stop = new AbortController();
    const late = sleep(CASE_MS, null, { signal: stop.signal }).then(() => {
        throw new Error(`not done within ${CASE_MS} ms`);
    });
    const start = Date.now();
    try {
        const page = await Promise.race([CASES[name](browser), late]);
        expect(!page?.faults.length, page?.faults.join("\n"));
        console.log(`ok ${name} ${Date.now() - start} ms`);
        return true;
    } catch (error) {
        console.log(`FAILED ${name}: ${error.message}`);
        const mine = stage.programs().map(({ name }) => `${name}.log`);
        for (const [log, text] of stage.logs().filter(([log]) => mine.includes(log))) {
            console.log(`--- ${stage.file(log)} ends with\n${text.trimEnd().split("\n").slice(-12).join("\n")}`);
        }
        return false;
    } finally {
        stop.abort();
        late.catch(() => {});
        await Promise.all(browser.contexts().map((context) => context.close()));
        await stage.clear();
    }
}

const wanted = process.argv.slice(2);
const names = Object.keys(CASES).filter((name) => wanted.length === 0 || wanted.includes(name));
if (names.length < wanted.length) {
    console.log(`the cases are ${Object.keys(CASES).join(", ")}`);
    process.exit(2);
}
prepare();
const browser = await launch(stage.folder);
let failures = 0;
for (const name of names) {
    if (!(await attempt(name, browser))) failures += 1;
}
await Promise.race([browser.close(), sleep(END_MS, null, { ref: false })]);
process.exit(failures > 0 ? 1 : 0);
