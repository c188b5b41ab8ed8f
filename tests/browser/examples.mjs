// The examples of docs/websock.md, as functions that a test runs.

import { readFileSync } from "node:fs";
import { ROOT } from "./places.mjs";

/** The address in the document. */
export const ADDRESS = "ws://localhost:6080/websockify";

/** What precedes each example. */
const BEFORE = `const ws = new Websock();\nws.open("${ADDRESS}");\n`;

/**
 * The examples, each with the number of its claims and its code: the body of a function of `Websock`, `WebSocket` and
 * `same`, which is called with what a line gives and with what the document says that it gives.
 */
export function examples() {
    const text = readFileSync(`${ROOT}/docs/websock.md`, "utf8");
    if (!text.includes(BEFORE.replace(/^(?=.)/gm, "    "))) throw new Error("the document begins in another way");
    return [...text.matchAll(/^```js\n(.*?)^```/gms)].map(([, code]) => {
        let claims = 0;
        const claimed = code.replace(/^( *)(.*); \/\/ → (.*)$/gm, (_, indent, got, said) => {
            claims += 1;
            return `${indent}same(${got}, ${said}, ${JSON.stringify(got)});`;
        });
        if (claims === 0 || claims !== code.split("→").length - 1) throw new Error(`an odd claim in\n${code}`);
        return { code: BEFORE + claimed, claims };
    });
}
