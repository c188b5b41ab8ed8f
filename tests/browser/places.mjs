// Where things are.

import { fileURLToPath } from "node:url";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));

/** The tree. */
export const ROOT = at("../..");

/** The files that these tests are about. */
export const INCLUDE = at("../../include");
