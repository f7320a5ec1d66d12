import { both } from "./core/both.ts";
import { fail } from "./core/fail.ts";
import { type Graph, type TensorSource, wantedTensors } from "./core/graph.ts";
import { joined } from "./core/join.ts";
import { elements } from "./core/tensor.ts";
import type { Gpu } from "./gpu/device.ts";
import { buildCompressorDecoder, buildCompressorEncoder } from "./models/compressor.ts";
import { createSession, type Session, type SessionOptions } from "./session.ts";
import type { Codes, CodesTrack, StoreDescription } from "./store/index.ts";
import { type Frame, FrameIngest, type Orientation } from "./video/ingest.ts";
import type { Checkpoint } from "./weights/checkpoint.ts";
import { COMPRESSOR, codebookCount, codebookSize, pixelsPerCode, recogniseCompressor } from "./weights/compressor.ts";
import { openOwnTensors } from "./weights/load.ts";
import type { CompressorShape } from "./weights/types.ts";

/** Side of the square frames that are compressed unless told otherwise, in pixels. */
export const COMPRESSOR_SIZE = 256;

/** Codes of a video and of what they were made: the track's name in a store. */
export const CODES_TRACK = "codes";

/** The network of a compressor's file. @throws "bad-file" for one whose layers do not fit each other, "unsupported" for any other file */
export function compressorOf(checkpoint: Checkpoint): CompressorShape {
  const shape = recogniseCompressor(checkpoint);
  if (shape) return shape;
  if (checkpoint.metadata.model === COMPRESSOR)
    fail(
      "bad-file",
      `${checkpoint.name} calls itself a compressor, and its layers do not fit each other; export it again`,
    );
  return fail(
    "unsupported",
    `${checkpoint.name} holds no compressor of Kinema's; give weights/kinema-compressor-*.safetensors`,
  );
}

/** Frames a run and their size. */
export interface CompressorSize {
  readonly frames: number;
  readonly height: number;
  readonly width: number;
}

/** One half of a compressor as createSession takes it. */
export function openCompressor(
  checkpoint: Checkpoint,
  half: "encoder" | "decoder",
  size: CompressorSize,
  shape = compressorOf(checkpoint),
): { readonly graph: Graph; readonly weights: TensorSource } {
  const d = { shape, ...size };
  const graph = half === "encoder" ? buildCompressorEncoder(d) : buildCompressorDecoder(d);
  return { graph, weights: openOwnTensors(checkpoint, wantedTensors(graph), "leave") };
}

/**
 * Whose codes they are: SHA-256, 64 hex digits, over names, shapes and bytes of the codebook and of every decoder weight. Codes decode with
 * no other file than one of the same hash.
 */
