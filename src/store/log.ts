/** A store as a log of records: what is committed, what a crash left behind it, what damage spared. */
import { fail } from "../core/fail.ts";
import type { ByteSource } from "../weights/byte_source.ts";
import { crc32c } from "./crc32c.ts";
import { decodeDescription, type StoreDescription } from "./description.ts";
import {
  decodeHeader,
  decodePage,
  decodeSuperblock,
  type Entry,
  HEADER_BYTES,
  KIND,
  type Page,
  padded,
  RECORDS_AT,
  type RecordHeader,
  recordBytes,
  SUPERBLOCK_AT,
  SUPERBLOCK_BYTES,
  type Superblock,
} from "./layout.ts";

/** Read with the superblocks at once: nearly always the description too. */
const OPENING_BYTES = 16384;
const SEARCH_BYTES = 65536;
/** The largest payload of an index page: 16 tracks, 33 back pointers, 16 chunks. */
const PAGE_BYTES = 8 + 8 * (16 + 33) + 28 * 16;

/** A store's state between two commits. */
export interface Log {
  readonly description: StoreDescription;
  readonly fileId: number;
  readonly generation: number;
  /** The superblock that holds this state, 0 or 1; the next commit writes the other. */
  readonly slot: number;
  readonly length: number;
  readonly sequence: number;
  readonly link: number;
  /** The last index page and where it is. */
  readonly page: Page | null;
  readonly pageAt: number;
  /** Chunks since that page. */
  readonly tail: readonly Entry[];
  /** Per track, the step that follows its last chunk. */
  readonly ends: readonly number[];
}

/** What opening a store finds. */
export interface Opened {
  readonly log: Log;
  /** Every chunk whose header is whole, in the order of the file, when the index could not be used; else null. */
  readonly scanned: readonly Entry[] | null;
  /** What is wrong with the file's own structures, in words. */
  readonly faults: readonly string[];
  /** Per track, the step that followed its last chunk when it was committed, behind `log.ends` where chunks are lost; null where nothing says it. */
  readonly expected: readonly (number | null)[];
  /** Chunks that were written whole after the last commit, and are taken as committed. */
  readonly recovered: readonly Entry[];
}

/**
 * Opens a store: one read, and another where there is an index page. From the committed length on, records that continue
 * the chain and are whole are taken too. Where superblocks, the last index page or the end of the file are gone, every
 * record is looked for instead; `how` "scan" asks for that.
 * Throws "bad-file" (no store, or nothing left that says what it is), "unsupported" (a later version).
 */
export async function openLog(source: ByteSource, how: "index" | "scan" = "index"): Promise<Opened> {
  const head = await source.read(0, OPENING_BYTES);
  const faults: string[] = [];
  const root = newestSuperblock(head, source.name, faults);
  const near: ByteSource = {
    ...{ name: source.name, size: source.size },
    read: async (at, length) =>
      at + length <= head.byteLength ? head.subarray(at, at + length) : source.read(at, length),
  };
  const description = await readDescription(near, root?.fileId ?? null, faults);
  if (root && how === "index" && root.length <= source.size) {
    const log = await rootedLog(source, root, description);
    if (log) {
      const { log: whole, recovered } = await continueLog(source, log);
      const expected = whole.ends.map((end, track) => Math.max(end, root.ends[track] ?? 0));
      return { log: whole, scanned: null, faults, recovered, expected };
    }
    faults.push("the index is damaged");
  } else if (root && root.length > source.size) {
    faults.push(`the file ends ${root.length - source.size} bytes before what was committed`);
  }
  const { committed, ...found } = await scanLog(source, description, root);
  const expected = found.log.ends.map((end, track) => {
    const before = committed ? committed[track]! : end;
    return before === null ? null : Math.max(end, before);
  });
  return { ...found, faults, expected };
}

interface Root extends Superblock {
  readonly slot: number;
}

function newestSuperblock(head: Uint8Array, name: string, faults: string[]): Root | null {
  let newest: Root | null = null;
  for (const [slot, at] of SUPERBLOCK_AT.entries()) {
    const bytes = head.subarray(at, at + SUPERBLOCK_BYTES);
    const block = decodeSuperblock(bytes);
    if (block && "version" in block)
      fail("unsupported", `${name} is a store of version ${block.version}; update Kinema`);
    if (block && block.generation > (newest?.generation ?? 0)) newest = { ...block, slot };
    if (!block && bytes.some((byte) => byte !== 0)) faults.push(`superblock ${"AB"[slot]} is damaged`);
  }
  if (!newest && faults.length === 0) faults.push("both superblocks are gone");
  return newest;
}

