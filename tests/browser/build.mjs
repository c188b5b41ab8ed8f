// Generates files in include/: websock-classic.js, for pages without modules; the types (.d.ts) for
// TypeScript; the copies of npm packages in vendor/, without the lines that name source maps. With --check it
// only says whether the committed files are up to date. It type-checks all modules, strictly.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { WORK } from "../novnc/stage.mjs";
import { INCLUDE } from "./places.mjs";

const STRICT = [
    ...["--allowJs", "--checkJs", "--strict", "--noUnusedLocals", "--noUnusedParameters", "--noImplicitOverride"],
    ...["--noImplicitReturns", "--noFallthroughCasesInSwitch", "--target", "ES2022", "--module", "ES2022"],
    ...["--moduleResolution", "bundler", "--lib", "ES2022,DOM,DOM.Iterable"],
];

/** The modules whose types others use. */
const TYPED = ["websock", "telnet"];

/** The types of what the modules take from vendor/. */
const VENDORED = ["xterm", "addon-fit"];

/** The files of vendor/, and the npm files that they are copies of. */
const COPIES = {
    "xterm.mjs": "@xterm/xterm/lib/xterm.mjs",
    "xterm.css": "@xterm/xterm/css/xterm.css",
    "addon-fit.mjs": "@xterm/addon-fit/lib/addon-fit.mjs",
    "LICENSE.xterm": "@xterm/xterm/LICENSE",
    "LICENSE.addon-fit": "@xterm/addon-fit/LICENSE",
};

/** Checks the modules of include/, and returns the type declarations by file. */
function types() {
    const modules = readdirSync(INCLUDE).filter((name) => name.endsWith(".js") && !name.includes("-classic"));
    // A copy, since the types that vendor/ needs are not shipped.
    const folder = mkdtempSync(`${tmpdir()}/types-`);
    try {
        for (const name of modules) cpSync(`${INCLUDE}/${name}`, `${folder}/${name}`);
        mkdirSync(`${folder}/vendor`);
        symlinkSync(`${WORK}/node_modules`, `${folder}/node_modules`);
        for (const name of VENDORED) writeFileSync(`${folder}/vendor/${name}.d.mts`, `export * from "@xterm/${name}";\n`);
        const made = ["--declaration", "--emitDeclarationOnly", "--outDir", "made"];
        const compiler = `${WORK}/node_modules/typescript/bin/tsc`;
        execFileSync(process.execPath, [compiler, ...STRICT, ...made, ...modules], { cwd: folder, stdio: "inherit" });
        return TYPED.map((name) => [`${name}.d.ts`, readFileSync(`${folder}/made/${name}.d.ts`, "utf8")]);
    } finally {
        rmSync(folder, { recursive: true, force: true });
    }
}

/** The module as a script that sets `window.Websock`. */
function classic() {
    const module = readFileSync(`${INCLUDE}/websock.js`, "utf8");
    const body = module.replace("export default class", "class").replace("export { Websock };\n\n", "");
    if (/^export/m.test(body)) throw new Error("websock.js exports something else, too");
    const head = "// Made from websock.js by tests/browser/build.mjs: it sets window.Websock.\n";
    const lines = body.replace(/^(?=.)/gm, "    ");
    return `${head}(() => {\n    "use strict";\n\n${lines}\n    window.Websock = Websock;\n})();\n`;
}

/** The copies in vendor/, and their sums in the form of sha256sum. */
function vendor() {
    const copies = Object.entries(COPIES).map(([name, source]) => {
        const text = readFileSync(`${WORK}/node_modules/${source}`, "utf8");
        return [name, text.replace(/^\/\/# sourceMappingURL=.*\n?/gm, "")];
    });
    const sums = copies.map(([name, text]) => `${createHash("sha256").update(text).digest("hex")}  ${name}\n`);
    return [...copies, ["SHA256SUMS", sums.join("")]].map(([name, text]) => [`vendor/${name}`, text]);
}

const check = process.argv.includes("--check");
let status = 0;
for (const [name, text] of [["websock-classic.js", classic()], ...types(), ...vendor()]) {
    if (!check) {
        writeFileSync(`${INCLUDE}/${name}`, text);
    } else if (readFileSync(`${INCLUDE}/${name}`, "utf8") !== text) {
        console.log(`include/${name} is not what its source makes: run tests/browser/run build and commit it`);
        status = 1;
    }
}
process.exit(status);
