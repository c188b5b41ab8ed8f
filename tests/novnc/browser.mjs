// noVNC in headless Chromium: what its canvas shows, what a person does to it, and what went wrong.

import { createRequire } from "node:module";
import { HEIGHT, ROOT, ROOT_POINT, TERMINAL, TERMINAL_POINT, WIDTH } from "./desktop.mjs";
import { STEP_MS, WORK } from "./stage.mjs";

// npm's packages are below target/, where an import by name would not look.
const { chromium } = createRequire(`${WORK}/`)("playwright-core");

/** The names of noVNC's page (and of ours) for the element that holds the picture. */
const CANVAS = "#noVNC_container canvas";

/** A file that noVNC asks for its version and that Debian's package leaves out. */
const LACKED = "/package.json";

/** Without these Chromium needs a sandbox that root does not have, and contacts its vendor's hosts at every start. */
const FLAGS = [
    ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
    ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
];

/** Starts Chromium, which keeps what it writes in `folder`. */
export function launch(folder) {
    return chromium.launch({
        executablePath: "/usr/bin/chromium",
        args: FLAGS,
        env: { ...process.env, HOME: folder },
        timeout: STEP_MS,
    });
}

export class Page {
    /** Complaints: errors in the page, failed requests and answers, WebSockets that broke or were closed. */
    faults = [];
    /** The addresses of the page's WebSockets. */
    sockets = [];
    /** How many answers the page has got. */
    answers = 0;

    /**
     * An empty page of `browser`, with nothing in its caches, that accepts self-signed certificates. The
     * `credentials` are what a person would answer to the browser's question for a password.
     */
    static async open(browser, { viewport = { width: WIDTH + 200, height: HEIGHT + 200 }, credentials } = {}) {
        const page = new Page();
        const options = { ignoreHTTPSErrors: true, viewport, httpCredentials: credentials };
        page.context = await browser.newContext(options);
        page.tab = await page.context.newPage();
        page.tab.setDefaultTimeout(STEP_MS);
        page.#watch();
        return page;
    }

    #watch() {
        const fault = (url, text) => url.endsWith(LACKED) || this.faults.push(`${url}: ${text}`);
        this.tab.on("pageerror", (error) => fault("error in the page", error));
        this.tab.on("requestfailed", (request) => fault(request.url(), request.failure()?.errorText));
        this.tab.on("response", (response) => {
            this.answers += 1;
            if (response.status() >= 400) fault(response.url(), `status ${response.status()}`);
        });
        this.tab.on("websocket", (socket) => {
            this.sockets.push(socket.url());
            socket.on("close", () => fault(socket.url(), "was closed"));
            socket.on("socketerror", (text) => fault(socket.url(), text));
        });
    }

    /** Goes to `url` and returns the milliseconds until the canvas shows the desktop. */
    async firstFrame(url) {
        await this.tab.goto(url);
        const seen = await this.#when(
            ({ canvas, width, height, points }) => {
                const node = document.querySelector(canvas);
                if (node?.width !== width || node.height !== height) return 0;
                const context = node.getContext("2d");
                const shows = ({ x, y, colour }) => {
                    const [red, green, blue] = context.getImageData(x, y, 1, 1).data;
                    return ((red << 16) | (green << 8) | blue) === colour;
                };
                return points.every(shows) && performance.now();
            },
            {
                width: WIDTH,
                height: HEIGHT,
                points: [
                    { ...ROOT_POINT, colour: ROOT },
                    { ...TERMINAL_POINT, colour: TERMINAL },
                ],
            },
        );
        return Math.round(seen);
    }

    /** What the canvas shows: one 0xRRGGBB per pixel, row by row. */
    async picture() {
        // As text, which Playwright hands over in milliseconds; an array of numbers takes it ten seconds.
        const text = await this.tab.evaluate((canvas) => {
            const node = document.querySelector(canvas);
            const { data } = node.getContext("2d").getImageData(0, 0, node.width, node.height);
            let bytes = "";
            for (let at = 0; at < data.length; at += 4096) {
                bytes += String.fromCharCode(...data.subarray(at, at + 4096));
            }
            return btoa(bytes);
        }, CANVAS);
        const bytes = Buffer.from(text, "base64");
        const colour = (_, pixel) => bytes.readUInt32BE(4 * pixel) >>> 8;
        return Uint32Array.from({ length: bytes.length / 4 }, colour);
    }

    /** Clicks on a point of the picture, once noVNC's veil, which swallows clicks, is gone from it. */
    async click({ x, y }) {
        const place = await this.#when(
            ({ canvas, x, y }) => {
                const node = document.querySelector(canvas);
                if (node === null) return false;
                const box = node.getBoundingClientRect();
                const place = { x: box.left + x, y: box.top + y };
                return document.elementFromPoint(place.x, place.y) === node && place;
            },
            { x, y },
        );
        await this.tab.mouse.click(place.x, place.y);
    }

    /** Types a line into whatever has the keyboard. */
    async type(line) {
        await this.tab.keyboard.type(line);
        await this.tab.keyboard.press("Enter");
    }

    /** Leaves the page; its WebSocket ends with it. */
    close() {
        return this.context.close();
    }

    /** Waits in the page, frame by frame, until `check` returns something true, and returns it. */
    async #when(check, values) {
        const all = { canvas: CANVAS, ...values };
        const handle = await this.tab.waitForFunction(check, all, { polling: "raf" });
        return handle.jsonValue();
    }
}
