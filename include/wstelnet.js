// The telnet page: its form, its terminal, and the session between the terminal and a server.

import LineEditor from "./line.js";
import Telnet from "./telnet.js";
import { FitAddon } from "./vendor/addon-fit.mjs";
import { Terminal } from "./vendor/xterm.mjs";
import Websock from "./websock.js";
import { ending } from "./ending.js";

/** Bytes that may wait for the terminal to show them; it accepts 50 MB and drops the rest. */
const UNSHOWN_BYTES_MAX = 32 << 20;

/** The code of the Close frame for a session with too much output. */
const TOO_MUCH = 4009;

/** Resets what a session may have left on: colours, mouse reports, bracketed paste, a hidden cursor. */
const SETTLE = "\x1b[!p\x1b[?9;1000;1002;1003;1006;2004l\x1b[?25h";

/** Leaves the alternate screen, if it is active: on the main screen this would move the cursor. */
const FIRST_SCREEN = "\x1b[?1049l";

const THEMES = {
    light: { background: "#ffffff", foreground: "#1f2430", cursor: "#1f2430", selectionBackground: "#b3d0f5" },
    dark: { background: "#101216", foreground: "#e6e8ec", cursor: "#e6e8ec", selectionBackground: "#34507a" },
};

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 */
function element(id, kind) {
    const found = document.getElementById(id);
    if (!(found instanceof kind)) throw new Error(`the page has no ${id}`);
    return found;
}

const form = element("connection", HTMLFormElement);
const address = element("address", HTMLFieldSetElement);
const button = element("connect", HTMLButtonElement);
const copyButton = element("copy", HTMLButtonElement);
const pasteButton = element("paste", HTMLButtonElement);
const reader = element("reader", HTMLInputElement);
const status = element("status", HTMLParagraphElement);
const screen = element("terminal", HTMLDivElement);

/** @param {string} name */
function field(name) {
    const found = form.elements.namedItem(name);
    if (!(found instanceof HTMLInputElement)) throw new Error(`the form has no ${name}`);
    return found;
}

// ---- the terminal

const dark = matchMedia("(prefers-color-scheme: dark)");
const terminal = new Terminal({
    cursorBlink: false,
    fontFamily: "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace",
    fontSize: 15,
    minimumContrastRatio: 4.5,
    scrollback: 5000,
    theme: dark.matches ? THEMES.dark : THEMES.light,
});
const fit = new FitAddon();
terminal.loadAddon(fit);
terminal.open(screen);
dark.addEventListener("change", () => {
    terminal.options.theme = dark.matches ? THEMES.dark : THEMES.light;
});
new ResizeObserver(() => fit.fit()).observe(screen);
terminal.onTitleChange((title) => {
    document.title = title === "" ? "Telnet" : `${title} – Telnet`;
});
reader.addEventListener("change", () => {
    terminal.options.screenReaderMode = reader.checked;
});

// ---- messages of the page

/**
 * @param {string} text
 * @param {"" | "good" | "bad"} [how]
 */
function say(text, how = "") {
    status.textContent = text;
    status.className = how;
}

/** The address that the form names. */
function target() {
    const value = (/** @type {string} */ name) => field(name).value.trim();
    const host = value("host").includes(":") && !value("host").startsWith("[") ? `[${value("host")}]` : value("host");
    const base = `${field("encrypt").checked ? "wss" : "ws"}://${host}:${value("port")}`;
    let url;
    try {
        // A single slash, so that a path can't name another host.
        url = new URL(`/${value("path").replace(/^[/\\]+/, "")}`, base);
    } catch {
        throw new Error(`${base} is no address`);
    }
    if (value("token") !== "") url.searchParams.set("token", value("token"));
    return url;
}

// ---- the session

const encoder = new TextEncoder();

/** One connection, from the click to the end. */
class Session {
    #ws = new Websock();
    #telnet = new Telnet({ columns: terminal.cols, rows: terminal.rows });
    #editor = new LineEditor();
    #wasOpen = false;
    #unshown = 0;
    /** The closing message, if it is known before the connection ends. */
    #last = "";

