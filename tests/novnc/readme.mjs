// The example in README, "Your VNC server in the browser", as it is written: its commands start the desktop and the
// gateway, and its address is opened in Chromium.
//
// It has fixed ports and a fixed display, so `run` starts this in namespaces of its own, with a loopback and a /tmp
// that nobody else uses; whatever is left ends with them.

import { execFileSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { readFileSync } from "node:fs";
import { Page, launch } from "./browser.mjs";
import { decodeXwd } from "./desktop.mjs";
import { Stage, WORK, listens } from "./stage.mjs";

const ROOT = new URL("../..", import.meta.url).pathname;

/** Larger than the desktop, whose size is the VNC server's choice, so that all of it is seen. */
const VIEWPORT = { width: 2200, height: 1400 };

/** The indented lines of the section, without their comments' signs. */
function example() {
    const section = readFileSync(`${ROOT}/README.md`, "utf8").split("### Your VNC server in the browser\n")[1];
    const lines = section.split("\n###")[0].split("\n");
    return lines.filter((line) => line.startsWith("    ")).map((line) => line.trim());
}

/** What the X server shows. */
function shown(folder) {
    const env = { ...process.env, DISPLAY: ":1", XAUTHORITY: `${folder}/.Xauthority` };
    return decodeXwd(execFileSync("xwd", ["-silent", "-root"], { env, maxBuffer: 1 << 26, timeout: 10_000 }));
}

async function run(stage) {
    const [install, desktop, gateway, address, ...more] = example();
    if (!install.startsWith("sudo apt-get install ") || more.length > 0) {
        throw new Error("the example has four lines, and the first is what install.sh runs");
    }
    const env = { ...process.env, HOME: stage.folder };
    execFileSync("sh", ["-c", desktop], { cwd: stage.folder, env, stdio: "ignore", timeout: 60_000 });
    const program = stage.start("gateway", ["sh", "-c", `cd '${ROOT}' && exec ${gateway}`], env);
    const url = address.match(/^# Now open (http:\S+) in your browser\.$/)[1];
    await stage.until("gateway", () => listens(Number(new URL(url).port)));

    const browser = await launch(stage.folder);
    const page = await Page.open(browser, { viewport: VIEWPORT });
    await page.tab.goto(url);
    // The click comes first: until a client moves the pointer, the VNC server paints it into the picture.
    await page.click({ x: 100, y: 100 });
    await stage.until("picture of the desktop", async () => {
        const wanted = shown(stage.folder);
        if (new Set(wanted.pixels).size < 2) return false;
        const picture = await page.picture();
        return picture.length === wanted.pixels.length && picture.every((pixel, at) => pixel === wanted.pixels[at]);
    });
    const word = `word${randomInt(1e9)}`;
    await page.type(`echo ${word} >${stage.file("typed.txt")}`);
    await stage.until("the word on the far side", () => stage.read("typed.txt") === `${word}\n`);
    await page.tab.screenshot({ path: stage.file("screen.png") });
    if (page.faults.length > 0) throw new Error(page.faults.join("\n"));
    await page.close();
    await browser.close();
    await stage.stop(program);
}

const stage = new Stage(`${WORK}/cases/readme`);
let status = 0;
try {
    await run(stage);
    console.log("ok readme");
} catch (error) {
    status = 1;
    console.log(`FAILED readme: ${error.message}`);
    for (const [name, log] of stage.logs()) {
        console.log(`--- ${stage.file(name)} ends with\n${log.trimEnd().split("\n").slice(-12).join("\n")}`);
    }
} finally {
    await stage.clear();
}
process.exit(status);
