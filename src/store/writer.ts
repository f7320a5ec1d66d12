import { fail } from "../core/fail.ts";
import type { ByteSource } from "../weights/byte_source.ts";
import { Batch, type Facts } from "./batch.ts";
import { encodeChunk, firstBeyond } from "./codec.ts";
import {
  type Codes,
  type CodesTrack,
  checkDescription,
  chunkSteps,
  codesArray,
  codesPerStep,
  encodeDescription,
  type StoreDescription,
} from "./description.ts";
import { CODEC, FILE_ID_AT, HEADER_CRC_AT, KIND, RECORDS_AT } from "./layout.ts";
import { openLog, readRecord } from "./log.ts";
import type { Chunk } from "./reader.ts";
import { MemoryFile, type StoreFile } from "./store_file.ts";
import { trackIndex } from "./tracks.ts";

export interface StoreOptions {
  /** How chunks of codes are written: "rans" (default), which falls back to "packed" where that is shorter, or "packed". */
  readonly codec?: "rans" | "packed";
  /** Chunks that are written and committed together, which is what a crash can lose; 1 when absent. */
  readonly chunksPerCommit?: number;
}

/**
 * Begins a store in an empty file.
 * Throws "bad-input" for a file that is not empty or a description that does not do, and what the file throws.
 */
export async function createStore(
  file: StoreFile,
  description: StoreDescription,
  options: StoreOptions = {},
): Promise<StoreWriter> {
  checkDescription(description);
  if (file.size > 0) fail("bad-input", `${file.name} is not empty; resume it or give another name`);
  const batch = beginning(description, crypto.getRandomValues(new Uint32Array(1))[0]!);
  await batch.commit(file);
  return new StoreWriter(file, batch, options);
}

/** What a store begins with: its description, twice. */
function beginning(description: StoreDescription, fileId: number): Batch {
  const ends = description.tracks.map(() => 0);
  const start = { generation: 0, slot: 1, length: RECORDS_AT, sequence: 0, link: 0 };
  const batch = new Batch({ ...start, description, fileId, page: null, pageAt: 0, tail: [], ends });
  const json = encodeDescription(description);
  for (let copy = 0; copy < 2; copy++) batch.add({ kind: KIND.description, codec: CODEC.raw }, json);
  return batch;
}

/**
 * Whether a file is what a crash in createStore's first write leaves of a store of this description: the first part of what
 * createStore writes, and nothing else. Nothing was ever committed to it, so it can be emptied and begun anew.
 */
export async function isUnbegun(file: ByteSource, description: StoreDescription): Promise<boolean> {
  const id = new Uint8Array(4);
  const there = await file.read(RECORDS_AT + FILE_ID_AT, 4);
  id.set(there);
  const image = new MemoryFile();
  await beginning(description, new DataView(id.buffer).getUint32(0, true)).commit(image);
  if (file.size >= image.size) return false;
  const wanted = image.bytes.fill(0, 0, RECORDS_AT); // the superblock comes after the records
  const left = await file.read(0, file.size);
  // A header's checksum is over the id, too: without a whole one it may be any.
  const [crcAt, crcEnd] = [RECORDS_AT + HEADER_CRC_AT, RECORDS_AT + HEADER_CRC_AT + (there.length < 4 ? 4 : 0)];
  return left.every((byte, at) => byte === wanted[at] || (crcAt <= at && at < crcEnd));
}

/**
 * Opens a store to go on after its last whole chunk: what a crash left torn behind it is cut off.
 * Throws what openLog throws, and what the file throws.
 */
export async function resumeStore(file: StoreFile, options: StoreOptions = {}): Promise<StoreWriter> {
  let { log } = await openLog(file);
  const last = log.tail.at(-1);
  if (last && !(await readRecord(file, last.offset))?.payload) log = (await openLog(file, "scan")).log;
  await file.truncate(log.length);
  const batch = new Batch(log);
  await batch.commit(file);
  return new StoreWriter(file, batch, options);
}

/** Steps of a codes track that wait for their chunk to fill. */
interface Waiting {
  readonly track: CodesTrack;
  readonly codes: Codes;
  filled: number;
  /** The step before the first that waits. */
  before: Codes | null;
}