    /** @param {URL} url */
    constructor(url) {
        this.#ws.on("open", () => this.#opened(url));
        this.#ws.on("message", () => this.#received());
        this.#ws.on("close", (event) => {
            over(this.#last || ending(event, this.#wasOpen), this.#last === "" && event.code !== 1000);
        });
        this.#ws.open(url);
    }

    /** @param {URL} url */
    #opened(url) {
        this.#wasOpen = true;
        say(`Connected to ${url.host}${url.protocol === "wss:" ? ", encrypted" : ""}.`, "good");
        terminal.focus();
    }

    #received() {
        const { data, reply, events } = this.#telnet.receive(this.#ws.rQshiftBytes(undefined, false));
        if (reply.length > 0) this.#ws.send(reply);
        const echoes = events.some((event) => event.type === "option" && event.side === "them");
        // If the server takes over echoing in the middle of a line, what was typed of it is sent.
        if (echoes && this.#telnet.serverEchoes) this.#send(this.#editor.take());
        this.#unshown += data.length;
        if (this.#unshown > UNSHOWN_BYTES_MAX) {
            this.end("Ended here: the server sends more than can be shown.", TOO_MUCH);
            return;
        }
        terminal.write(data, () => {
            this.#unshown -= data.length;
        });
    }

    /** @param {string} text */
    #send(text) {
        if (text !== "") this.#ws.send(this.#telnet.encode(encoder.encode(text)));
    }

    /** @param {string} text What was typed or pasted. */
    type(text) {
        if (this.#telnet.serverEchoes) {
            this.#send(text);
            return;
        }
        const { screen, server, interrupt } = this.#editor.type(text);
        terminal.write(screen);
        this.#send(server);
        if (interrupt) this.#ws.send(Telnet.command("IP"));
    }

    /** @param {string} bytes One for each character: mouse reports in an old form. */
    typeBytes(bytes) {
        this.#ws.send(this.#telnet.encode(Uint8Array.from(bytes, (char) => char.charCodeAt(0))));
    }

    resized() {
        const news = this.#telnet.resize(terminal.cols, terminal.rows);
        if (news.length > 0) this.#ws.send(news);
    }

    /**
     * @param {string} why
     * @param {number} [code]
     */
    end(why, code) {
        this.#last = why;
        this.#ws.close(code);
    }
}

/** @type {Session | null} */
let session = null;

function begin() {
    if (!form.reportValidity()) return;
    let url;
    try {
        url = target();
        say(`Connecting to ${url.host} …`);
        session = new Session(url);
    } catch (error) {
        say(`Not connected: ${error instanceof Error ? error.message : error}`, "bad");
        return;
    }
    address.hidden = true;
    button.textContent = "Disconnect";
    button.type = "button";
}

/**
 * @param {string} text
 * @param {boolean} isBad
 */
function over(text, isBad) {
    session = null;
    // After what is still to be shown.
    terminal.write(SETTLE, () => {
        terminal.write(`${terminal.buffer.active.type === "alternate" ? FIRST_SCREEN : ""}\r\n`);
    });
    address.hidden = false;
    button.textContent = "Reconnect";
    button.type = "submit";
    say(`${text} Enter in the terminal connects again.`, isBad ? "bad" : "");
}

form.addEventListener("submit", (event) => {
    event.preventDefault();
    begin();
});
button.addEventListener("click", (event) => {
    if (session === null) return;
    event.preventDefault();
    session.end("Disconnected.");
});
terminal.onData((text) => {
    if (session !== null) session.type(text);
    else if (text === "\r" && button.textContent === "Reconnect") begin();
});
terminal.onBinary((bytes) => session?.typeBytes(bytes));
terminal.onResize(() => session?.resized());

// ---- copy, paste, keys

async function copy() {
    const text = terminal.getSelection();
    if (text === "") return;
    try {
        // There is no clipboard for unencrypted pages from other hosts.
        if (navigator.clipboard === undefined) document.execCommand("copy");
        else await navigator.clipboard.writeText(text);
    } catch {
        say("The browser does not let this page copy: Ctrl+Insert does.", "bad");
    }
    terminal.focus();
}

async function paste() {
    try {
        terminal.paste(await navigator.clipboard.readText());
    } catch {
        say("The browser does not let this page paste: Ctrl+Shift+V or Shift+Insert does.", "bad");
    }
    terminal.focus();
}

copyButton.addEventListener("click", copy);
pasteButton.addEventListener("click", paste);
pasteButton.disabled = navigator.clipboard?.readText === undefined;
if (pasteButton.disabled) pasteButton.title = "Only for encrypted pages: use Ctrl+Shift+V or Shift+Insert";
terminal.onSelectionChange(() => {
    copyButton.disabled = !terminal.hasSelection();
});
terminal.attachCustomKeyEventHandler((event) => {
    if (event.altKey && event.shiftKey && event.code === "KeyT") {
        if (event.type === "keydown") button.focus();
        event.preventDefault();
        return false;
    }
    if (!event.ctrlKey || !event.shiftKey) return true;
    if (event.code === "KeyC") {
        if (event.type === "keydown") void copy();
        event.preventDefault();
        return false;
    }
    // The browser's own paste.
    return event.code !== "KeyV";
});

// ---- the start

const asked = new URLSearchParams(location.search);
for (const [name, value] of new URLSearchParams(location.hash.slice(1))) asked.set(name, value);
const isYes = (/** @type {string | null} */ word) => ["1", "true", "yes", "on", ""].includes(word ?? "no");
const isSecure = location.protocol === "https:";
field("host").value = asked.get("host") || location.hostname.replace(/^\[|\]$/g, "");
field("port").value = asked.get("port") || location.port || (isSecure ? "443" : "80");
field("path").value = asked.get("path") ?? "websockify";
field("token").value = asked.get("token") ?? "";
field("encrypt").checked = asked.has("encrypt") ? isYes(asked.get("encrypt")) : isSecure;
say("Not connected.");
fit.fit();
if (isYes(asked.get("autoconnect"))) begin();
else button.focus();
