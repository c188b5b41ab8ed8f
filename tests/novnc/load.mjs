// How fast noVNC's page (some 70 small files) loads in Chromium from us and from Python's websockify.
//
// They take turns, so that other load on the machine affects all of them. A round is a load with empty
// caches and then the same page again with what the browser has kept: from us it asks whether that is still
// good (`no-cache`, our default), unless told to keep it; for files from Python it makes a guess.

import { Page, launch } from "./browser.mjs";
import { DEBIAN, GATEWAY, Stage, WORK, freePort, listens } from "./stage.mjs";

const SERVERS = [
    { name: "this gateway", program: GATEWAY, options: [] },
    { name: "the same, max-age", program: GATEWAY, options: ["--web-cache-control", "max-age=3600"] },
    { name: "Python's 0.13.0", program: `${WORK}/python/bin/websockify`, options: [] },
];

/** Milliseconds from the start of the navigation to the end of the page's load event. */
async function loadMs(page, url) {
    await page.tab.goto("about:blank");
    // The page asks for its icons after its load event; leaving earlier would cut them off.
    await page.tab.goto(url, { waitUntil: "networkidle" });
    return page.tab.evaluate(() => performance.getEntriesByType("navigation")[0].loadEventEnd);
}

function median(values) {
    const sorted = [...values].sort((one, other) => one - other);
    return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

const rounds = Number(process.argv[2] ?? 15);
const stage = new Stage(`${WORK}/load`);
const browser = await launch(stage.folder);
try {
    for (const server of SERVERS) {
        const port = await freePort();
        // Nobody connects to the target: the page only loads.
        const { name, program, options } = server;
        stage.start(name, [program, "--web", DEBIAN, ...options, `127.0.0.1:${port}`, "127.0.0.1:1"]);
        await stage.until(name, () => listens(port));
        Object.assign(server, { url: `http://127.0.0.1:${port}/vnc.html`, first: [], again: [] });
    }
    for (let round = 0; round <= rounds; round++) {
        const turn = round % SERVERS.length;
        for (const server of [...SERVERS.slice(turn), ...SERVERS.slice(0, turn)]) {
            const page = await Page.open(browser);
            const first = await loadMs(page, server.url);
            server.answers = page.answers;
            const again = await loadMs(page, server.url);
            if (page.faults.length > 0) throw new Error(`${server.name}: ${page.faults.join("\n")}`);
            await page.close();
            // The first round only warms up.
            if (round > 0) {
                server.first.push(first);
                server.again.push(again);
            }
        }
    }
    console.log(`noVNC's page, median of ${rounds} loads, ms`);
    for (const { name, first, again, answers } of SERVERS) {
        const [cold, kept] = [first, again].map((values) => median(values).toFixed(0).padStart(5));
        console.log(`${name.padEnd(18)} first ${cold}   again ${kept}   answers ${answers}`);
    }
} finally {
    await browser.close();
    await stage.clear();
}
