// README's browser examples, as they are written: its commands start the desktop and the gateways, and each page that
// it tells to open is opened in Chromium and must show the desktop. Its picture is made here, too.
//
// It has fixed ports and a fixed display, so `run` starts this in namespaces of its own, with a loopback and a /tmp
// that nobody else uses; whatever is left ends with them.

import { execFileSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { copyFileSync, readFileSync, statSync, symlinkSync } from "node:fs";
import { Page, launch } from "./browser.mjs";
import { decodeXwd } from "./desktop.mjs";
import { Stage, WORK, listens } from "./stage.mjs";

const ROOT = new URL("../..", import.meta.url).pathname;

/** Larger than the desktop, whose size is the VNC server's choice, so that all of it is seen. */
const VIEWPORT = { width: 2200, height: 1400 };

/** The picture's, which is also that of the desktop in it. */
const PICTURE = { width: 1000, height: 560 };
const PICTURE_MAX = 150_000;

/** What the desktop in the picture runs beside its terminal. */
const FURNITURE = [
    "xsetroot -solid '#3b6ea5'",
    "xclock -geometry 170x170+790+30 -bg white -hd navy &",
    "xlogo -geometry 170x170+790+250 -bg white -fg navy &",
    "clear; uname -sm; echo; echo 'A desktop in the browser'",
];

const readme = readFileSync(`${ROOT}/README.md`, "utf8");

/** README's blocks of commands whose comment names this test, each as its lines. */
function blocks() {
    const found = readme.matchAll(/^<!-- run by ([^>]*) -->\n```sh\n([^`]*)^```$/gm);
    return [...found].filter(([, by]) => by.includes("tests/novnc/readme.mjs")).map(([, , text]) => text.trim().split("\n"));
}

/** What the X server shows. */
function shown(folder) {
    const env = { ...process.env, DISPLAY: ":1", XAUTHORITY: `${folder}/.Xauthority` };
    return decodeXwd(execFileSync("xwd", ["-silent", "-root"], { env, maxBuffer: 1 << 26, timeout: 10_000 }));
}

/** Whether two colours differ by more than the loss of a JPEG, in which noVNC may get a part of the picture. */
function differ(one, other) {
    return [0, 8, 16].some((bits) => Math.abs(((one >> bits) & 0xff) - ((other >> bits) & 0xff)) > 32);
}

/** Waits until the canvas has the X server's picture, but for a pixel in a thousand, and that has several colours. */
async function sameAsDesktop(stage, page, what) {
    let wrong;
    try {
        await stage.until(`picture of the desktop at ${what}`, async () => {
            const [picture, wanted] = [await page.picture(), shown(stage.folder)];
            if (new Set(wanted.pixels).size < 2 || picture.length !== wanted.pixels.length) return false;
            wrong = picture.filter((pixel, at) => differ(pixel, wanted.pixels[at])).length;
            return wrong <= picture.length / 1000;
        });
    } catch (error) {
        await page.tab.screenshot({ path: stage.file("screen.png") });
        throw new Error(`${error.message} (${wrong} pixels differ from the X server's)`);
    }
}

async function open(stage, browser, url, viewport = VIEWPORT) {
    const page = await Page.open(browser, { viewport });
    await page.tab.goto(url);
    // The click comes first: until a client moves the pointer, the VNC server paints it into the picture.
    await page.click({ x: 100, y: 100 });
    return page;
}

async function leave(page) {
    if (page.faults.length > 0) throw new Error(page.faults.join("\n"));
    await page.close();
}

/** Types into the terminal, and finds what was typed on the far side. */
async function type(stage, page) {
    const word = `word${randomInt(1e9)}`;
    await page.type(`echo ${word} >${stage.file("typed.txt")}`);
    await stage.until("the word on the far side", () => stage.read("typed.txt") === `${word}\n`);
}

/** Makes README's picture, of the desktop in the size of the page. */
async function picture(stage, browser, url) {
    const page = await open(stage, browser, `${url}?resize=remote`, PICTURE);
    for (const line of FURNITURE) await page.type(line);
    await sameAsDesktop(stage, page, "the picture");
    await page.tab.mouse.move(PICTURE.width - 20, PICTURE.height - 20);
    await page.tab.locator("#noVNC_control_bar_handle").click({ force: true });
    const file = stage.file("novnc.png");
    await page.tab.screenshot({ path: file, animations: "disabled" });
    await leave(page);
    const committed = `${ROOT}/docs/novnc.png`;
    if (process.env.UPDATE_PICTURE) copyFileSync(file, committed);
    const size = (path) => [16, 20].map((at) => readFileSync(path).readUInt32BE(at));
    if (statSync(committed).size > PICTURE_MAX) throw new Error("docs/novnc.png is too large");
    if (String(size(committed)) !== String(size(file))) throw new Error("docs/novnc.png: UPDATE_PICTURE=1 makes it anew");
    if (!readme.includes("](docs/novnc.png)")) throw new Error("README does not show docs/novnc.png");
}

async function run(stage) {
    symlinkSync(`${ROOT}/run`, stage.file("run"));
    const env = { ...process.env, HOME: stage.folder };
    const browser = await launch(stage.folder);
    let pages = 0;
    for (const block of blocks()) {
        let gateway;
        for (const line of block) {
            const url = line.match(/^# open (http\S+)$/)?.[1];
            if (line.startsWith("sudo apt-get install ")) {
                // Done by install.sh.
            } else if (line.startsWith("./run ")) {
                gateway = stage.start(`gateway${pages}`, ["sh", "-c", `cd '${stage.folder}' && exec ${line}`], env);
            } else if (url) {
                await stage.until("gateway", () => listens(Number(new URL(url).port)));
                const page = await open(stage, browser, url);
                await sameAsDesktop(stage, page, url);
                await type(stage, page);
                await leave(page);
                pages += 1;
                if (pages === 1) await picture(stage, browser, url);
            } else {
                execFileSync("sh", ["-c", line], { cwd: stage.folder, env, stdio: "ignore", timeout: 60_000 });
            }
        }
        await stage.stop(gateway);
    }
    const told = readme.match(/^# open http/gm).length;
    if (told !== pages || pages < 3) throw new Error(`README tells to open ${told} pages, ${pages} were opened`);
    await browser.close();
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
