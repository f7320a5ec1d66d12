/** The bytes of a store's fixed structures: superblock, record header, index page. README.md has the tables. */
import { crc32c } from "./crc32c.ts";

/** Where superblocks A and B are: in different pages of 4096 bytes, the largest unit that a disk writes at once. */
export const SUPERBLOCK_AT = [0, 4096] as const;
export const SUPERBLOCK_BYTES = 512;
/** Where the first record is. */
export const RECORDS_AT = 8192;
export const HEADER_BYTES = 64;
/** Where a record's header has its checksum, and where the file's id. */
export const HEADER_CRC_AT = 4;
export const FILE_ID_AT = 20;
/** Chunks that an index page lists. */
export const PAGE_CHUNKS = 16;
const ENTRY_BYTES = 28;
const VERSION = 1;
const MAGIC = [0x89, 0x4b, 0x56, 0x43, 0x0d, 0x0a, 0x1a, 0x0a]; // \x89KVC\r\n\x1a\n
const RECORD_MAGIC = 0x5243564b; // KVCR

export const KIND = { description: 0, chunk: 1, page: 2 } as const;
export const CODEC = { packed: 0, rans: 1, raw: 2 } as const;
export type CodecName = keyof typeof CODEC;

/** What the index knows of a chunk. */
export interface Entry {
  /** Where its header is in the file. */
  readonly offset: number;
  readonly track: number;
  readonly first: number;
  readonly steps: number;
  /** Bytes of its payload. */
  readonly length: number;
  readonly codec: number;
}

/** The root: what is committed, and how to find it. */
export interface Superblock {
  readonly fileId: number;
  readonly generation: number;
  /** Bytes of the file that are committed. */
  readonly length: number;
  /** Where the last index page is; 0 for none. */
  readonly pageAt: number;
  readonly pages: number;
  /** Sequence number of the record that comes next. */
  readonly sequence: number;
  /** Header checksum of the last record. */
  readonly link: number;
  /** Chunks since the last index page, less than 16. */
  readonly tail: readonly Entry[];
  /** Of each of the first four tracks, the step that follows its last chunk; null where a writer did not say it. */
  readonly ends: readonly (number | null)[];
}

/** The 64 bytes before every payload. */
export interface RecordHeader {
  readonly kind: number;
  readonly codec: number;
  readonly track: number;
  readonly fileId: number;
  readonly sequence: number;
  /** Header checksum of the record before: a chain that no remnant of an earlier write fits. */
  readonly link: number;
  readonly offset: number;
  readonly first: number;
  readonly steps: number;
  /** Codes in the chunk; of a bytes track its bytes. */
  readonly count: number;
  readonly length: number;
  readonly payloadCrc: number;
  /** Share of codes unlike the step before, 0 to 65535: mean and largest over the chunk's steps. */
  readonly meanChange: number;
  readonly maxChange: number;
  /** Checksum of the header itself. */
  readonly crc: number;
}

export interface Page {
  readonly number: number;
  /** Per track, the step that followed its last chunk before this page's first. */
  readonly starts: readonly number[];
  /** Where earlier pages are: level k holds the last page before this one whose number 2^k divides. */
  readonly back: readonly number[];
  readonly entries: readonly Entry[];
}

/** Bytes up to the next multiple of 8. */
export const padded = (length: number): number => Math.ceil(length / 8) * 8;

