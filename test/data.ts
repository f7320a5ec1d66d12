/** Where the real data is, if it is: KINEMA_DATA, or ../shared/data beside the repository. None of it is committed. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const DATA = process.env.KINEMA_DATA ?? resolve(ROOT, "../shared/data");
export const dataFile = (name: string): string => join(DATA, name);

/** Whether all of these files are there; tests that need them say `it.skipIf(!hasData(...))`. */
export const hasData = (...names: string[]): boolean => names.every((name) => existsSync(dataFile(name)));