/**
 * Appends to a store. A chunk that is full is encoded, written and committed; what has been committed survives a crash at
 * any moment. Calls are worked off one after the other, awaited or not. Memory is one chunk per track of codes.
 */
export class StoreWriter {
  private readonly file: StoreFile;
  private readonly batch: Batch;
  private readonly options: StoreOptions;
  private readonly waiting: readonly (Waiting | null)[];
  private queue: Promise<unknown> = Promise.resolve();
  private closed = false;

  /** Use createStore or resumeStore. */
  constructor(file: StoreFile, batch: Batch, options: StoreOptions) {
    this.file = file;
    this.batch = batch;
    this.options = options;
    this.waiting = this.description.tracks.map((track) => {
      if (track.kind !== "codes") return null;
      const codes = codesArray(track, chunkSteps(this.description, track) * codesPerStep(track));
      return { track, codes, filled: 0, before: null };
    });
  }

  get description(): StoreDescription {
    return this.batch.log.description;
  }

  /** Steps that a track has, those included that wait for their chunk to fill: the number of the step that comes next. */
  steps(track?: string): number {
    const index = trackIndex(this.description, track);
    return this.batch.log.ends[index]! + (this.waiting[index]?.filled ?? 0);
  }

  /**
   * Appends codes of whole steps, [steps, codebooks, rows, columns]; they are copied.
   * Throws "bad-input" for a part of a step or a code that is not in its codebook, "closed", and what the file throws:
   * steps() then says how far it came, and what waits is tried again with the next call.
   */
  append(codes: Codes, track?: string): Promise<void> {
    const index = trackIndex(this.description, track);
    const waiting = this.waiting[index];
    if (!waiting) return reject(() => fail("bad-input", "append takes codes; appendBytes is for tracks of bytes"));
    const each = codesPerStep(waiting.track);
    if (codes.length % each !== 0) {
      return reject(() => fail("bad-input", `${codes.length} codes are no whole steps of ${each}; append whole steps`));
    }
    const wrong = firstBeyond(waiting.track, codes);
    if (wrong >= 0) {
      const what = `code ${codes[wrong]} of step ${Math.floor(wrong / each)} is not in its codebook`;
      return reject(() => fail("bad-input", `${what}; codes are 0 to size - 1`));
    }
    const copy = codes.slice();
    return this.enqueue(async () => {
      for (let at = 0; at < copy.length || isFull(waiting); ) {
        if (isFull(waiting)) await this.write(index);
        const room = waiting.codes.length - waiting.filled * each;
        const part = copy.subarray(at, at + room);
        waiting.codes.set(part, waiting.filled * each);
        waiting.filled += part.length / each;
        at += part.length;
      }
    });
  }

  /**
   * Appends one chunk to a track of bytes and commits it: steps `first` to `first + steps - 1`, behind those there are.
   * Throws "bad-input" for steps that are there already, "closed", and what the file throws.
   */
  appendBytes(track: string, first: number, steps: number, bytes: Uint8Array): Promise<void> {
    const index = trackIndex(this.description, track);
    if (this.waiting[index]) return reject(() => fail("bad-input", `track "${track}" holds codes; use append`));
    const copy = bytes.slice();
    return this.enqueue(async () => {
      const end = this.batch.log.ends[index]!;
      if (!Number.isSafeInteger(first) || first < end || !Number.isInteger(steps) || steps < 1 || steps >= 2 ** 32) {
        fail("bad-input", `track "${track}" has ${end} steps; ${steps} steps from ${first} cannot follow`);
      }
      await this.add({ codec: CODEC.raw, track: index, first, steps, count: copy.byteLength }, copy);
    });
  }

