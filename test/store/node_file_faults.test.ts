// Stores in files of the machine where the machine fails: full disks, files that cannot be closed, locks that are half-made.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, it, vi } from "vitest";
import { nodeStoreFile } from "../../src/host/store_file.ts";

const faults = vi.hoisted(() => ({ writeFile: async () => {}, opened: (_: FileHandle) => {} }));
vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof import("node:fs/promises")>();
  const writeFile = async (...args: Parameters<typeof real.writeFile>) => {
    await faults.writeFile();
    return real.writeFile(...args);
  };
  const open = async (...args: Parameters<typeof real.open>) => {
    const handle = await real.open(...args);
    faults.opened(handle);
    return handle;
  };
  return { ...real, open, writeFile };
});

const folder = mkdtempSync(join(tmpdir(), "kinema-faults-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const path = (name: string) => join(folder, name);
const error = (code: string) => Object.assign(new Error(code), { code });

/** What all file handles are made of. */
let handles: FileHandle;
beforeAll(async () => {
  const handle = await open(process.execPath);
  handles = Object.getPrototypeOf(handle);
  await handle.close();
});
afterEach(() => {
  vi.restoreAllMocks();
  Object.assign(faults, { writeFile: async () => {}, opened: () => {} });
});

it("a lock says whose it is from the moment that it is there", async () => {
  const slow = () => sleep(100);
  faults.writeFile = slow;
  const { writeFile } = handles;
  vi.spyOn(handles, "writeFile").mockImplementation(async function (this: FileHandle, ...args) {
    await slow();
    return writeFile.apply(this, args);
  });
  const opening = nodeStoreFile(path("a.kvc"), { create: "new" });
  await sleep(50);
  expect(existsSync(path("a.kvc.lock"))).toBe(false);
  await (await opening).close();
});

it("a lock on a full disk is refused in words and leaves nothing behind", async () => {
  faults.writeFile = async () => {
    throw error("ENOSPC");
  };
  vi.spyOn(handles, "writeFile").mockRejectedValue(error("ENOSPC"));
  await expect(nodeStoreFile(path("full.kvc"), { create: "new" })).rejects.toMatchObject({
    code: "bad-input",
    message: `${path("full.kvc")}: the disk is full; free some space`,
  });
  expect([existsSync(path("full.kvc")), existsSync(path("full.kvc.lock"))]).toEqual([false, false]);
  vi.restoreAllMocks();
  faults.writeFile = async () => {};
  await (await nodeStoreFile(path("full.kvc"), { create: "new" })).close();
});

it("one process takes over the lock of one that is gone, while another waits", async () => {
  writeFileSync(path("b.kvc"), "");
  writeFileSync(path("b.kvc.lock"), "0\n");
  writeFileSync(path("b.kvc.lock.stale"), "1\n"); // another removes it
  await expect(nodeStoreFile(path("b.kvc"))).rejects.toThrow(/has the lock of a process that is gone; remove .*\.lock/);
  expect(existsSync(path("b.kvc.lock"))).toBe(true);
  const opening = nodeStoreFile(path("b.kvc"));
  rmSync(path("b.kvc.lock.stale"));
  await (await opening).close();
  expect(existsSync(path("b.kvc.lock"))).toBe(false);
});

it("bytes that are not taken at once are written in parts", async () => {
  faults.opened = (handle) => {
    const write = handle.write.bind(handle) as (...args: unknown[]) => unknown;
    Object.assign(handle, {
      write: (bytes: Uint8Array, from: number, length: number, at: number) =>
        write(bytes, from, Math.min(7, length), at),
    });
  };
  const bytes = Uint8Array.from({ length: 100 }, (_, i) => i);
  const file = await nodeStoreFile(path("parts.kvc"), { create: "new" });
  await file.write(3, bytes);
  expect(await file.read(3, 100)).toEqual(bytes);
  await file.close();
});

it("a file that cannot be closed is not locked any more", async () => {
  faults.opened = (handle) => {
    const close = handle.close.bind(handle);
    handle.close = async () => {
      await close();
      throw error("EIO");
    };
  };
  const file = await nodeStoreFile(path("full.kvc"));
  await expect(file.close()).rejects.toMatchObject({ code: "bad-input" });
  expect(existsSync(path("full.kvc.lock"))).toBe(false);
});

it("a new file's name is on the medium, too", async () => {
  const synced: boolean[] = [];
  const { sync } = handles;
  vi.spyOn(handles, "sync").mockImplementation(async function (this: FileHandle) {
    synced.push((await this.stat()).isDirectory());
    return sync.call(this);
  });
  await (await nodeStoreFile(path("d.kvc"), { create: "new" })).close();
  expect(synced).toEqual([true]);
});
