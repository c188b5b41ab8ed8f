// A small desktop behind a VNC server: a root window of one colour and an xterm that keeps what is typed.

import { execFileSync } from "node:child_process";
import { freePort, listens } from "./stage.mjs";

export const WIDTH = 640;
export const HEIGHT = 480;

/** Colours as 0xRRGGBB, chosen so that swapped channels show. */
export const ROOT = 0x336699;
export const ROOT_LATER = 0x996b12;
export const TERMINAL = 0xfff4d6;
const INK = 0x703010;

/** A point of the root window, and one inside of the xterm where no text is. */
export const ROOT_POINT = { x: 20, y: 20 };
export const TERMINAL_POINT = { x: 300, y: 200 };

/** The file, in the stage's folder, to which the xterm's program adds each line typed. */
export const TYPED = "typed.txt";

export class Desktop {
    /** Starts the VNC server on a free display and a free port of loopback, and the xterm. */
    static async start(stage) {
        const desktop = new Desktop();
        desktop.stage = stage;
        desktop.port = await freePort();
        stage.start("Xvnc", [
            ...["Xtigervnc", "-displayfd", 3, "-nolisten", "tcp", "-rfbport", desktop.port, "-localhost=1"],
            ...["-SecurityTypes", "None", "-UseBlacklist=0"],
            ...["-geometry", `${WIDTH}x${HEIGHT}`, "-depth", 24],
        ]);
        const display = await stage.until("X display", () => stage.read("Xvnc.out").match(/^(\d+)\n/));
        desktop.env = { DISPLAY: `:${display[1]}` };
        await stage.until("VNC port", () => listens(desktop.port));
        await desktop.#furnish(stage);
        return desktop;
    }

    /** Furnishes the desktop of a VNC server that has been started by somebody else, with this environment. */
    static async attach(stage, env) {
        const desktop = new Desktop();
        desktop.stage = stage;
        desktop.env = env;
        await desktop.#furnish(stage);
        return desktop;
    }

    async #furnish(stage) {
        this.paint(ROOT);
        const keep = `while IFS= read -r line; do printf '%s\\n' "$line" >>"$0"; done`;
        const look = ["-geometry", "60x16+100+80", "-fn", "fixed", "-bg", hex(TERMINAL), "-fg", hex(INK)];
        const program = ["-e", "sh", "-c", keep, stage.file(TYPED)];
        stage.start("xterm", ["xterm", ...look, ...program], this.env);
        await stage.until("xterm", () => at(this.picture(), TERMINAL_POINT) === TERMINAL);
    }

    /** Gives the root window another colour. */
    paint(colour) {
        this.#tool("xsetroot", ["-solid", hex(colour)]);
    }

    /** What the X server shows: one 0xRRGGBB per pixel, row by row. */
    picture() {
        const { width, height, pixels } = decodeXwd(this.#tool("xwd", ["-silent", "-root"]));
        if (width !== WIDTH || height !== HEIGHT) throw new Error(`the desktop has ${width}x${height}`);
        return pixels;
    }

    #tool(name, args) {
        const env = { ...process.env, ...this.env };
        return execFileSync(name, args, { env, maxBuffer: 1 << 26, timeout: 10_000 });
    }
}

/** The pixel at a point of a picture. */
export function at(picture, { x, y }) {
    return picture[y * WIDTH + x];
}

/** A colour as X and CSS write it. */
export function hex(colour) {
    return `#${colour.toString(16).padStart(6, "0")}`;
}

/**
 * Reads an X window dump of 32 bits per pixel (XWDFile.h: a header of 32-bit big-endian words, colours of 12
 * bytes, then the rows).
 */
export function decodeXwd(dump) {
    const word = (index) => dump.readUInt32BE(4 * index);
    const [headerBytes, width, height, order, bits, rowBytes, colours] = [0, 4, 5, 7, 11, 12, 19].map(word);
    if (order !== 0 || bits !== 32) {
        throw new Error(`unexpected window dump: byte order ${order}, ${bits} bits`);
    }
    const start = headerBytes + 12 * colours;
    const picture = new Uint32Array(width * height);
    for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
            picture[y * width + x] = dump.readUInt32LE(start + y * rowBytes + 4 * x) & 0xffffff;
        }
    }
    return { width, height, pixels: picture };
}
