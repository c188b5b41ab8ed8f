// Every supported way from a browser to a desktop, each tried as a person would.
//
// A case is a row of the table: how the gateway is started, and the address that the browser opens. What is
// then looked at is the same for all.

import { execFileSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Page, launch } from "./browser.mjs";
import { Desktop, HEIGHT, ROOT_LATER, ROOT_POINT, TERMINAL_POINT, TYPED, WIDTH, at } from "./desktop.mjs";
import { expect, same } from "./looks.mjs";
import { restart } from "./redis.mjs";
import { DEBIAN, END_MS, GATEWAY, Stage, WORK, freePort, listens } from "./stage.mjs";

/** Milliseconds for one case, from the start of its first program to the end of its last. */
const CASE_MS = 60_000;

const newest = `${WORK}/newest`;
/** The same with our websock.js. */
const ours = `${WORK}/ours`;
const certificate = `${WORK}/cert.pem`;
const key = `${WORK}/key.pem`;
/** Certificate and key in one file, as in many installations. */
const pem = `${WORK}/both.pem`;

/** A web server that has nothing to do with the gateway. */
const PAGES = (port) => ["python3", "-m", "http.server", "--bind", "127.0.0.1", "-d", DEBIAN, port];

/** What the log must not show. */
const TOKEN = "n0VNC-t0ken-53cret";
/** One that has to be encoded, once for the page and once more for the WebSocket. */
const ODD_TOKEN = "n0VNC+odd&t0ken=%41";
const USER = "me";
const PASSWORD = "hunter2";
/** The password's bcrypt, as `htpasswd -B` writes it. */
const HASH = "$2y$04$XlLS60TJaSPbKbq6/k9r8OSiE.VLOzirGWAaxpqyn5NxhfEZ7xPjS";

/**
 * The cases. `command` starts the gateway for a listening and a target address, with a folder for its files;
 * `page` is the address to open; `scheme` is that of the WebSocket; `prepare` writes files before; `credentials`
 * answer the browser's question for a password; `secrets` must not be in the gateway's log at the end; `connects`
 * says that the page connects without being told to; `act` does all of this itself. The names `localhost` and `127.0.0.1` are both tried, since
 * Chromium asks for [::1] first when it is told `localhost`.
 */
