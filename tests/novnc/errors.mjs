// The causes of close code 1006 in docs/errors.md, each brought about in Chromium: the console has the words of the
// table's first column, and the gateway's log those of the second.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { launch } from "./browser.mjs";
import { GATEWAY, Stage, WORK, freePort, listens } from "./stage.mjs";

const table = readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8").split("\n").filter((line) => line.startsWith("| "));

/**
 * `row` is in the first column of the table; `options` are the gateway's, none where there is no gateway; `seen` is what
 * the console has, and `said` what the log has. Where `after` is there it is done once the WebSocket is open.
 */
const CASES = [
    { row: "ERR_CONNECTION_REFUSED", options: null, seen: "ERR_CONNECTION_REFUSED" },
    {
        row: "ERR_CERT_AUTHORITY_INVALID",
        options: ["--cert", "cert.pem"],
        scheme: "wss",
        seen: "ERR_CERT_AUTHORITY_INVALID",
        said: "rejected the certificate",
    },
    { row: "ERR_CONNECTION_CLOSED",
        scheme: "wss", seen: "ERR_CONNECTION_CLOSED", said: "SSL connection but" },
    {
        row: "status 400 for `ws`",
        options: ["--cert", "cert.pem", "--ssl-only"],
        seen: "400",
        said: "non-SSL connection received but disallowed",
    },
    {
        row: "status 401",
        options: ["--auth-plugin", "BasicHTTPAuth", "--auth-source", "me:secret"],
        seen: "Authentication failed",
        said: "code 401, message",
    },
    {
        row: "status 403",
        options: ["--allow-origin", "https://console.example.org"],
        seen: "403",
        said: "the page's origin is not one of --allow-origin",
    },
    {
        row: "status 403",
        options: ["--token-plugin", "TokenFile", "--token-source", "tokens"],
        seen: "403",
        said: "there is no token in the request",
    },
    {
        row: "status 404 with a token",
        options: ["--token-plugin", "TokenFile", "--token-source", "tokens"],
        path: "websockify?token=other",
        seen: "404",
        said: "code 404, message",
    },
    { row: "status 503", options: ["--max-connections", 1], sockets: 2, seen: "503", said: "connections are in use" },
    {
        row: "Sec-WebSocket-Protocol",
        protocol: "base64",
        seen: "Sent non-empty 'Sec-WebSocket-Protocol' header but no response was received",
        said: "client offered only the sub-protocols",
    },
    { row: "all sessions at once", after: (gateway) => gateway.child.kill("SIGKILL"), seen: "" },
];

async function run(stage, browser, target, { row, options = [], scheme = "ws", path = "websockify", protocol, sockets = 1, seen, said, after }) {
    const cells = table.find((line) => line.split(" | ")[0].includes(row));
    if (!cells || (said && !cells.includes(said))) throw new Error("docs/errors.md has no such row");
    const port = await freePort();
    const words = (options ?? []).map(String);
    const log = stage.logs().length;
    const gateway = options && stage.start(`gateway-${log}-${port}`, ["sh", "-c", 'cd "$0" && exec "$@"', stage.folder, GATEWAY, "-v", ...words, `127.0.0.1:${port}`, ...(words.includes("TokenFile") ? [] : [`127.0.0.1:${target}`])]);
    if (gateway) await stage.until("gateway", () => listens(port));
    const context = await browser.newContext();
    const page = await context.newPage();
    let heard = "";
    page.on("console", (message) => (heard += `${message.text()}\n`));
    await page.evaluate(({ url, protocol, sockets }) => {
        window.open = 0;
        window.codes = [];
        for (let count = 0; count < sockets; count++) {
            const socket = new WebSocket(url, protocol ?? []);
            socket.onopen = () => (window.open += 1);
            socket.onclose = ({ code }) => window.codes.push(code);
        }
    }, { url: `${scheme}://127.0.0.1:${port}/${path}`, protocol, sockets });
    if (after) {
        await stage.until("session", () => page.evaluate(() => window.open === 1));
        stage.forget(gateway);
        after(gateway);
    }
    const codes = await stage.until("close", async () => {
        const codes = await page.evaluate(() => window.codes);
        return codes.length > 0 && codes;
    });
    if (codes[0] !== 1006) throw new Error(`the close code is ${codes[0]}`);
    if (!heard.includes(seen)) throw new Error(`the console has: ${heard}`);
    if (said) await stage.until(`'${said}' in the log`, () => stage.read(`gateway-${log}-${port}.log`).includes(said));
    await context.close();
    if (gateway && !after) await stage.stop(gateway);
}

const stage = new Stage(`${WORK}/cases/errors`);
let status = 0;
try {
    execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", stage.file("cert.pem"), "-out", stage.file("cert.pem")], { stdio: "ignore" });
    const target = createServer((socket) => socket.on("error", () => {})).listen(0, "127.0.0.1");
    await new Promise((resolve) => target.on("listening", resolve));
    writeFileSync(stage.file("tokens"), `one: 127.0.0.1:${target.address().port}\n`);
    const browser = await launch(stage.folder);
    for (const one of CASES) {
        try {
            await run(stage, browser, target.address().port, one);
        } catch (error) {
            status = 1;
            console.log(`FAILED errors: ${one.row}: ${error.message}`);
        }
    }
    await browser.close();
    target.close();
    if (status === 0) console.log(`ok errors: ${CASES.length} causes of close code 1006`);
} catch (error) {
    status = 1;
    console.log(`FAILED errors: ${error.message}`);
} finally {
    await stage.clear();
}
process.exit(status);