/** Bytes that a record with a payload of `length` takes up. */
export const recordBytes = (length: number): number => HEADER_BYTES + padded(length);

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function setU64(data: DataView, at: number, value: number): void {
  data.setUint32(at, value >>> 0, true);
  data.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

const getU64 = (data: DataView, at: number): number =>
  data.getUint32(at, true) + data.getUint32(at + 4, true) * 2 ** 32;

function setEntry(data: DataView, at: number, entry: Entry): void {
  setU64(data, at, entry.offset);
  setU64(data, at + 8, entry.first);
  data.setUint32(at + 16, entry.steps, true);
  data.setUint32(at + 20, entry.length, true);
  data.setUint16(at + 24, entry.track, true);
  data.setUint8(at + 26, entry.codec);
}

const getEntry = (data: DataView, at: number): Entry => ({
  offset: getU64(data, at),
  first: getU64(data, at + 8),
  steps: data.getUint32(at + 16, true),
  length: data.getUint32(at + 20, true),
  track: data.getUint16(at + 24, true),
  codec: data.getUint8(at + 26),
});

const ENDS_AT = 56;
const ENDS = 4;
const TAIL_AT = 88;

export function encodeSuperblock(root: Superblock): Uint8Array {
  const bytes = new Uint8Array(SUPERBLOCK_BYTES);
  const data = view(bytes);
  bytes.set(MAGIC);
  data.setUint32(8, VERSION, true);
  data.setUint32(12, root.fileId, true);
  setU64(data, 16, root.generation);
  setU64(data, 24, root.length);
  setU64(data, 32, root.pageAt);
  data.setUint32(40, root.pages, true);
  data.setUint32(44, root.sequence, true);
  data.setUint32(48, root.link, true);
  data.setUint32(52, root.tail.length, true);
  for (const [i, end] of root.ends.slice(0, ENDS).entries()) setU64(data, ENDS_AT + 8 * i, end === null ? 0 : end + 1);
  for (const [i, entry] of root.tail.entries()) setEntry(data, TAIL_AT + i * ENTRY_BYTES, entry);
  data.setUint32(508, crc32c(bytes.subarray(0, 508)), true);
  return bytes;
}

/** A superblock, the version of a later format, or null for bytes that are none. */
export function decodeSuperblock(bytes: Uint8Array): Superblock | { readonly version: number } | null {
  if (bytes.byteLength < SUPERBLOCK_BYTES || MAGIC.some((byte, i) => bytes[i] !== byte)) return null;
  const data = view(bytes);
  if (data.getUint32(508, true) !== crc32c(bytes.subarray(0, 508))) return null;
  const version = data.getUint32(8, true);
  if (version !== VERSION) return { version };
  const count = Math.min(PAGE_CHUNKS - 1, data.getUint32(52, true));
  return {
    fileId: data.getUint32(12, true),
    generation: getU64(data, 16),
    length: getU64(data, 24),
    pageAt: getU64(data, 32),
    pages: data.getUint32(40, true),
    sequence: data.getUint32(44, true),
    link: data.getUint32(48, true),
    tail: Array.from({ length: count }, (_, i) => getEntry(data, TAIL_AT + i * ENTRY_BYTES)),
    ends: Array.from({ length: ENDS }, (_, i) => getU64(data, ENDS_AT + 8 * i) || null).map((end) => end && end - 1),
  };
}

/** A whole record, header, payload and padding; the checksums are its own, `crc` among them. */
export function encodeRecord(
  header: Omit<RecordHeader, "length" | "payloadCrc" | "crc">,
  payload: Uint8Array,
): { readonly bytes: Uint8Array; readonly crc: number } {
  const bytes = new Uint8Array(recordBytes(payload.byteLength));
  const data = view(bytes);
  data.setUint32(0, RECORD_MAGIC, true);
  data.setUint32(8, header.link, true);
  data.setUint32(12, header.sequence, true);
  data.setUint8(16, header.kind);
  data.setUint8(17, header.codec);
  data.setUint16(18, header.track, true);
  data.setUint32(FILE_ID_AT, header.fileId, true);
  setU64(data, 24, header.offset);
  setU64(data, 32, header.first);
  data.setUint32(40, header.steps, true);
  data.setUint32(44, header.count, true);
  data.setUint32(48, payload.byteLength, true);
  data.setUint32(52, crc32c(payload), true);
  data.setUint16(56, header.meanChange, true);
  data.setUint16(58, header.maxChange, true);
  const crc = crc32c(bytes.subarray(8, HEADER_BYTES));
  data.setUint32(HEADER_CRC_AT, crc, true);
  bytes.set(payload, HEADER_BYTES);
  return { bytes, crc };
}

/** The header at the start of `bytes`, or null where there is none that is whole and written for `offset`. */
export function decodeHeader(bytes: Uint8Array, offset: number): RecordHeader | null {
  if (bytes.byteLength < HEADER_BYTES) return null;
  const data = view(bytes);
  if (data.getUint32(0, true) !== RECORD_MAGIC) return null;
  const crc = data.getUint32(HEADER_CRC_AT, true);
  if (crc !== crc32c(bytes.subarray(8, HEADER_BYTES)) || getU64(data, 24) !== offset) return null;
  return {
    kind: data.getUint8(16),
    codec: data.getUint8(17),
    track: data.getUint16(18, true),
    fileId: data.getUint32(FILE_ID_AT, true),
    sequence: data.getUint32(12, true),
    link: data.getUint32(8, true),
    offset,
    first: getU64(data, 32),
    steps: data.getUint32(40, true),
    count: data.getUint32(44, true),
    length: data.getUint32(48, true),
    payloadCrc: data.getUint32(52, true),
    meanChange: data.getUint16(56, true),
    maxChange: data.getUint16(58, true),
    crc,
  };
}

export function encodePage(page: Page): Uint8Array {
  const { starts, back, entries } = page;
  const bytes = new Uint8Array(8 + 8 * (starts.length + back.length) + ENTRY_BYTES * entries.length);
  const data = view(bytes);
  data.setUint32(0, page.number, true);
  data.setUint16(4, starts.length, true);
  data.setUint16(6, back.length, true);
  for (const [i, value] of [...starts, ...back].entries()) setU64(data, 8 + 8 * i, value);
  const at = 8 + 8 * (starts.length + back.length);
  for (const [i, entry] of entries.entries()) setEntry(data, at + i * ENTRY_BYTES, entry);
  return bytes;
}

/** The page in a record's payload, or null for one of an impossible size. */
export function decodePage(bytes: Uint8Array): Page | null {
  if (bytes.byteLength < 8) return null;
  const data = view(bytes);
  const [tracks, levels] = [data.getUint16(4, true), data.getUint16(6, true)];
  const at = 8 + 8 * (tracks + levels);
  if (bytes.byteLength !== at + ENTRY_BYTES * PAGE_CHUNKS) return null;
  const numbers = Array.from({ length: tracks + levels }, (_, i) => getU64(data, 8 + 8 * i));
  return {
    number: data.getUint32(0, true),
    starts: numbers.slice(0, tracks),
    back: numbers.slice(tracks),
    entries: Array.from({ length: PAGE_CHUNKS }, (_, i) => getEntry(data, at + i * ENTRY_BYTES)),
  };
}

/** Back pointers of the page after `last`, which is at `offset`; none when there is no page yet. The last is page 0. */
export function backOf(last: Page | null, offset: number): number[] {
  if (!last) return [];
  const levels = 33 - Math.clz32(last.number + 1);
  const kept = (level: number) => last.back[level] ?? last.back.at(-1)!;
  return Array.from({ length: levels }, (_, level) => (last.number % 2 ** level === 0 ? offset : kept(level)));
}