const CASES = [
    {
        name: "ws-page-elsewhere",
        command: (listen, target) => [GATEWAY, listen, target],
        pages: PAGES,
        page: (port, pages) => `http://127.0.0.1:${pages}/vnc.html?host=127.0.0.1&port=${port}`,
        scheme: "ws",
    },
    {
        name: "wss-page-elsewhere",
        command: (listen, target) => [GATEWAY, "--cert", pem, listen, target],
        pages: PAGES,
        page: (port, pages) => `http://localhost:${pages}/vnc.html?host=localhost&port=${port}&encrypt=1`,
        scheme: "wss",
    },
    {
        name: "ws",
        command: (listen, target) => [GATEWAY, "--web", DEBIAN, listen, target],
        page: (port) => `http://localhost:${port}/vnc.html`,
        scheme: "ws",
    },
    {
        name: "wss",
        command: (listen, target) => [GATEWAY, "--web", DEBIAN, "--cert", pem, "--ssl-only", listen, target],
        page: (port) => `https://localhost:${port}/vnc.html`,
        scheme: "wss",
    },
    {
        // The order in which noVNC's launcher writes its arguments: options behind the addresses.
        name: "launcher-order",
        command: (listen, target) => [
            ...[GATEWAY, "--web", DEBIAN, "--cert", certificate, "--key", key, listen, target],
            ...["--heartbeat", 1, "--idle-timeout", 120, "--timeout", 120],
        ],
        page: (port) => `https://127.0.0.1:${port}/vnc.html`,
        scheme: "wss",
    },
    {
        // The launcher itself, which finds the gateway on PATH. It serves both kinds of clients on one port.
        name: "launcher",
        command: (listen, target) => [
            ...[`${DEBIAN}/utils/novnc_proxy`, "--listen", listen, "--vnc", target],
            ...["--web", DEBIAN, "--cert", pem, "--heartbeat", 1],
        ],
        env: { PATH: `${WORK}/bin:${process.env.PATH}` },
        page: (port) => `http://localhost:${port}/vnc.html`,
        scheme: "ws",
    },
    {
        // The token is in the page's address, in the parameter that noVNC takes its WebSocket's path from.
        name: "token",
        prepare: (stage, target) => writeFileSync(stage.file("tokens"), `${TOKEN}: ${target}\n`),
        command: (listen, target, folder) => [
            ...[GATEWAY, "-v", "--web", DEBIAN, "--allow-origin", "same-origin"],
            ...["--token-plugin", "TokenFile", "--token-source", `${folder}/tokens`, listen],
        ],
        page: (port) => `http://localhost:${port}/vnc.html?path=websockify%3Ftoken%3D${TOKEN}`,
        scheme: "ws",
        secrets: [TOKEN],
    },
    {
        // The browser's own question for a password is answered over DevTools, once; it sends the password with
        // the WebSocket, too.
        name: "password",
        prepare: (stage) => writeFileSync(stage.file("users"), `${USER}:${HASH}\n`),
        command: (listen, target, folder) => [
            ...[GATEWAY, "-v", "--web", DEBIAN, "--web-auth", "--auth-plugin", "BasicHTTPAuth"],
            ...["--auth-source", `@${folder}/users`, "--auth-cookie", listen, target],
        ],
        page: (port) => `http://localhost:${port}/vnc.html`,
        scheme: "ws",
        credentials: { username: USER, password: PASSWORD },
        secrets: [PASSWORD, HASH, Buffer.from(`${USER}:${PASSWORD}`).toString("base64"), "websockify-auth-"],
    },
    {
        // The whole recipe: no directories, pages or paths are given.
        name: "novnc",
        command: (listen, target) => [GATEWAY, "--novnc", listen, target],
        page: (port) => `http://localhost:${port}/`,
        connects: true,
        scheme: "ws",
    },
    {
        name: "novnc-token-wss",
        prepare: (stage, target) => writeFileSync(stage.file("tokens"), `${ODD_TOKEN}: ${target}\n`),
        command: (listen, target, folder) => [
            ...[GATEWAY, "-v", `--novnc=${DEBIAN}`, "--cert", pem, "--ssl-only"],
            ...["--token-plugin", "TokenFile", "--token-source", `${folder}/tokens`, listen],
        ],
        page: (port) => `https://localhost:${port}/?token=${encodeURIComponent(ODD_TOKEN)}`,
        connects: true,
        scheme: "wss",
        secrets: [ODD_TOKEN, encodeURIComponent(ODD_TOKEN)],
    },
    {
        name: "novnc-core-token",
        prepare: (stage, target) => writeFileSync(stage.file("tokens"), `${ODD_TOKEN}: ${target}\n`),
        command: (listen, target, folder) => [
            ...[GATEWAY, "-v", `--novnc=${newest}`, "--token-plugin", "TokenFile"],
            ...["--token-source", `${folder}/tokens`, listen],
        ],
        page: (port) => `http://127.0.0.1:${port}/?token=${encodeURIComponent(ODD_TOKEN)}`,
        connects: true,
        scheme: "ws",
        secrets: [ODD_TOKEN, encodeURIComponent(ODD_TOKEN)],
    },
    {
        name: "novnc-core-wss",
        command: (listen, target) => [GATEWAY, `--novnc=${newest}`, "--cert", pem, listen, target],
        page: (port) => `https://localhost:${port}/`,
        connects: true,
        scheme: "wss",
    },
    {
        // The newest core with our websock.js in the place of its own, and otherwise as it is.
        name: "our-websock",
        command: (listen, target) => [GATEWAY, `--novnc=${ours}`, listen, target],
        page: (port) => `http://127.0.0.1:${port}/`,
        connects: true,
        scheme: "ws",
    },
    {
        name: "newest-core",
        command: (listen, target) => [GATEWAY, "--web", newest, listen, target],
        page: (port) => `http://127.0.0.1:${port}/vnc.html`,
        scheme: "ws",
    },
    {
        // The recording, once played, shows what was shown when the session ended.
        name: "recorded-ws",
        command: (listen, target, folder) => [
            ...[GATEWAY, "--web", newest, "--record", `${folder}/np`, listen, target],
        ],
        page: (port) => `http://127.0.0.1:${port}/vnc.html`,
        scheme: "ws",
        isRecorded: true,
    },
    {
        name: "recorded-wss",
        command: (listen, target, folder) => [
            ...[GATEWAY, "--web", newest, "--cert", pem, "--record", `${folder}/np`, listen, target],
        ],
        page: (port) => `https://127.0.0.1:${port}/vnc.html`,
        scheme: "wss",
        isRecorded: true,
    },
    {
        // The gateway starts the desktop itself, which goes into the background and outlives it.
        name: "wrapped-vncserver",
        wraps: (listen, display) => [
            ...[GATEWAY, "-v", "--web", DEBIAN, "--wrap-mode=ignore", listen, "--", "vncserver", `:${display}`],
            ...["-geometry", `${WIDTH}x${HEIGHT}`, "-depth", 24, "-SecurityTypes", "None"],
        ],
        page: (port) => `http://localhost:${port}/vnc.html`,
        scheme: "ws",
    },
    {
        // Tokens are in Redis, which is restarted while somebody works.
        name: "redis-restart",
        act: restart,
    },
];