export async function quantiserHash(checkpoint: Checkpoint): Promise<string> {
  const { quantiser } = compressorOf(checkpoint);
  const parts: Uint8Array[] = [new TextEncoder().encode(JSON.stringify(quantiser))];
  for (const [name, { dtype, shape }] of [...checkpoint.tensors].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!/^(quantiser|project_out|decoder)\./.test(name)) continue;
    parts.push(new TextEncoder().encode(`${name} ${dtype} [${shape}]`), await checkpoint.read(name));
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", joined(Uint8Array, parts)));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What a store says of a video's codes. `fps` is the video's. */
export async function storeDescription(
  checkpoint: Checkpoint,
  video: { readonly size: number; readonly fps: number; readonly source?: string },
): Promise<StoreDescription> {
  const shape = compressorOf(checkpoint);
  const { quantiser: q, time } = shape;
  const side = pixelsPerCode(shape);
  const size = codebookSize(q);
  const book =
    q.kind === "fsq"
      ? { kind: q.kind, size, levels: q.levels, dim: q.levels.length }
      : { kind: q.kind, size, dim: q.dim };
  const track: CodesTrack = {
    name: CODES_TRACK,
    kind: "codes",
    model: `kinema-compressor-${checkpoint.metadata.rate ?? "unnamed"}`,
    quantiser: await quantiserHash(checkpoint),
    stride: [time, side, side],
    grid: [video.size / side, video.size / side],
    codebooks: Array.from({ length: codebookCount(q) }, () => book),
  };
  const source = video.source === undefined ? {} : { source: video.source };
  return { width: video.size, height: video.size, fps: rational(video.fps), ...source, tracks: [track] };
}

/** The codes track of a store. @throws "unsupported" when it has none */
export function codesTrackOf(description: StoreDescription, file: string): CodesTrack {
  const track = description.tracks.find((one) => one.kind === "codes");
  return track ?? fail("unsupported", `${file} has no track of codes; there is nothing to decode`);
}

/** The codes track of a store, which these weights decode. @throws "weights-mismatch" when it is of other weights */
export async function trackOfWeights(
  description: StoreDescription,
  checkpoint: Checkpoint,
  file: string,
): Promise<CodesTrack> {
  const track = codesTrackOf(description, file);
  const hash = await quantiserHash(checkpoint);
  if (track.quantiser !== hash)
    fail(
      "weights-mismatch",
      `${file} was written by ${track.model} with the quantiser ${track.quantiser.slice(0, 12)}, ${checkpoint.name} has ${hash.slice(0, 12)}; give the weights that it was written with`,
    );
  return track;
}

/** Which of the compressors that ship wrote a track: the rate in its file's name; null for a compressor of another name. */
export const rateOf = ({ model }: CodesTrack): string | null => /^kinema-compressor-(\w+)$/.exec(model)?.[1] ?? null;

/** A frame rate as a fraction: 29.97 is 30000/1001; a rate that is near neither a whole number nor such a one, in thousandths. */
export function rational(fps: number): [numerator: number, denominator: number] {
  if (!(fps > 0)) return [1, 1];
  const whole = Math.round(fps);
  if (
    whole > 0 &&
    Math.abs(fps - whole) < 1e-3 * whole &&
    Math.abs(fps - (whole * 1000) / 1001) > Math.abs(fps - whole)
  )
    return [whole, 1];
  if (whole > 0 && Math.abs(fps - (whole * 1000) / 1001) < 3e-4 * whole) return [whole * 1000, 1001];
  return [Math.max(1, Math.round(fps * 1000)), 1000];
}

/** Numbers [steps, rows, columns, codebooks] of a run -> [steps, codebooks, rows, columns], as a store keeps them. */
export function storeCodes(codes: Float32Array, books: number, sites: number, bits: number): Codes {
  const out =
    bits <= 8
      ? new Uint8Array(codes.length)
      : bits <= 16
        ? new Uint16Array(codes.length)
        : new Uint32Array(codes.length);
  for (let i = 0; i < codes.length; i++) {
    const [site, book] = [Math.floor(i / books), i % books];
    out[(Math.floor(site / sites) * books + book) * sites + (site % sites)] = codes[i]!;
  }
  return out;
}

/** The inverse of {@link storeCodes}. */
export function runCodes(codes: Codes, books: number, sites: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(codes.length);
  for (let i = 0; i < out.length; i++) {
    const [site, book] = [Math.floor(i / books), i % books];
    out[i] = codes[(Math.floor(site / sites) * books + book) * sites + (site % sites)]!;
  }
  return out;
}

/** Frames to codes: a session of the encoder with the ingest in front of it. */
export class FrameEncoder {
  readonly session: Session;
  readonly ingest: FrameIngest;
  readonly shape: CompressorShape;
  /** Frames a run, filled or not. */
  readonly frames: number;
  #filled = 0;

  private constructor(session: Session, ingest: FrameIngest, shape: CompressorShape, frames: number) {
    this.session = session;
    this.ingest = ingest;
    this.shape = shape;
    this.frames = frames;
  }

  /** `frames` and `size`: frames a run and the side of their centre square, which the ingest scales and cuts. */
  static async create(
    gpu: Gpu,
    checkpoint: Checkpoint,
    { frames, size, ...options }: SessionOptions & { readonly frames: number; readonly size: number },
  ): Promise<FrameEncoder> {
    const shape = compressorOf(checkpoint);
    const { graph, weights } = openCompressor(checkpoint, "encoder", { frames, height: size, width: size }, shape);
    const preprocessing = { resize: size, crop: size, mean: [0, 0, 0], std: [1, 1, 1] } as const;
    const [session, ingest] = await both(
      createSession(gpu, graph, weights, options),
      FrameIngest.create(gpu, { form: "reference", preprocessing }),
    );
    return new FrameEncoder(session, ingest, shape, frames);
  }

  /** Takes the next frame; codes once a run is full, as a store keeps them: [steps, codebooks, rows, columns]. */
  async push(frame: Frame, orientation?: Orientation): Promise<Codes | null> {
    this.#put(frame, this.#filled, orientation);
    this.#filled++; // behind what may throw: a frame that was refused has no place
    return this.#filled < this.frames ? null : this.#run(this.frames / this.shape.time);
  }

  /** Codes of the frames that do not fill a run; where a code covers two frames and one is there, it stands for both. */
  async flush(last: Frame, orientation?: Orientation): Promise<Codes | null> {
    if (this.#filled === 0) return null;
    const steps = Math.ceil(this.#filled / this.shape.time);
    for (let slot = this.#filled; slot < this.frames; slot++) this.#put(last, slot, orientation);
    return this.#run(steps);
  }

  #put(frame: Frame, slot: number, orientation?: Orientation): void {
    const { device } = this.session.gpu;
    const encoder = device.createCommandEncoder();
    this.ingest.encode(encoder, frame, this.session.range("image"), slot, orientation);
    device.queue.submit([encoder.finish()]);
  }

  async #run(steps: number): Promise<Codes> {
    this.#filled = 0;
    const { codes } = await this.session.run({ image: () => {} });
    const { spec } = this.session.plan.graph.outputs.codes!;
    const [, rows, columns, books] = spec.shape as [number, number, number, number];
    const sites = rows * columns;
    const bits = Math.ceil(Math.log2(codebookSize(this.shape.quantiser)));
    return storeCodes(codes!.subarray(0, steps * sites * books), books, sites, bits);
  }

  dispose(): void {
    this.ingest.dispose();
    this.session.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Codes to frames: a session of the decoder. */
export class FrameDecoder {
  readonly session: Session;
  readonly shape: CompressorShape;
  readonly #steps: number;

  private constructor(session: Session, shape: CompressorShape, steps: number) {
    this.session = session;
    this.shape = shape;
    this.#steps = steps;
  }

  /** `steps`: code steps a run; height and width are the frames'. */
  static async create(
    gpu: Gpu,
    checkpoint: Checkpoint,
    {
      steps,
      height,
      width,
      ...options
    }: SessionOptions & { readonly steps: number; readonly height: number; readonly width: number },
  ): Promise<FrameDecoder> {
    const shape = compressorOf(checkpoint);
    const frames = steps * shape.time;
    const { graph, weights } = openCompressor(checkpoint, "decoder", { frames, height, width }, shape);
    return new FrameDecoder(await createSession(gpu, graph, weights, options), shape, steps);
  }

  /** Frames of a store's codes [steps, codebooks, rows, columns], any number of steps, run by run: RGBA bytes, rows from the top. */
  async *frames(codes: Codes): AsyncGenerator<Uint8ClampedArray<ArrayBuffer>, void, undefined> {
    const { inputs, outputs } = this.session.plan.graph;
    const [, rows, columns, books] = inputs.codes!.spec.shape as [number, number, number, number];
    const step = rows * columns * books;
    const pixels = elements(outputs.image!.spec) / this.#steps / this.shape.time / 3;
    for (let from = 0; from < codes.length; from += this.#steps * step) {
      const part = codes.subarray(from, Math.min(codes.length, from + this.#steps * step));
      const feed = new Float32Array(this.#steps * step);
      feed.set(runCodes(part, books, rows * columns));
      const image = (await this.session.run({ codes: feed })).image!;
      const frames = (part.length / step) * this.shape.time;
      for (let i = 0; i < frames; i++) yield rgba(image.subarray(i * pixels * 3, (i + 1) * pixels * 3));
    }
  }

  dispose(): void {
    this.session.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Numbers from 0 to 1, [pixels, 3] -> bytes, [pixels, 4]; what lies beyond is cut. */
function rgba(image: Float32Array): Uint8ClampedArray<ArrayBuffer> {
  const out = new Uint8ClampedArray((image.length / 3) * 4).fill(255);
  for (let i = 0; i < image.length / 3; i++) for (let c = 0; c < 3; c++) out[4 * i + c] = 255 * image[3 * i + c]!;
  return out;
}
