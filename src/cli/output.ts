import { access, constants, rename, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fail } from "../core/fail.ts";
import { temporary } from "../host/exit.ts";

/** Refuses a place where no file can be written, before a model is run for it. */
export async function checkPlace(path: string, flag: string): Promise<void> {
  const there = await stat(path).catch(() => null);
  if (there?.isDirectory()) fail("usage", `${path} is a folder; give ${flag} the name of a file`);
  await access(dirname(path), constants.W_OK).catch((error) => cannotWrite(path, error));
}

function cannotWrite(path: string, error: unknown): never {
  return fail("usage", `${path} cannot be written: ${error instanceof Error ? error.message : error}`);
}

/** Writes a file that is there whole or not at all. */
export async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  const part = `${path}.${process.pid}.part`;
  const discard = temporary(part);
  try {
    await writeFile(part, bytes);
    await rename(part, path);
  } catch (error) {
    cannotWrite(path, error);
  } finally {
    discard();
  }
}