/** Starts a gateway that starts its desktop; returns it, its port, the desktop and what ends that. */
async function wrap(row, stage) {
    let display = 80 + randomInt(100);
    while (existsSync(`/tmp/.X11-unix/X${display}`) || (await listens(5900 + display))) display += 1;
    mkdirSync(stage.file(".vnc"));
    writeFileSync(stage.file(".vnc/xstartup"), "#!/bin/sh\nexec sleep 600\n", { mode: 0o755 });
    const port = 5900 + display;
    const kill = () => {
        const name = readdirSync(stage.file(".vnc")).find((name) => name.endsWith(".pid"));
        if (name) process.kill(Number(stage.read(`.vnc/${name}`)), "SIGTERM");
    };
    stage.atEnd(kill);
    const program = stage.start("gateway", row.wraps(`127.0.0.1:${port}`, display), { HOME: stage.folder });
    await stage.until("desktop", () => stage.read("gateway.log").includes("exited (or daemon). Returned 0"));
    const env = { DISPLAY: `:${display}`, XAUTHORITY: stage.file(".Xauthority") };
    const desktop = await Desktop.attach(stage, env);
    const end = async () => {
        expect(existsSync(`/tmp/.X11-unix/X${display}`), "the desktop has ended with the gateway");
        await stage.stop(stage.programs().find(({ name }) => name === "xterm"));
        kill();
        await stage.until("end of the desktop", () => !existsSync(`/tmp/.X11-unix/X${display}`));
    };
    return { program, port, desktop, end };
}

/** Starts a desktop and the gateway in front of it. */
async function front(row, stage) {
    const desktop = await Desktop.start(stage);
    const port = await freePort();
    row.prepare?.(stage, `127.0.0.1:${desktop.port}`);
    const command = row.command(`127.0.0.1:${port}`, `127.0.0.1:${desktop.port}`, stage.folder);
    return { program: stage.start("gateway", command, row.env), port, desktop, end: () => {} };
}

/** Runs one case and returns the milliseconds to the first frame. */
async function run(row, stage, opened) {
    const { program, port, desktop, end } = await (row.wraps ? wrap(row, stage) : front(row, stage));
    await stage.until("gateway", () => listens(port));
    const pages = row.pages && (await freePort());
    if (row.pages) {
        stage.start("pages", row.pages(pages));
        await stage.until("page server", () => listens(pages));
    }

    const browser = await launch(stage.folder);
    opened.push(browser);
    const page = await Page.open(browser, { credentials: row.credentials });
    const url = new URL(row.page(port, pages));
    if (!row.connects) url.searchParams.set("autoconnect", "1");
    const firstFrameMs = await page.firstFrame(url.href);
    // The click comes first: until a client moves the pointer, the VNC server paints it into the picture.
    await page.click(TERMINAL_POINT);
    const before = await same(stage, desktop, page, "the desktop");

    const word = `word${randomInt(1e9)}`;
    await page.type(word);
    await stage.until("the word on the far side", () => stage.read(TYPED) === `${word}\n`);
    const typed = await same(stage, desktop, page, "the typed word", before);

    desktop.paint(ROOT_LATER);
    const painted = await same(stage, desktop, page, "the new colour", typed);
    expect(at(painted, ROOT_POINT) === ROOT_LATER, "the root window has another colour");

    const [socket, ...more] = page.sockets;
    expect(socket?.startsWith(`${row.scheme}://`) && more.length === 0, `WebSockets: ${page.sockets}`);
    expect(new URL(socket).port === String(port), `the WebSocket went elsewhere: ${socket}`);
    expect(page.faults.length === 0, page.faults.join("\n"));
    await page.close();
    await stage.stop(program, () => !listens(port));
    await end();
    const log = stage.read("gateway.log");
    expect(log.includes("WebSocket connection"), "there is no session in the log");
    for (const secret of row.secrets ?? []) expect(!log.includes(secret), `a secret is in the log: ${secret}`);
    if (row.isRecorded) await play(stage, browser, painted);
    return firstFrameMs;
}

