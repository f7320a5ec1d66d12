import { fail } from "../core/fail.ts";
import type { StoreFile } from "./store_file.ts";

/** What TypeScript's DOM library leaves out: it is there in dedicated workers only. */
interface SyncAccessHandle {
  read(buffer: Uint8Array, options: { at: number }): number;
  write(buffer: Uint8Array, options: { at: number }): number;
  truncate(size: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}

/**
 * A file of the browser's origin-private file system, `path` from its root; folders are made on the way. Dedicated workers
 * only. It is this worker's alone until close(): any other reader or writer has to wait (a page reads with the worker).
 * @param options.create makes the file where there is none
 * Throws "unsupported" outside a dedicated worker, "bad-input" for a path that is not there or a file in use.
 */
export async function opfsFile(path: string, options: { readonly create?: boolean } = {}): Promise<StoreFile> {
  const create = options.create ?? false;
  try {
    let folder = await navigator.storage.getDirectory();
    const names = path.split("/").filter((name) => name !== "");
    const name = names.pop() ?? fail("bad-input", "a file in OPFS needs a name");
    for (const part of names) folder = await folder.getDirectoryHandle(part, { create });
    const handle = (await folder.getFileHandle(name, { create })) as FileSystemFileHandle & {
      createSyncAccessHandle?: () => Promise<SyncAccessHandle>;
    };
    if (!handle.createSyncAccessHandle) {
      return fail("unsupported", "OPFS files open in a dedicated worker only; open the store there");
    }
    return new OpfsFile(path, await handle.createSyncAccessHandle());
  } catch (cause) {
    return explain(path, cause);
  }
}

class OpfsFile implements StoreFile {
  readonly name: string;
  private readonly handle: SyncAccessHandle;

  constructor(name: string, handle: SyncAccessHandle) {
    this.name = name;
    this.handle = handle;
  }

  get size(): number {
    return this.try(() => this.handle.getSize());
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    return this.try(() => {
      const bytes = new Uint8Array(Math.max(0, Math.min(length, this.handle.getSize() - offset)));
      const got = bytes.byteLength === 0 ? 0 : this.handle.read(bytes, { at: offset });
      return bytes.subarray(0, got);
    });
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const wrote = this.try(() => this.handle.write(bytes, { at: offset }));
    if (wrote !== bytes.byteLength) fail("bad-input", `${this.name}: the browser's storage is full; free some space`);
  }

  async truncate(size: number): Promise<void> {
    this.try(() => this.handle.truncate(size));
  }

  async flush(): Promise<void> {
    this.try(() => this.handle.flush());
  }

  async close(): Promise<void> {
    this.handle.close();
  }

  private try<Result>(task: () => Result): Result {
    try {
      return task();
    } catch (cause) {
      return explain(this.name, cause);
    }
  }
}

function explain(path: string, cause: unknown): never {
  const name = cause instanceof DOMException ? cause.name : "";
  if (name === "NotFoundError") fail("bad-input", `${path}: no such file in OPFS; check the path`, {}, cause);
  if (name === "TypeMismatchError") fail("bad-input", `${path}: a folder is in the way in OPFS`, {}, cause);
  if (name === "NoModificationAllowedError") {
    fail("bad-input", `${path}: in use by another worker or tab; close it there`, {}, cause);
  }
  if (name === "QuotaExceededError")
    fail("bad-input", `${path}: the browser's storage is full; free some space`, {}, cause);
  if (name === "InvalidStateError") fail("closed", `${path} is closed`, {}, cause);
  if (name !== "") fail("bad-input", `${path}: the browser refuses it (${name})`, {}, cause);
  throw cause;
}
