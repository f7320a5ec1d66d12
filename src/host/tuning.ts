import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { joinTunings, parseTunings, type Tuning } from "../core/tuning.ts";
import { cacheFolder } from "./cache.ts";

/** Where tunings are kept: `tuning.json` in the cache folder. */
export const tuningFile = (environment: NodeJS.ProcessEnv = process.env): string =>
  join(cacheFolder(environment), "tuning.json");

/** Every tuning in a file. None, if there is no such file; a file that holds something else is ignored, with a line that says so. */
export function readTunings(file: string, note: (line: string) => void): readonly Tuning[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return [];
  }
  try {
    return parseTunings(text);
  } catch {
    note(`kinema: ${file} is not what kinema tune wrote, and is ignored; delete it, or run kinema tune again`);
    return [];
  }
}

/** What is kept of an adapter. */
export const readTuning = (identity: string, note: (line: string) => void, file = tuningFile()): Tuning | null =>
  readTunings(file, note).find(({ adapter }) => adapter === identity) ?? null;

/** Adds a tuning to the file, whole or not at all. */
export function writeTuning(tuning: Tuning, file = tuningFile()): void {
  const list = joinTunings(
    readTunings(file, () => {}),
    tuning,
  );
  const temporary = `${file}.tmp-${process.pid}`;
  writeFileSync(temporary, `${JSON.stringify(list, null, 1)}\n`, { mode: 0o600 });
  renameSync(temporary, file);
}