interface Described {
  readonly description: StoreDescription;
  readonly fileId: number;
}

/** The description stands twice, as records 0 and 1; the second is found by the first's place or by looking for it. */
async function readDescription(source: ByteSource, fileId: number | null, faults: string[]): Promise<Described> {
  let at: number | null = RECORDS_AT;
  for (let attempt = 0; attempt < 2 && at !== null; attempt++) {
    const record: WholeRecord | null = await readRecord(source, at);
    const right = record?.header.kind === KIND.description && (fileId ?? record.header.fileId) === record.header.fileId;
    if (record?.payload && right) {
      return { description: decodeDescription(record.payload, source.name), fileId: record.header.fileId };
    }
    if (attempt === 0) faults.push("the first copy of the description is damaged");
    at =
      record && right ? at + recordBytes(record.header.length) : await findHeader(source, at + 8, fileId, source.size);
  }
  return fail("bad-file", `${source.name} is not a store, or its description is lost; give a .kvc file`);
}

interface WholeRecord {
  readonly header: RecordHeader;
  /** Null where the payload is not what was written. */
  readonly payload: Uint8Array | null;
}

/** The record at `offset`, or null where no header is whole; with one read if its payload has at most `ahead` bytes. */
export async function readRecord(source: ByteSource, offset: number, ahead = 0): Promise<WholeRecord | null> {
  const bytes = await source.read(offset, HEADER_BYTES + ahead);
  const header = decodeHeader(bytes, offset);
  if (!header) return null;
  const there = offset + HEADER_BYTES + header.length <= source.size;
  let payload = there ? bytes.subarray(HEADER_BYTES, HEADER_BYTES + header.length) : null;
  if (there && header.length > ahead) payload = await source.read(offset + HEADER_BYTES, header.length);
  const good = payload?.byteLength === header.length && crc32c(payload) === header.payloadCrc;
  return { header, payload: good ? payload : null };
}

/** The index page at `offset`, or null where it is damaged. */
export async function readPage(source: ByteSource, offset: number, log: Described): Promise<Page | null> {
  const record = await readRecord(source, offset, PAGE_BYTES);
  if (record?.header.kind !== KIND.page || record.header.fileId !== log.fileId || !record.payload) return null;
  const page = decodePage(record.payload);
  const tracks = log.description.tracks.length;
  if (page?.starts.length !== tracks) return null;
  return page.entries.every((entry) => plausible(entry, tracks, offset)) ? page : null;
}

/** Whether an entry can be true of a file whose chunks end before `end`. */
const plausible = ({ offset, track, first, steps, length }: Entry, tracks: number, end: number): boolean =>
  track < tracks && steps > 0 && Number.isSafeInteger(first + steps) && offset + recordBytes(length) <= end;

/** The state that a superblock states; null where its index page is damaged. */
async function rootedLog(source: ByteSource, root: Root, described: Described): Promise<Log | null> {
  const page = root.pageAt === 0 ? null : await readPage(source, root.pageAt, described);
  const tracks = described.description.tracks.length;
  if (root.pageAt !== 0 && !page) return null;
  if (!root.tail.every((entry) => plausible(entry, tracks, root.length))) return null;
  const ends = described.description.tracks.map((_, track) => page?.starts[track] ?? 0);
  for (const entry of [...(page?.entries ?? []), ...root.tail]) ends[entry.track] = entry.first + entry.steps;
  const { generation, slot, length, sequence, link, pageAt, tail } = root;
  return { ...described, generation, slot, length, sequence, link, page, pageAt, tail, ends };
}

/** The state after one more record that is whole. */
function withRecord(log: Log, header: RecordHeader, page: Page | null): Log {
  const next = {
    ...log,
    length: header.offset + recordBytes(header.length),
    sequence: header.sequence + 1,
    link: header.crc,
  };
  if (page) return { ...next, page, pageAt: header.offset, tail: [] };
  if (header.kind !== KIND.chunk) return next;
  const ends = log.ends.map((end, track) => (track === header.track ? header.first + header.steps : end));
  return { ...next, ends, tail: [...log.tail, entryOf(header)] };
}

const entryOf = ({ offset, track, first, steps, length, codec }: RecordHeader): Entry => ({
  offset,
  track,
  first,
  steps,
  length,
  codec,
});

