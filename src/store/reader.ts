import { fail, KinemaError } from "../core/fail.ts";
import type { ByteSource } from "../weights/byte_source.ts";
import { decodeChunk, packChunk, wordsOf } from "./codec.ts";
import { crc32c } from "./crc32c.ts";
import {
  type Codes,
  type CodesTrack,
  codesArray,
  codesPerStep,
  framesPerStep,
  type StoreDescription,
  stepRate,
  type Track,
} from "./description.ts";
import { CODEC, type CodecName, decodeHeader, type Entry, HEADER_BYTES, KIND, type RecordHeader } from "./layout.ts";
import { type Log, type Opened, openLog } from "./log.ts";
import { listSeek, PageLost, pagedSeek, type Seek } from "./seek.ts";
import { trackIndex } from "./tracks.ts";

/** A run of steps as it stands in the file. */
export interface Chunk {
  /** Its first step and how many there are. */
  readonly first: number;
  readonly steps: number;
  readonly codec: CodecName;
  /** Where its record is in the file. */
  readonly offset: number;
  readonly payload: Uint8Array;
  /** Share of codes unlike the step before, 0 to 1: mean and largest over the steps. */
  readonly change: { readonly mean: number; readonly max: number };
  /** Codes [steps, codebooks, rows, columns]. Throws "bad-file", and "bad-input" for a bytes track. */
  codes(): Codes;
  /** The same packed: per codebook a plane [steps, rows, columns] from a whole word, least significant bit first. */
  words(): Uint32Array;
}

/** Steps that cannot be read, `first` to `first + steps - 1`. `steps` is null where a file lost its end and what said how long it was. */
export interface LostSteps {
  readonly first: number;
  readonly steps: number | null;
}

/** Steps in a row: a chunk, or lost, with what reading them throws. `entry` is null where no index knows of them. */
export type Part =
  | {
      readonly first: number;
      readonly steps: number;
      readonly entry: Entry;
      readonly chunk: Chunk;
      readonly error: null;
    }
  | (LostSteps & { readonly entry: Entry | null; readonly chunk: null; readonly error: KinemaError });

/**
 * Opens a store for reading: two reads, however long it is. A store that is being written shows what was
 * committed at that moment; open it again for more.
 * Throws "bad-file" (no store, or nothing left that says what it is), "unsupported" (a later version).
 */
export async function openStore(source: ByteSource): Promise<StoreReader> {
  return new StoreReader(source, await openLog(source));
}

/** Reads steps of tracks, each chunk with one read. Tracks are named; the only codes track when no name is given. */
export class StoreReader {
  readonly description: StoreDescription;
  /** Damage to the file's own structures that opening it met, in words; chunks are checked when they are read. */
  readonly faults: readonly string[];
  private readonly source: ByteSource;
  private readonly log: Log;
  private readonly expected: readonly (number | null)[];
  private seek: Seek;

  constructor(source: ByteSource, { log, scanned, faults, expected }: Opened) {
    this.source = source;
    this.log = log;
    this.description = log.description;
    this.faults = faults;
    this.expected = expected;
    this.seek = scanned ? listSeek(scanned, log.ends.length) : pagedSeek(source, log);
  }

  /** Bytes that are committed. */
  get size(): number {
    return this.log.length;
  }

  /** How often the store was committed. */
  get generation(): number {
    return this.log.generation;
  }

  /** Steps of a track: one more than the number of its last. */
  steps(track?: string): number {
    return this.log.ends[trackIndex(this.description, track)]!;
  }

  /** Frames of the video: those of the longest track of codes; of a store that has none, those of the longest track. */
  get frames(): number {
    const codes = this.description.tracks.filter(({ kind }) => kind === "codes");
    const tracks = codes.length > 0 ? codes : this.description.tracks;
    return Math.max(...tracks.map((track) => this.steps(track.name) * framesPerStep(track)));
  }

