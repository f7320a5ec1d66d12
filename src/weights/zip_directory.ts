/**
 * The central directory of a zip, zip64 included, as strictly as an archive of stored entries allows: no entry twice,
 * none over another, none compressed or encrypted.
 */
import { fail } from "../core/fail.ts";
import type { ByteSource } from "./byte_source.ts";
import { readExactly } from "./byte_source.ts";
import { show } from "./safetensors_header.ts";

export interface ZipEntry {
  readonly name: string;
  readonly flags: number;
  readonly crc: number;
  /** Bytes of the content, which is stored as it is. */
  readonly size: number;
  /** Position of the local header. */
  readonly offset: number;
  /** Position where the next local header or the directory begins. */
  readonly limit: number;
}

const END_BYTES = 22;
const MAX_COMMENT = 65_535;
const MAX_DIRECTORY_BYTES = 32 * 1024 * 1024;
const MAX_ENTRIES = 100_000;
const FULL32 = 0xffffffff;

interface DirectoryPlace {
  readonly count: number;
  readonly offset: number;
  readonly bytes: number;
}

/** Reads the directory. Throws "truncated" (no end record), "unsupported" (compression, encryption), "bad-file". */
export async function readZipDirectory(source: ByteSource): Promise<ReadonlyMap<string, ZipEntry>> {
  const place = await findDirectory(source);
  const { count, offset, bytes } = place;
  if (bytes > MAX_DIRECTORY_BYTES || count > MAX_ENTRIES || count * 46 > bytes || offset + bytes > source.size) {
    broken(source, `a directory of ${count} entries and ${bytes} bytes at ${offset} is impossible`);
  }
  const view = viewOf(await readExactly(source, offset, bytes, "the zip directory"));
  const entries: Omit<ZipEntry, "limit">[] = [];
  const names = new Set<string>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    const { entry, next } = parseEntry(source, view, at);
    if (names.has(entry.name)) broken(source, `entry ${show(entry.name)} appears twice`);
    names.add(entry.name);
    entries.push(entry);
    at = next;
  }
  if (at !== bytes) broken(source, "the directory has bytes left over");
  return withLimits(source, entries, offset);
}

/** Checks that the entries lie one after the other from byte 0 to the directory. */
function withLimits(
  source: ByteSource,
  entries: Omit<ZipEntry, "limit">[],
  directory: number,
): ReadonlyMap<string, ZipEntry> {
  entries.sort((a, b) => a.offset - b.offset);
  if (entries.length > 0 && entries[0]!.offset !== 0) broken(source, "bytes before the first entry");
  const placed = new Map<string, ZipEntry>();
  entries.forEach((entry, i) => {
    const limit = entries[i + 1]?.offset ?? directory;
    if (entry.offset + 30 + entry.size > limit) broken(source, `entry ${show(entry.name)} overlaps what follows it`);
    placed.set(entry.name, { ...entry, limit });
  });
  return placed;
}

async function findDirectory(source: ByteSource): Promise<DirectoryPlace> {
  const tailStart = Math.max(0, source.size - END_BYTES - MAX_COMMENT);
  const tail = viewOf(await readExactly(source, tailStart, source.size - tailStart, "the zip end record"));
  let end = tail.byteLength - END_BYTES;
  const fits = (at: number) =>
    tail.getUint32(at, true) === 0x06054b50 && at + END_BYTES + tail.getUint16(at + 20, true) === tail.byteLength;
  while (end >= 0 && !fits(end)) end--;
  if (end < 0) {
    return fail(
      "truncated",
      `${source.name}: a zip (torch) file without its end record: the download is incomplete, get it again`,
    );
  }
  if (end >= 20 && tail.getUint32(end - 20, true) === 0x07064b50) {
    return findDirectory64(source, whole(source, tail.getBigUint64(end - 12, true)), tailStart + end - 20);
  }
  const count = tail.getUint16(end + 10, true);
  if (tail.getUint16(end + 4, true) !== 0 || tail.getUint16(end + 8, true) !== count)
    broken(source, "a zip in several parts");
  return { count, bytes: tail.getUint32(end + 12, true), offset: tail.getUint32(end + 16, true) };
}

