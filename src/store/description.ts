/** What a store says about itself, once: the video, and per track what its numbers mean. */
import { fail } from "../core/fail.ts";
import { HEADER_BYTES } from "./layout.ts";

/** One codebook of a tokenizer. */
export interface Codebook {
  /** "vq": a table of vectors; "fsq": a product of levels (finite scalar quantisation). */
  readonly kind: "vq" | "fsq";
  /** Codes are 0 .. size - 1; from 2 to 2^18. */
  readonly size: number;
  /** Of "fsq": levels of each channel, product = size; the first varies fastest in a code. */
  readonly levels?: readonly number[];
  /** Numbers a code stands for. */
  readonly dim: number;
}

/** A track of codes: what a tokenizer makes of video. Its steps are `stride[0]` frames long and follow without a gap. */
export interface CodesTrack {
  readonly kind: "codes";
  readonly name: string;
  /** The tokenizer's name. */
  readonly model: string;
  /** SHA-256, 64 hex digits, over codebook bytes and decoder weights: whose codes these are. */
  readonly quantiser: string;
  /** Frames, rows and columns of the video per code. */
  readonly stride: readonly [t: number, h: number, w: number];
  /** Codes per step and codebook: rows, columns. */
  readonly grid: readonly [h: number, w: number];
  readonly codebooks: readonly Codebook[];
  /** Steps per chunk; one second when absent. */
  readonly chunk?: number;
  /** Steps that a causal decoder needs before the one that is looked at; 0 when absent. */
  readonly warmUp?: number;
}

/** A track of bytes that the store only keeps: thumbnails, embeddings, labels. */
export interface BytesTrack {
  readonly kind: "bytes";
  readonly name: string;
  /** What a chunk's bytes are: a media type ("image/webp", "application/json") or a type and shape ("f16[256]"). */
  readonly format: string;
  /** Frames per step; 1 when absent. */
  readonly every?: number;
}

export type Track = CodesTrack | BytesTrack;

export interface StoreDescription {
  /** Size of the video's frames in pixels. */
  readonly width: number;
  readonly height: number;
  /** Frames per second as numerator and denominator: [30000, 1001]. */
  readonly fps: readonly [numerator: number, denominator: number];
  /** Where the video came from, for people. */
  readonly source?: string;
  /**
   * Which file's frames the store has, from its first one on: 64 hex digits that its writer makes of the file. null: no file's, as where the video was changed
   * or begins later. Absent where nobody said.
   */
  readonly sourceHash?: string | null;
  /** 1 to 16, names unique. */
  readonly tracks: readonly Track[];
}

/** Codes of whole steps, [steps, codebooks, rows, columns]: u8 where all codebooks fit 8 bits, u16 to 16 bits, else u32. */
export type Codes = Uint8Array | Uint16Array | Uint32Array;

export const MAX_TRACKS = 16;
const MAX_CODE_BITS = 18;
/** So that a damaged or hostile file cannot ask for endless memory. */
export const MAX_CODES_PER_CHUNK = 1 << 24;

/** Bits of a code in packed form. */
export const bitsOf = (codebook: Codebook): number => 32 - Math.clz32(codebook.size - 1);

/** Codes of one step and one codebook. */
export const sitesOf = (track: CodesTrack): number => track.grid[0] * track.grid[1];

/** Codes of one step. */
export const codesPerStep = (track: CodesTrack): number => sitesOf(track) * track.codebooks.length;

/** Bits of one step in packed form. */
export const bitsPerStep = (track: CodesTrack): number =>
  sitesOf(track) * track.codebooks.reduce((sum, codebook) => sum + bitsOf(codebook), 0);

/** Bytes of RGB for a byte of packed codes. */
export const packedRate = ({ width, height }: Pick<StoreDescription, "width" | "height">, track: CodesTrack): number =>
  (24 * width * height * track.stride[0]) / bitsPerStep(track);

/** An array for `count` codes of a track. */
export function codesArray(track: CodesTrack, count: number): Codes {
  const bits = Math.max(...track.codebooks.map(bitsOf));
  if (bits <= 8) return new Uint8Array(count);
  return bits <= 16 ? new Uint16Array(count) : new Uint32Array(count);
}

/** Frames of the video per step of a track. */
export const framesPerStep = (track: Track): number => (track.kind === "codes" ? track.stride[0] : (track.every ?? 1));

/** Seconds that so many frames of the video take. */
export const secondsOf = ({ fps }: Pick<StoreDescription, "fps">, frames: number): number => (frames * fps[1]) / fps[0];

/** Steps per second of a track. */
export const stepRate = ({ fps }: StoreDescription, track: Track): number => fps[0] / fps[1] / framesPerStep(track);

/** Steps in a full chunk of a codes track. */
export const chunkSteps = (description: StoreDescription, track: CodesTrack): number =>
  track.chunk ?? Math.max(1, Math.round(stepRate(description, track)));

/** Bytes of a description in a file: JSON, and spaces that make the record end with a page of 4096 bytes. */
export function encodeDescription(description: StoreDescription): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(description));
  const bytes = new Uint8Array(Math.ceil((json.byteLength + HEADER_BYTES) / 4096) * 4096 - HEADER_BYTES).fill(0x20);
  bytes.set(json);
  return bytes;
}

