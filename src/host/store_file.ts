/** A StoreFile over a file of the machine: positional writes, fdatasync, and a lock against a second writer. */

import { rmSync } from "node:fs";
import { type FileHandle, open, readFile, rm } from "node:fs/promises";
import { fail } from "../core/fail.ts";
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
  const unlock = await lock(path);
  try {
    const flags = options.create === "new" ? "wx+" : options.create === "replace" ? "w+" : "r+";
    const handle = await open(path, flags).catch((cause) => explain(path, cause));
    return new NodeStoreFile(path, handle, (await handle.stat()).size, unlock);
  } catch (error) {
    unlock();
    throw error;
  }
}

/** Makes PATH.lock and returns what removes it. */
async function lock(path: string): Promise<() => void> {
  const file = `${path}.lock`;
  for (let attempt = 0; ; attempt++) {
    const handle = await open(file, "wx").catch((cause: NodeJS.ErrnoException) =>
      cause.code === "EEXIST" && attempt < 3 ? null : explain(path, cause),
    );
    if (handle) {
      await handle.writeFile(`${process.pid}\n`);
      await handle.close();
      const remove = () => rmSync(file, { force: true });
      const forget = atExit(remove);
      return () => {
        if (forget()) remove();
      };
    }
    const owner = Number(await readFile(file, "utf8").catch(() => ""));
    if (owner > 0 && isAlive(owner)) {
      fail("bad-input", `${path} is being written by process ${owner}; wait for it to end (its lock is ${file})`);
    }
    await rm(file, { force: true });
  }
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
    await this.handle.close();
    this.unlock();
  }

  private async try<Result>(task: () => Promise<Result>): Promise<Result> {
    if (this.closed) fail("closed", `${this.name} is closed`);
    return task().catch((cause) => explain(this.name, cause));
  }
}

function explain(path: string, cause: unknown): never {
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