  /** The step that shows at a time in seconds, from 0; at most the last. */
  stepAt(seconds: number, track?: string): number {
    const index = trackIndex(this.description, track);
    const step = Math.floor(seconds * stepRate(this.description, this.description.tracks[index]!) + 1e-6);
    return Math.max(0, Math.min(step, this.log.ends[index]! - 1));
  }

  /**
   * Codes of steps from `from` up to and without `to`, [steps, codebooks, rows, columns].
   * Throws "bad-input" for steps that the store does not have, "bad-file" where they are damaged.
   */
  async read(from: number, to: number, track?: string): Promise<Codes> {
    const described = this.codesTrack(track);
    const steps = this.steps(track);
    if (!(Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from <= to && to <= steps)) {
      fail("bad-input", `${this.source.name}: steps ${from} to ${to} are not among the ${steps} of the store`);
    }
    const each = codesPerStep(described);
    const codes = codesArray(described, (to - from) * each);
    let next = from;
    for await (const chunk of this.chunks(from, to, track)) {
      const end = Math.min(to, chunk.first + chunk.steps);
      codes.set(chunk.codes().subarray((next - chunk.first) * each, (end - chunk.first) * each), (next - from) * each);
      next = end;
    }
    return codes;
  }

  /**
   * Chunks that hold steps from `from` up to and without `to`, in order; one in memory at a time.
   * Throws "bad-file" where one is damaged or, of codes, whose steps have no gaps, lost.
   */
  async *chunks(from = 0, to = Number.POSITIVE_INFINITY, track?: string): AsyncGenerator<Chunk> {
    for await (const { chunk, error } of this.parts(from, Math.min(to, this.steps(track)), track)) {
      if (error) throw error;
      yield chunk;
    }
  }

  /**
   * What `chunks` gives, and where that throws, the steps that are lost instead: of codes every one that is missing, of bytes the chunks that are
   * damaged. Behind the last chunk comes what was committed there and is gone. Throws what the source throws.
   */
  async *parts(from = 0, to = Number.POSITIVE_INFINITY, track?: string): AsyncGenerator<Part> {
    const index = trackIndex(this.description, track);
    const { kind, name } = this.description.tracks[index]!;
    let next = from;
    const missing = (end: number | null): Part => {
      const steps = end === null ? null : end - next;
      const message = `${this.source.name}: step ${next} is lost; the file is damaged (kinema info)`;
      const error = new KinemaError("bad-file", message, { track: name, first: next, steps });
      return { first: next, steps, entry: null, chunk: null, error };
    };
    for await (const entry of this.entries(from, to, track)) {
      const { first, steps } = entry;
      if (kind === "codes" && next < first) yield missing(first);
      next = first + steps;
      yield await this.load(entry).then(
        (chunk) => ({ first, steps, entry, chunk, error: null }),
        (error: unknown) => {
          if (!(error instanceof KinemaError && isDamage(error))) throw error;
          return { first, steps, entry, chunk: null, error };
        },
      );
    }
    // A gap in bytes is none in what there is.
    if (kind === "bytes") next = Math.max(next, this.log.ends[index]!);
    const end = this.expected[index] ?? null;
    if (next < Math.min(end ?? Number.POSITIVE_INFINITY, to))
      yield missing(Number.isFinite(to) ? Math.min(end ?? to, to) : end);
  }

  /** The chunk that holds a step, or null. Throws "bad-file" where it is damaged. */
  async chunkAt(step: number, track?: string): Promise<Chunk | null> {
    const entry = await this.find(trackIndex(this.description, track), step);
    return entry && entry.first <= step ? this.load(entry) : null;
  }

  /** Where chunks are, without reading them. */
  async *entries(from = 0, to = Number.POSITIVE_INFINITY, track?: string): AsyncGenerator<Entry> {
    const index = trackIndex(this.description, track);
    let step = from;
    while (step < to) {
      const entry = await this.find(index, step);
      if (!entry || entry.first >= to) return;
      yield entry;
      step = entry.first + entry.steps;
    }
  }