async function findDirectory64(source: ByteSource, at: number, locator: number): Promise<DirectoryPlace> {
  if (at + 56 > locator) broken(source, "the zip64 end record is not before its locator");
  const view = viewOf(await readExactly(source, at, 56, "the zip64 end record"));
  if (view.getUint32(0, true) !== 0x06064b50) broken(source, "the zip64 end record is not where its locator says");
  const count = whole(source, view.getBigUint64(32, true));
  if (view.getUint32(16, true) !== 0 || whole(source, view.getBigUint64(24, true)) !== count) {
    broken(source, "a zip in several parts");
  }
  return {
    count,
    bytes: whole(source, view.getBigUint64(40, true)),
    offset: whole(source, view.getBigUint64(48, true)),
  };
}

function parseEntry(source: ByteSource, view: DataView, at: number): { entry: Omit<ZipEntry, "limit">; next: number } {
  if (at + 46 > view.byteLength || view.getUint32(at, true) !== 0x02014b50) broken(source, "a directory entry is cut");
  const nameBytes = view.getUint16(at + 28, true);
  const extraBytes = view.getUint16(at + 30, true);
  const next = at + 46 + nameBytes + extraBytes + view.getUint16(at + 32, true);
  if (next > view.byteLength) broken(source, "a directory entry is cut");
  const name = decodeName(source, new Uint8Array(view.buffer, view.byteOffset + at + 46, nameBytes));
  const flags = view.getUint16(at + 8, true);
  if (flags & 1) fail("unsupported", `${source.name}: zip entry ${show(name)} is encrypted; give an unencrypted file`);
  if (view.getUint16(at + 10, true) !== 0) {
    fail(
      "unsupported",
      `${source.name}: zip entry ${show(name)} is compressed; torch stores entries: save the file with torch.save again`,
    );
  }
  const extra = new DataView(view.buffer, view.byteOffset + at + 46 + nameBytes, extraBytes);
  const wide = wideFields(source, extra);
  const size = take(view.getUint32(at + 24, true), wide);
  const packed = take(view.getUint32(at + 20, true), wide);
  const offset = take(view.getUint32(at + 42, true), wide);
  if (size !== packed) broken(source, `stored entry ${show(name)} has two sizes`);
  if (offset + size > source.size) broken(source, `entry ${show(name)} lies beyond the end of the file`);
  return { entry: { name, flags, crc: view.getUint32(at + 16, true), size, offset }, next };
}

/** The 64-bit values of the zip64 extra field, in the order in which full 32-bit fields take them. */
export function wideFields(source: ByteSource, extra: DataView): number[] {
  const values: number[] = [];
  for (let at = 0; at + 4 <= extra.byteLength; ) {
    const bytes = extra.getUint16(at + 2, true);
    if (at + 4 + bytes > extra.byteLength) break; // padding written by torch need not be a whole field
    if (extra.getUint16(at, true) === 1) {
      for (let i = 0; i + 8 <= bytes; i += 8) values.push(whole(source, extra.getBigUint64(at + 4 + i, true)));
      return values;
    }
    at += 4 + bytes;
  }
  return values;
}

/** A 32-bit field, or the next wide value when the field is full. */
export function take(narrow: number, wide: number[]): number {
  return narrow === FULL32 && wide.length > 0 ? wide.shift()! : narrow;
}

function whole(source: ByteSource, value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) broken(source, "a 64-bit field beyond 2^53");
  return Number(value);
}

export function decodeName(source: ByteSource, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return broken(source, "an entry name that is not UTF-8");
  }
}

export function broken(source: ByteSource, what: string): never {
  return fail("bad-file", `${source.name}: zip: ${what}; the file is damaged or hostile`);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
