// Where things are.

import { fileURLToPath } from "node:url";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));

/** The tree. */
export const ROOT = at("../..");

/** The files that these tests are about. */
export const INCLUDE = at("../../include");

/** Where everything lies that these tests install or write. */
export const WORK = at("../../target/browser");

/** The program to try. */
export const GATEWAY = process.env.WEBSOCKIFY_BIN;