  /** Reads the chunk of an entry with one read. Throws "truncated" or "bad-file" where it is damaged. */
  async load(entry: Entry): Promise<Chunk> {
    const { offset, first, steps, length } = entry;
    const bytes = await this.source.read(offset, HEADER_BYTES + length);
    const header = decodeHeader(bytes, offset);
    if (bytes.byteLength < HEADER_BYTES + length) this.damaged(entry, "truncated", "behind the end of the file");
    if (!header || !this.matches(header, entry)) return this.damaged(entry, "bad-file", "damaged in the header");
    const payload = bytes.subarray(HEADER_BYTES);
    if (crc32c(payload) !== header.payloadCrc) this.damaged(entry, "bad-file", "damaged");
    const codec = (Object.keys(CODEC) as CodecName[]).find((name) => CODEC[name] === header.codec);
    if (!codec) fail("unsupported", `${this.where(entry)} use codec ${header.codec}; update Kinema`);
    const change = { mean: header.meanChange / 65535, max: header.maxChange / 65535 };
    const codes = () => this.decode(entry, payload);
    const words = () =>
      codec === "packed" ? wordsOf(payload) : packChunk(this.codesTrack(this.trackOf(entry).name), codes());
    return { first, steps, codec, offset, payload, change, codes, words };
  }

  /**
   * Reads every chunk of a track and says which steps are lost; the last of them reach to what was committed.
   * @param onChunk is told of every chunk, read whole or not
   */
  async check(track: string, onChunk: (entry: Entry, chunk: Chunk | null) => void = () => {}): Promise<LostSteps[]> {
    const lost: LostSteps[] = [];
    for await (const { first, steps, entry, chunk } of this.parts(0, undefined, track)) {
      if (entry) onChunk(entry, chunk);
      if (!chunk) addLost(lost, { first, steps });
    }
    return lost;
  }

  private trackOf(entry: Entry): Track {
    return this.description.tracks[entry.track]!;
  }

  private matches(header: RecordHeader, entry: Entry): boolean {
    return (
      header.kind === KIND.chunk &&
      header.fileId === this.log.fileId &&
      header.track === entry.track &&
      header.first === entry.first &&
      header.steps === entry.steps &&
      header.codec === entry.codec &&
      header.length === entry.length
    );
  }

  private decode(entry: Entry, payload: Uint8Array): Codes {
    const track = this.codesTrack(this.trackOf(entry).name);
    const codes = decodeChunk(track, entry.codec, payload, entry.steps);
    return codes ?? this.damaged(entry, "bad-file", "not codes of this track");
  }

  private codesTrack(name?: string): CodesTrack {
    const track = this.description.tracks[trackIndex(this.description, name)]!;
    return track.kind === "codes" ? track : fail("bad-input", `track "${track.name}" holds bytes, not codes`);
  }

  /** Falls back to looking for every chunk where an index page is lost. */
  private async find(track: number, step: number): Promise<Entry | null> {
    try {
      return await this.seek(track, step);
    } catch (error) {
      if (!(error instanceof PageLost)) throw error;
      const { scanned } = await openLog(this.source, "scan");
      this.seek = listSeek(scanned ?? [], this.log.ends.length);
      return this.seek(track, step);
    }
  }

  private where({ first, steps, track }: Entry): string {
    const name = this.description.tracks[track]!.name;
    return `${this.source.name}: steps ${first} to ${first + steps - 1} of track "${name}"`;
  }

  private damaged(entry: Entry, code: "bad-file" | "truncated", what: string): never {
    return fail(code, `${this.where(entry)} are ${what}; the others can be read (kinema info lists what is lost)`, {
      track: this.trackOf(entry).name,
      first: entry.first,
      steps: entry.steps,
    });
  }
}

const isDamage = ({ code }: KinemaError): boolean => code === "bad-file" || code === "truncated";

/** Adds lost steps to a list in order; those that follow the last ones without a gap become one with them. */
export function addLost(list: LostSteps[], { first, steps }: LostSteps): void {
  const last = list.at(-1);
  if (last?.steps == null || last.first + last.steps !== first) list.push({ first, steps });
  else list[list.length - 1] = { first: last.first, steps: steps === null ? null : last.steps + steps };
}