/** Reads what encodeDescription wrote. Throws "bad-file". */
export function decodeDescription(bytes: Uint8Array, file: string): StoreDescription {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    return fail("bad-file", `${file}: the description is not JSON; the file was not written by Kinema`, {}, cause);
  }
  const wrong = problem(value);
  if (wrong) fail("bad-file", `${file}: the description does not do: ${wrong}`);
  return value as StoreDescription;
}

/** Throws "bad-input" for a description that no store can have. */
export function checkDescription(description: StoreDescription): void {
  const wrong = problem(description);
  if (wrong) fail("bad-input", `a store cannot have this description: ${wrong}`);
}

/** What is wrong with a description, in words, or null. */
function problem(value: unknown): string | null {
  if (!isRecord(value)) return "it is not an object";
  const { width, height, fps, source, sourceHash, tracks } = value;
  if (!isCount(width, 1 << 16) || !isCount(height, 1 << 16)) return "width and height must be whole numbers from 1";
  if (!isCounts(fps, 2, 1e9)) return "fps must be two whole numbers, [25, 1]";
  if (source !== undefined && typeof source !== "string") return "source must be a text";
  if (sourceHash !== undefined && sourceHash !== null && !isHash(sourceHash)) return "sourceHash must be 64 hex digits";
  if (!Array.isArray(tracks) || tracks.length < 1 || tracks.length > MAX_TRACKS) {
    return `tracks must list 1 to ${MAX_TRACKS} tracks`;
  }
  const names = new Set<unknown>();
  for (const track of tracks) {
    const wrong = trackProblem(track);
    if (wrong) return `track ${isRecord(track) ? JSON.stringify(track.name) : "?"}: ${wrong}`;
    if (track.kind === "codes" && chunkSteps(value as never, track) * codesPerStep(track) > MAX_CODES_PER_CHUNK) {
      return `track ${JSON.stringify(track.name)}: a chunk has more than 2^24 codes; set a smaller chunk`;
    }
    if (names.has(track.name)) return `two tracks are called ${JSON.stringify(track.name)}`;
    names.add(track.name);
  }
  return null;
}

function trackProblem(track: unknown): string | null {
  if (!isRecord(track)) return "it is not an object";
  const { name, kind, every, format } = track;
  if (typeof name !== "string" || !/^[\w.-]{1,64}$/.test(name)) return "a name has 1 to 64 letters, digits, . _ or -";
  if (kind === "codes") return codesProblem(track);
  if (kind !== "bytes") return 'kind must be "codes" or "bytes"';
  if (typeof format !== "string") return "format must be a text";
  return every === undefined || isCount(every, 1e9) ? null : "every must be a whole number from 1";
}

function codesProblem(track: Readonly<Record<string, unknown>>): string | null {
  const { model, quantiser, stride, grid, codebooks, chunk, warmUp } = track;
  if (typeof model !== "string") return "model must be a text";
  if (!isHash(quantiser)) return "quantiser must be 64 hex digits";
  if (!isCounts(stride, 3, 1 << 16)) return "stride must be three whole numbers, [1, 8, 8]";
  if (!isCounts(grid, 2, 1 << 16)) return "grid must be two whole numbers, [32, 32]";
  if (!Array.isArray(codebooks) || codebooks.length < 1) return "codebooks must list one or more";
  for (const codebook of codebooks) {
    const wrong = codebookProblem(codebook);
    if (wrong) return wrong;
  }
  if (chunk !== undefined && !isCount(chunk, 1 << 16)) return "chunk must be a whole number from 1 to 65536";
  return warmUp === undefined || warmUp === 0 || isCount(warmUp, 1 << 16) ? null : "warmUp must be a whole number";
}

function codebookProblem(codebook: unknown): string | null {
  if (!isRecord(codebook)) return "a codebook is not an object";
  const { kind, size, levels, dim } = codebook;
  if (!isCount(size, 2 ** MAX_CODE_BITS) || size < 2) return "a codebook's size must be 2 to 2^18";
  if (!isCount(dim, 1 << 20)) return "a codebook's dim must be a whole number from 1";
  if (kind === "vq") return levels === undefined ? null : "a vq codebook has no levels";
  if (kind !== "fsq") return 'a codebook is "vq" or "fsq"';
  const product = isCounts(levels, undefined, size) ? levels.reduce((all, level) => all * level, 1) : 0;
  return product === size && !(levels as number[]).includes(1)
    ? null
    : "an fsq codebook's levels must multiply to its size";
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isHash = (value: unknown): value is string => typeof value === "string" && /^[0-9a-f]{64}$/.test(value);

const isCount = (value: unknown, most: number): value is number =>
  Number.isInteger(value) && (value as number) >= 1 && (value as number) <= most;

const isCounts = (value: unknown, length: number | undefined, most: number): value is readonly number[] =>
  Array.isArray(value) && value.length === (length ?? value.length) && value.every((item) => isCount(item, most));