/** Takes the records behind the committed length that continue the chain and are whole. */
async function continueLog(source: ByteSource, start: Log): Promise<{ log: Log; recovered: Entry[] }> {
  let log = start;
  const recovered: Entry[] = [];
  while (log.length + HEADER_BYTES <= source.size) {
    const record = await readRecord(source, log.length);
    if (!record?.payload || !follows(log, record.header)) break;
    const page = record.header.kind === KIND.page ? decodePage(record.payload) : null;
    log = withRecord(log, record.header, page);
    if (record.header.kind === KIND.chunk) recovered.push(entryOf(record.header));
  }
  return { log, recovered };
}

const follows = (log: Log, header: RecordHeader): boolean =>
  header.fileId === log.fileId &&
  header.sequence === log.sequence &&
  header.link === log.link &&
  header.track < log.description.tracks.length;

/**
 * Reads every header of the file, one after the other; behind a damaged one it looks for the next. Records at the end
 * whose payload is not whole are dropped. What follows the committed length must continue the chain and be whole; without
 * a superblock the whole file counts as committed.
 */
async function scanLog(
  source: ByteSource,
  described: Described,
  root: Root | null,
): Promise<{ log: Log; scanned: Entry[]; recovered: Entry[]; committed: (number | null)[] | null }> {
  const committed = Math.min(root?.length ?? source.size, source.size);
  const headers: RecordHeader[] = [];
  for (let at = RECORDS_AT; at + HEADER_BYTES <= committed; ) {
    const header = decodeHeader(await source.read(at, HEADER_BYTES), at);
    if (header && fits(header, described, headers.at(-1)) && at + HEADER_BYTES + header.length <= committed) {
      headers.push(header);
      at += recordBytes(header.length);
      continue;
    }
    const next = await findHeader(source, at + 8, described.fileId, committed);
    if (next === null) break;
    at = next;
  }
  const ends = root && described.description.tracks.map((_, track) => committedEnd(root, headers, track));
  while (headers.length > 0 && !(await readRecord(source, headers.at(-1)!.offset))?.payload) headers.pop();
  let log: Log = {
    ...described,
    generation: root?.generation ?? 0,
    slot: root?.slot ?? 1,
    ...{ length: RECORDS_AT, sequence: 0, link: 0, page: null, pageAt: 0, tail: [] },
    ends: described.description.tracks.map(() => 0),
  };
  for (const header of headers) {
    log = withRecord(log, header, header.kind === KIND.page ? await readPage(source, header.offset, described) : null);
  }
  const scanned = headers.filter(({ kind }) => kind === KIND.chunk).map(entryOf);
  const continued = await continueLog(source, log);
  return { ...continued, scanned: [...scanned, ...continued.recovered], committed: ends };
}

/** The step that followed a track's last chunk at the last commit: as its superblock says or, where no record behind the track's last one is missing, that one. */
function committedEnd(root: Root, headers: readonly RecordHeader[], track: number): number | null {
  const listed = root.tail.findLast((entry) => entry.track === track);
  if (listed) return listed.first + listed.steps;
  const stated = root.ends[track] ?? null;
  if (stated !== null) return stated;
  let missing = root.sequence - 1;
  for (let i = headers.length - 1; headers[i]?.sequence === missing; i--) missing--;
  const last = headers.findLast((header) => header.kind === KIND.chunk && header.track === track);
  if ((last?.sequence ?? -1) < missing) return null;
  return last ? last.first + last.steps : 0;
}

const fits = (header: RecordHeader, { fileId, description }: Described, before: RecordHeader | undefined): boolean =>
  header.fileId === fileId && header.sequence > (before?.sequence ?? -1) && header.track < description.tracks.length;

/** Offset of the first whole header from `from` on, in steps of 8, that ends before `end`; null for none. */
async function findHeader(
  source: ByteSource,
  from: number,
  fileId: number | null,
  end: number,
): Promise<number | null> {
  for (let at = padded(from); at + HEADER_BYTES <= end; at += SEARCH_BYTES - HEADER_BYTES) {
    const bytes = await source.read(at, Math.min(SEARCH_BYTES, end - at));
    for (let i = 0; i + HEADER_BYTES <= bytes.byteLength; i += 8) {
      const header = decodeHeader(bytes.subarray(i, i + HEADER_BYTES), at + i);
      if (header && (fileId ?? header.fileId) === header.fileId) return at + i;
    }
  }
  return null;
}
