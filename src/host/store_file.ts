/** A StoreFile over a file of the machine: positional writes, fdatasync, and a lock against a second writer. */

import { constants, rmSync } from "node:fs";
import { copyFile, type FileHandle, link, lstat, open, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fail, KinemaError } from "../core/fail.ts";
import type { StoreFile } from "../store/store_file.ts";
import { atExit } from "./exit.ts";

/**
 * Opens a path for reading and writing. PATH.lock, which holds this process's number, keeps a second writer out until
 * close(); the lock of a process that is gone is taken over.
 * @param options.create "new" makes the file and refuses one that is there; "replace" empties it; otherwise it must be there
 * Throws "bad-input" for a path that cannot be opened so, or that another process writes.
 */
export async function nodeStoreFile(
  path: string,
  options: { readonly create?: "new" | "replace" } = {},
): Promise<StoreFile> {
  const unlock = await lock(await linkedFile(path));
  try {
    const flags = options.create === "new" ? "wx+" : options.create === "replace" ? "w+" : "r+";
    const handle = await open(path, flags).catch((cause) => explain(path, cause));
    try {
      if (options.create) await flushFolder(dirname(path));
      return new NodeStoreFile(path, handle, (await handle.stat()).size, unlock);
    } catch (cause) {
      await handle.close();
      return explain(path, cause);
    }
  } catch (error) {
    unlock();
    throw error;
  }
}

/** What a link leads to: a file has one lock, whatever it is called by. */
async function linkedFile(path: string): Promise<string> {
  const isLink = (await lstat(path).catch(() => null))?.isSymbolicLink();
  return isLink ? realpath(path).catch(() => path) : path;
}

/** Puts a folder's names on the medium, without which a file that was flushed may be gone; where the system flushes no folders it does that by itself. */
async function flushFolder(path: string): Promise<void> {
  const folder = await open(path, "r").catch(() => null);
  await folder?.sync().catch(() => {});
  await folder?.close();
}

/** Locks of this process. Another that has its number was left by an earlier process: in a container the next one often gets the same. */
const held = new Set<string>();

/** Makes PATH.lock and returns what removes it. */
async function lock(path: string): Promise<() => void> {
  const folder = await realpath(dirname(path)).catch((cause) => explain(path, cause));
  const file = `${path}.lock`;
  const key = join(folder, basename(file));
  if (held.has(key)) inUse(path, process.pid);
  held.add(key);
  // Written elsewhere and then given its name, so that a lock says from the first moment whose it is.
  const own = `${file}.${process.pid}`;
  try {
    await writeFile(own, `${process.pid}\n`);
    for (let attempt = 0; !(await linked(own, file)); attempt++) {
      const owner = await ownerOf(file);
      if (owner !== null && isForeign(owner)) inUse(path, owner);
      if (attempt === 3)
        fail("bad-input", `${path} has the lock of a process that is gone; remove ${file} and ${file}.stale`);
      await removeStale(file, own);
    }
  } catch (cause) {
    held.delete(key);
    return explain(path, cause);
  } finally {
    await rm(own, { force: true });
  }
  const remove = () => {
    held.delete(key);
    rmSync(file, { force: true });
  };
  const forget = atExit(remove);
  return () => {
    if (forget()) remove();
  };
}

/** Gives a file a second name; false where that is taken. A file system without second names gets a copy, which may be seen half-written. */
async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === "EEXIST") throw cause;
      return copyFile(from, to, constants.COPYFILE_EXCL);
    });
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw cause;
  }
}

/** Removes the lock of a process that is gone. One process at a time does, and looks again: the others might remove the lock that it takes next. */
async function removeStale(file: string, own: string): Promise<void> {
  const guard = `${file}.stale`;
  if (!(await linked(own, guard))) return sleep(20);
  try {
    const owner = await ownerOf(file);
    if (owner !== null && !isForeign(owner)) await rm(file, { force: true });
  } finally {
    await rm(guard, { force: true });
  }
}

/** The process that a lock names, 0 for none; null where there is no lock. */
async function ownerOf(file: string): Promise<number | null> {
  const text = await readFile(file, "utf8").catch(() => null);
  return text === null ? null : Number(text) || 0;
}

/** Whether a process other than this one is there. */
const isForeign = (pid: number): boolean => pid > 0 && pid !== process.pid && isAlive(pid);

function inUse(path: string, owner: number): never {
  return fail(
    "bad-input",
    `${path} is being written by process ${owner}; wait for it to end (its lock is ${path}.lock)`,
  );
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

class NodeStoreFile implements StoreFile {
  readonly name: string;
  size: number;
  private readonly handle: FileHandle;
  private readonly unlock: () => void;
  private closed = false;

  constructor(name: string, handle: FileHandle, size: number, unlock: () => void) {
    this.name = name;
    this.handle = handle;
    this.size = size;
    this.unlock = unlock;
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    return this.try(async () => {
      const bytes = new Uint8Array(Math.max(0, Math.min(length, this.size - offset)));
      let got = 0;
      while (got < bytes.byteLength) {
        const { bytesRead } = await this.handle.read(bytes, got, bytes.byteLength - got, offset + got);
        if (bytesRead === 0) break;
        got += bytesRead;
      }
      return bytes.subarray(0, got);
    });
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    return this.try(async () => {
      for (let done = 0; done < bytes.byteLength; ) {
        const { bytesWritten } = await this.handle.write(bytes, done, bytes.byteLength - done, offset + done);
        done += bytesWritten;
      }
      this.size = Math.max(this.size, offset + bytes.byteLength);
    });
  }

  truncate(size: number): Promise<void> {
    return this.try(async () => {
      await this.handle.truncate(size);
      this.size = size;
    });
  }

  flush(): Promise<void> {
    return this.try(() => this.handle.datasync());
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    try {
      await this.handle.close();
    } catch (cause) {
      explain(this.name, cause);
    } finally {
      this.unlock();
    }
  }

  private async try<Result>(task: () => Promise<Result>): Promise<Result> {
    if (this.closed) fail("closed", `${this.name} is closed`);
    return task().catch((cause) => explain(this.name, cause));
  }
}

function explain(path: string, cause: unknown): never {
  if (cause instanceof KinemaError) throw cause;
  const code = (cause as NodeJS.ErrnoException).code;
  if (code === "ENOENT" || code === "ENOTDIR")
    fail("bad-input", `${path}: no such file or folder; check the path`, {}, cause);
  if (code === "EEXIST") fail("bad-input", `${path} is there already; give another name or remove it`, {}, cause);
  if (code === "EISDIR") fail("bad-input", `${path} is a folder; give the name of a file`, {}, cause);
  if (code === "EACCES" || code === "EPERM" || code === "EROFS")
    fail("bad-input", `${path}: no permission to write`, {}, cause);
  if (code === "ENOSPC" || code === "EDQUOT")
    fail("bad-input", `${path}: the disk is full; free some space`, {}, cause);
  return fail("bad-input", `${path}: cannot be written (${code ?? String(cause)})`, {}, cause);
}