  /**
   * Appends a chunk of codes as another store holds it, without decoding it; what waits before it is written first.
   * Throws "bad-input" for a chunk that is not one of codes, "closed", and what the file throws.
   */
  appendChunk(chunk: Chunk, track?: string): Promise<void> {
    const index = trackIndex(this.description, track);
    const waiting = this.waiting[index];
    const { codec, steps, payload, change } = chunk;
    if (!waiting || codec === "raw") return reject(() => fail("bad-input", "appendChunk takes chunks of codes"));
    return this.enqueue(async () => {
      await this.write(index);
      const count = steps * codesPerStep(waiting.track);
      const [meanChange, maxChange] = [Math.round(65535 * change.mean), Math.round(65535 * change.max)];
      const first = this.batch.log.ends[index]!;
      await this.add({ codec: CODEC[codec], track: index, first, steps, count, meanChange, maxChange }, payload);
      waiting.before = null;
    });
  }

  /** Leaves out the next steps of a track of codes, as lost ones: those that follow keep their numbers, and readers say that these are lost. */
  leaveOut(steps: number, track?: string): Promise<void> {
    const index = trackIndex(this.description, track);
    const waiting = this.waiting[index];
    if (!waiting)
      return reject(() => fail("bad-input", "leaveOut is for tracks of codes; those of bytes may have gaps"));
    return this.enqueue(async () => {
      await this.write(index);
      const { log } = this.batch;
      this.batch.log = { ...log, ends: log.ends.map((end, i) => (i === index ? end + steps : end)) };
      waiting.before = null;
    });
  }

  /** Writes what waits, as chunks that are not full, and commits: for a pause, or the end. */
  commit(): Promise<void> {
    return this.enqueue(() => this.writeAll());
  }

  /** Commits and closes the file. */
  close(): Promise<void> {
    if (this.closed) return this.queue as Promise<void>;
    const done = this.enqueue(async () => {
      try {
        await this.writeAll();
      } finally {
        await this.file.close();
      }
    });
    this.closed = true;
    return done;
  }

  private enqueue(task: () => Promise<void>): Promise<void> {
    if (this.closed) return reject(() => fail("closed", `the writer of ${this.file.name} is closed`));
    const done = this.queue.then(task);
    this.queue = done.catch(() => {});
    return done;
  }

  /** Writes what waits of a track as one chunk. */
  private async write(index: number): Promise<void> {
    const waiting = this.waiting[index];
    if (!waiting || waiting.filled === 0) return;
    const { track, filled, before } = waiting;
    const each = codesPerStep(track);
    const codes = waiting.codes.subarray(0, filled * each);
    const { codec, payload } = encodeChunk(track, codes, this.options.codec ?? "rans");
    const first = this.batch.log.ends[index]!;
    const facts = { codec, track: index, first, steps: filled, count: codes.length, ...changeOf(codes, each, before) };
    waiting.before = codes.slice(codes.length - each);
    waiting.filled = 0;
    await this.add(facts, payload);
  }

  private async writeAll(): Promise<void> {
    for (const index of this.waiting.keys()) await this.write(index);
    if (this.batch.chunks > 0) await this.batch.commit(this.file);
  }

  private async add(facts: Omit<Facts, "kind">, payload: Uint8Array): Promise<void> {
    this.batch.add({ kind: KIND.chunk, ...facts }, payload);
    if (this.batch.chunks >= (this.options.chunksPerCommit ?? 1)) await this.batch.commit(this.file);
  }
}

const isFull = ({ track, codes, filled }: Waiting): boolean => filled * codesPerStep(track) === codes.length;

/** A promise that rejects as the function throws, so that an async call never throws at once. */
const reject = async (task: () => never): Promise<void> => task();

/** Share of codes unlike the step before, in 65535ths: mean and largest over the steps. */
function changeOf(codes: Codes, each: number, before: Codes | null): { meanChange: number; maxChange: number } {
  let [sum, most, steps] = [0, 0, 0];
  for (let start = 0; start < codes.length; start += each) {
    const previous = start > 0 ? codes : before;
    if (!previous) continue;
    const back = start > 0 ? each : start;
    let unlike = 0;
    for (let i = start; i < start + each; i++) if (codes[i] !== previous[i - back]) unlike++;
    sum += unlike;
    most = Math.max(most, unlike);
    steps++;
  }
  const share = (count: number) => Math.round((65535 * count) / each);
  return { meanChange: steps > 0 ? share(sum / steps) : 0, maxChange: share(most) };
}
