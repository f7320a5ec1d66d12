/**
 * A random-access run of bytes: memory, a Blob, a URL or (in src/host) a file. Readers ask for the ranges that they
 * need, so that looking at a header never costs a download of the data behind it.
 */
import { fail } from "../core/fail.ts";

export interface ByteSource {
  /** File name or address, for messages and for what a file name tells (segments, shift divisor). */
  readonly name: string;
  /** Bytes there are. */
  readonly size: number;
  /** Bytes [offset, offset + length); may return fewer only when the source ends. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** A source over bytes in memory. Reads are views, not copies. */
export function fromBytes(bytes: Uint8Array, name = "bytes"): ByteSource {
  return {
    name,
    size: bytes.byteLength,
    read: async (offset, length) => bytes.subarray(offset, offset + length),
  };
}

/** A source over a Blob or File (a dropped or picked file). Throws "bad-input" when the browser can no longer read it. */
export function fromBlob(blob: Blob, name?: string): ByteSource {
  const label = name ?? (blob instanceof File ? blob.name : "blob");
  return {
    name: label,
    size: blob.size,
    read: async (offset, length) => {
      try {
        return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      } catch (cause) {
        return fail("bad-input", `${label}: the browser cannot read the file any more; choose it again`, {}, cause);
      }
    },
  };
}

/**
 * Reads exactly `length` bytes. Throws "truncated" when the range leaves the source or the source hands out less.
 * @param what what is being read, for the message
 */
export async function readExactly(
  source: ByteSource,
  offset: number,
  length: number,
  what: string,
): Promise<Uint8Array> {
  const available = Math.max(0, source.size - offset);
  if (length > available) {
    fail(
      "truncated",
      `${source.name}: ${what} needs ${length} bytes at ${offset} and the file has ${available} left; download the file again`,
      { offset, length, size: source.size },
    );
  }
  if (length === 0) return new Uint8Array(0);
  const bytes = await source.read(offset, length);
  if (bytes.byteLength !== length) {
    fail(
      "truncated",
      `${source.name}: ${what} asked for ${length} bytes at ${offset} and got ${bytes.byteLength}; the file changed while it was read`,
      { offset, length, got: bytes.byteLength },
    );
  }
  return bytes;
}
