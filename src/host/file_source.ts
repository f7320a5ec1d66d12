/** A ByteSource over a file of the machine, read by ranges. */
import { open, stat } from "node:fs/promises";
import { fail } from "../core/fail.ts";
import type { ByteSource } from "../weights/byte_source.ts";

/**
 * Opens a path. The file is opened for each range, so that nothing has to be closed afterwards. `size` is that of the last
 * look: a store that is being written may say more of itself than it had when it was opened here.
 * Throws "bad-input" for a missing or unreadable path, a directory or a device.
 */
export async function fileSource(path: string): Promise<ByteSource> {
  const info = await stat(path).catch((cause) => explain(path, cause));
  if (info.isDirectory()) fail("bad-input", `${path}: is a directory; give the weight file inside it`);
  if (!info.isFile()) fail("bad-input", `${path}: is not a regular file; give a weight file`);
  let { size } = info;
  return {
    name: path,
    get size() {
      return size;
    },
    async read(offset, length) {
      const range = await readRange(path, offset, length);
      size = range.size;
      return range.bytes;
    },
  };
}

/** Bytes of a file, and the size that it has after they were read. */
async function readRange(path: string, offset: number, length: number): Promise<{ bytes: Uint8Array; size: number }> {
  const file = await open(path, "r").catch((cause) => explain(path, cause));
  try {
    const bytes = new Uint8Array(length);
    let got = 0;
    while (got < length) {
      const { bytesRead } = await file.read(bytes, got, length - got, offset + got);
      if (bytesRead === 0) break;
      got += bytesRead;
    }
    return { bytes: bytes.subarray(0, got), size: (await file.stat()).size };
  } catch (cause) {
    return explain(path, cause);
  } finally {
    await file.close();
  }
}

function explain(path: string, cause: unknown): never {
  const code = (cause as NodeJS.ErrnoException).code;
  if (code === "ENOENT" || code === "ENOTDIR") fail("bad-input", `${path}: no such file; check the path`, {}, cause);
  if (code === "EACCES" || code === "EPERM") fail("bad-input", `${path}: no permission to read the file`, {}, cause);
  return fail("bad-input", `${path}: cannot be read (${code ?? String(cause)})`, {}, cause);
}
