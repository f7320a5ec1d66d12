import { access, chmod, constants, lstat, realpath, rename, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fail } from "../core/fail.ts";
import { temporary } from "../host/exit.ts";

/** Refuses a place where no file can be written or where one of `inputs` is, before a model is run for it. */
export async function checkPlace(path: string, flag: string, inputs: readonly string[] = []): Promise<void> {
  const there = await stat(path).catch(() => null);
  if (there?.isDirectory()) fail("usage", `${path} is a folder; give ${flag} the name of a file`);
  if (there && !there.isFile()) fail("usage", `${path} is no regular file; give ${flag} the name of one`);
  const place = await realpath(path).catch(() => path);
  for (const input of inputs)
    if (there && place === (await realpath(input).catch(() => null)))
      fail("usage", `${path} is read itself; give ${flag} another name`);
  for (const written of there ? [place, dirname(place)] : [dirname(place)])
    await access(written, constants.W_OK).catch((error) => cannotWrite(path, error));
}

/** Refuses a place where no file can be written or where there is anything already. */
export async function checkNew(path: string, flag: string): Promise<void> {
  await checkPlace(path, flag);
  if (await lstat(path).catch(() => null))
    fail("bad-input", `${path} is there already; give another name or remove it`);
}

function cannotWrite(path: string, error: unknown): never {
  return fail("usage", `${path} cannot be written: ${error instanceof Error ? error.message : error}`);
}

/** A file in the making. */
export interface Replacement {
  /** Where it is written. */
  readonly part: string;
  /** Puts it in its place. */
  finish(): Promise<void>;
  /** Removes what was not finished. */
  discard(): void;
}

/**
 * A file that takes the place of the one at a path, or of none, when it is whole, and until then lies beside it. A link stays a link, to the new file; who may read
 * and write it stays as it was, from the first byte on.
 */
export async function replacement(path: string): Promise<Replacement> {
  const place = await realpath(path).catch(() => path);
  const part = `${place}.${process.pid}.part`;
  const discard = temporary(part);
  const there = await stat(place).catch(() => null);
  if (there) {
    await writeFile(part, "", { mode: 0o600 });
    await chmod(part, there.mode & 0o7777);
  }
  return { part, finish: () => rename(part, place), discard };
}

/** Writes a file that is there whole or not at all. */
export async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  const { part, finish, discard } = await replacement(path).catch((error) => cannotWrite(path, error));
  try {
    await writeFile(part, bytes);
    await finish();
  } catch (error) {
    cannotWrite(path, error);
  } finally {
    discard();
  }
}
