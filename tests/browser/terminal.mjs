// wstelnet.html in Chromium: what it shows, what a person does to it, and what went wrong.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { STEP_MS, WORK } from "../novnc/stage.mjs";

const AXE = readFileSync(createRequire(`${WORK}/`).resolve("axe-core/axe.min.js"), "utf8");

export class TerminalPage {
    /** Complaints: errors in the page, its console's errors and warnings, failed requests and answers. */
    get faults() {
        return [...this.#faults].slice(0, 10);
    }

    /** Without duplicates. */
    #faults = new Set();
    /** The addresses of the page's WebSockets. */
    sockets = [];

    /** The page at `url`, in a context of its own that accepts self-signed certificates. */
    static async open(browser, url, { viewport = { width: 1000, height: 640 }, colorScheme = "light" } = {}) {
        const page = new TerminalPage();
        page.context = await browser.newContext({ ignoreHTTPSErrors: true, viewport, colorScheme });
        page.tab = await page.context.newPage();
        page.tab.setDefaultTimeout(STEP_MS);
        page.tab.on("pageerror", (error) => page.#faults.add(`error in the page: ${error}`));
        page.tab.on("console", (message) => {
            if (["error", "warning"].includes(message.type())) page.#faults.add(`console: ${message.text()}`);
        });
        page.tab.on("requestfailed", (request) => page.#faults.add(`${request.url()}: ${request.failure()?.errorText}`));
        page.tab.on("response", (response) => {
            if (response.status() >= 400) page.#faults.add(`${response.url()}: status ${response.status()}`);
        });
        page.tab.on("websocket", (socket) => page.sockets.push(socket.url()));
        await page.tab.goto(url);
        return page;
    }

    /** Waits until the screen shows a text that `pattern` matches, and returns the match. */
    shows(pattern) {
        return this.#wait(pattern, "screen", () => {
            const rows = [...document.querySelectorAll(".xterm-rows > div")];
            return rows.map((row) => row.textContent.replaceAll("\u00a0", " ").trimEnd()).join("\n");
        });
    }

    /** Waits until the status line is one that `pattern` matches, and returns the match. */
    says(pattern) {
        return this.#wait(pattern, "status", () => document.querySelector("#status").textContent);
    }

    async #wait(pattern, what, read) {
        const deadline = Date.now() + STEP_MS;
        for (;;) {
            const text = await this.tab.evaluate(read);
            const found = text.match(pattern);
            if (found !== null) return found;
            if (Date.now() > deadline) throw new Error(`no ${pattern} in the ${what}, which is:\n${text}`);
            await this.tab.waitForTimeout(20);
        }
    }

    /** How many rows the terminal has. */
    rows() {
        return this.tab.evaluate(() => document.querySelectorAll(".xterm-rows > div").length);
    }

    /** Types a line into the terminal. */
    async type(line) {
        await this.tab.keyboard.type(line);
        await this.tab.keyboard.press("Enter");
    }

    /** Clicks twice on a row of the terminal, some way to the right, which selects a word. */
    async selectWord(row, right) {
        const box = await this.tab.locator(".xterm-rows > div", { hasText: row }).boundingBox();
        await this.tab.mouse.dblclick(box.x + right, box.y + box.height / 2);
    }

    /** The id of what has the keyboard; the terminal's is `terminal`. */
    focused() {
        return this.tab.evaluate(() => {
            const node = document.activeElement;
            return document.querySelector("#terminal").contains(node) ? "terminal" : node.id || node.name || node.tagName;
        });
    }

    /** What axe-core objects to, in lines. */
    async objections() {
        const { violations } = await this.tab.evaluate(`${AXE}\naxe.run()`);
        return violations.flatMap(({ id, help, nodes }) =>
            nodes.map(({ target, failureSummary }) => `axe: ${id}: ${help}: ${target}: ${failureSummary}`),
        );
    }

    picture(path) {
        return this.tab.screenshot({ path });
    }

    close() {
        return this.context.close();
    }
}