/** Plays the recording of the case's session, which has to end with the picture that the session ended with. */
async function play(stage, browser, painted) {
    const [name, ...more] = readdirSync(stage.folder).filter((name) => /^np[.]\d+$/.test(name));
    expect(name !== undefined && more.length === 0, `recordings: ${[name, ...more]}`);
    const port = await freePort();
    stage.start("player", ["python3", "-m", "http.server", "--bind", "127.0.0.1", "-d", newest, port]);
    await stage.until("page server", () => listens(port));
    mkdirSync(`${newest}/recordings`, { recursive: true });
    cpSync(stage.file(name), `${newest}/recordings/${name}`);
    const page = await Page.open(browser);
    await page.tab.goto(`http://127.0.0.1:${port}/playback.html?data=recordings/${name}`);
    const played = await page.tab.waitForFunction(() => window.played).then((handle) => handle.jsonValue());
    expect(played["{"] > 10 && played["}"] > 10, `frames of both directions: ${JSON.stringify(played)}`);
    await stage.until("canvas of the recording", async () => {
        const shown = await page.picture();
        return shown.length === painted.length && shown.every((pixel, index) => pixel === painted[index]);
    });
    expect(page.faults.length === 0, page.faults.join("\n"));
    await page.close();
}

/** Runs one case to its end, good or bad, and ends all that it has started. */
async function attempt(row) {
    const stage = new Stage(`${WORK}/cases/${row.name}`);
    const opened = [];
    const stop = new AbortController();
    const late = sleep(CASE_MS, null, { signal: stop.signal }).then(() => {
        throw new Error(`not done within ${CASE_MS} ms`);
    });
    try {
        const firstFrameMs = await Promise.race([(row.act ?? run)(row, stage, opened), late]);
        console.log(`ok ${row.name} time-to-first-frame ${firstFrameMs}`);
        return true;
    } catch (error) {
        console.log(`FAILED ${row.name}: ${error.message}`);
        for (const [name, log] of stage.logs()) {
            const end = log.trimEnd().split("\n").slice(-12).join("\n");
            console.log(`--- ${stage.file(name)} ends with\n${end}`);
        }
        return false;
    } finally {
        stop.abort();
        late.catch(() => {});
        const closed = Promise.allSettled(opened.map((browser) => browser.close()));
        await Promise.race([closed, sleep(END_MS, null, { ref: false })]);
        await stage.clear();
    }
}

/** What several cases use: a certificate made now, our program under its name, a page for the newest core. */
function prepare() {
    const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
    const files = ["-days", "2", "-keyout", key, "-out", certificate];
    execFileSync("openssl", ["req", ...kind, ...names, ...files], { stdio: "pipe" });
    execFileSync("sh", ["-c", `cat "$1" "$2" >"$3"`, "sh", certificate, key, pem]);
    rmSync(`${WORK}/bin`, { recursive: true, force: true });
    mkdirSync(`${WORK}/bin`);
    symlinkSync(GATEWAY, `${WORK}/bin/websockify`);
    rmSync(newest, { recursive: true, force: true });
    for (const part of ["core", "vendor"]) {
        cpSync(`${WORK}/node_modules/@novnc/novnc/${part}`, `${newest}/${part}`, { recursive: true });
    }
    cpSync(new URL("page", import.meta.url).pathname, newest, { recursive: true });
    rmSync(ours, { recursive: true, force: true });
    cpSync(newest, ours, { recursive: true });
    cpSync(new URL("../../include/websock.js", import.meta.url).pathname, `${ours}/core/websock.js`);
}

const wanted = process.argv.slice(2);
const chosen = CASES.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
if (chosen.length < wanted.length) {
    console.log(`the cases are ${CASES.map(({ name }) => name).join(", ")}`);
    process.exit(2);
}
prepare();
let failures = 0;
for (const row of chosen) {
    if (!(await attempt(row))) failures += 1;
}
// A case past its deadline is not waited for.
process.exit(failures > 0 ? 1 : 0);
