import { labelsOf } from "./classifier.ts";
import { runCodes } from "./compressor.ts";
import { fail } from "./core/fail.ts";
import { type Graph, type TensorSource, wantedTensors } from "./core/graph.ts";
import { elements } from "./core/tensor.ts";
import { Turns } from "./core/turns.ts";
import type { Gpu } from "./gpu/device.ts";
import { buildMotionCodes, codesPerSite, type MotionCodesGraph, memoryOf } from "./models/motion_codes.ts";
import { createSession, type Session, type SessionOptions } from "./session.ts";
import type { Codes, CodesTrack } from "./store/index.ts";
import type { Checkpoint } from "./weights/checkpoint.ts";
import { openOwnTensors } from "./weights/load.ts";
import { MOTION_CODES, recogniseMotionCodes } from "./weights/motion_codes.ts";
import type { MotionCodesShape } from "./weights/types.ts";

/** Steps a run of a stream that sees the past through windows: four seconds of video, and of 256 x 256 enough for large tiles. */
const STEPS = 24;

/** Frames a second of the motion task. */
const TRAINED_FPS = 15;

/** The network of a file. @throws "bad-file" for one whose parts do not fit each other, "unsupported" for any other file */
export function motionCodesOf(checkpoint: Checkpoint): MotionCodesShape {
  const shape = recogniseMotionCodes(checkpoint);
  if (shape) return shape;
  if (checkpoint.metadata.model === MOTION_CODES)
    fail(
      "bad-file",
      `${checkpoint.name} calls itself a network on codes, and its parts do not fit each other; export it again`,
    );
  return fail(
    "unsupported",
    `${checkpoint.name} holds no network that reads codes; give weights/kinema-motion-codes-*.safetensors`,
  );
}

/** What standardises features before they are averaged. */
const STANDARD = ["embedding.mean", "embedding.scale"] as const;

/** A network on codes as createSession takes it. @throws "weights-mismatch" for a file that holds other tensors than the network has */
export function openMotionCodes(
  checkpoint: Checkpoint,
  d: Omit<MotionCodesGraph, "shape">,
  shape = motionCodesOf(checkpoint),
): { readonly graph: Graph; readonly weights: TensorSource; readonly standard: TensorSource } {
  const graph = buildMotionCodes({ shape, ...d });
  const wanted = wantedTensors(graph);
  const count = shape.widths.at(-2)! + shape.widths.at(-1)!;
  const all = new Map([...wanted, ...STANDARD.map((name) => [name, [count]] as const)]);
  const standard = openOwnTensors(checkpoint, all);
  return { graph, weights: openOwnTensors(checkpoint, wanted, "leave"), standard };
}

/** @throws "weights-mismatch" when a network was trained on the codes of another quantiser than a track's */
export function checkQuantiser(checkpoint: Checkpoint, track: CodesTrack, file: string): void {
  const { quantiser = "", compressor } = checkpoint.metadata;
  if (track.quantiser !== quantiser)
    fail(
      "weights-mismatch",
      `${file} was written by ${track.model} with the quantiser ${track.quantiser.slice(0, 12)}, ${checkpoint.name} reads the codes of ${compressor ?? "another"} with ${quantiser.slice(0, 12) || "none"}; give the weights that belong to it`,
    );
}

/** What standardises features before they are averaged: numbers for `appearance`, then for `motion`. */
export interface Standard {
  readonly mean: Float32Array;
  readonly scale: Float32Array;
  /** How many of the numbers are `appearance`. */
  readonly split: number;
}

/** An embedding of what steps have in common: standardised, averaged, each of the two parts of length 1 / sqrt 2, so that a dot product is a cosine. */
export function embeddingOf(
  features: readonly Float32Array[],
  { mean, scale, split }: Standard,
): Float32Array<ArrayBuffer> {
  const sums = new Float64Array(mean.length);
  for (const step of features) for (let i = 0; i < sums.length; i++) sums[i]! += (step[i]! - mean[i]!) * scale[i]!;
  const embedding = new Float32Array(sums.length);
  for (const [from, to] of [
    [0, split],
    [split, sums.length],
  ] as const) {
    const part = sums.subarray(from, to).map((sum) => sum / features.length);
    const length = Math.max(Math.hypot(...part), 1e-6) * Math.SQRT2;
    embedding.set(
      part.map((value) => value / length),
      from,
    );
  }
  return embedding;
}

/** What a step of a stream of codes is. */
export interface CodesStep {
  /** [classes] */
  readonly logits: Float32Array;
  /** Means over space, `appearance` and then `motion`. */
  readonly features: Float32Array;
  /** Share of its codes that are not those of the step before, 0 to 1. */
  readonly changed: number;
  /** Nothing was computed: this step, and as many before as it hears from, are the same picture. */
  readonly skipped: boolean;
}

export interface CodesClassifierOptions extends SessionOptions {
  /** Steps a run: results come so many at a time. Default 24; 1 for a temporal shift, which knows no other. */
  readonly steps?: number;
}

/** From stored codes to labels: a session of a network on codes, as a stream, and the labels behind it. No pixel is decoded. */
export class CodesClassifier {
  readonly session: Session;
  readonly shape: MotionCodesShape;
  readonly labels: readonly string[] | null;
  readonly standard: Standard;
  /** What the weights call themselves: model and backbone. */
  readonly name: string;
  /** Of the track, in a step of the network. */
  readonly stepsOfTrack: 1 | 2;
  /** Frames a second that the network was trained on. */
  readonly fps: number;
  readonly #feed: Float32Array<ArrayBuffer>;
  readonly #turns = new Turns();
  /** `changed` of the steps that wait for their run. */
  #waiting: number[] = [];
  #before: Codes | null = null;
  /** Steps in a row that were as the one before. */
  #still = 0;
  #last: CodesStep | null = null;

  private constructor(session: Session, checkpoint: Checkpoint, shape: MotionCodesShape, standard: Standard) {
    this.session = session;
    this.shape = shape;
    this.standard = standard;
    this.labels = labelsOf(checkpoint);
    this.name = `${MOTION_CODES}-${checkpoint.metadata.rate ?? "unnamed"} (${shape.backbone})`;
    this.stepsOfTrack = codesPerSite(shape);
    const fps = Number(checkpoint.metadata.fps);
    this.fps = fps > 0 ? fps : TRAINED_FPS;
    this.#feed = new Float32Array(elements(session.plan.graph.inputs.codes!.spec));
  }

  /**
   * `file` is what messages call the store that `track` is of.
   * @throws "unsupported", "bad-file", "weights-mismatch" as motionCodesOf, checkQuantiser and openTensors do
   */
  static async create(
    gpu: Gpu,
    checkpoint: Checkpoint,
    track: CodesTrack,
    file: string,
    options: CodesClassifierOptions = {},
  ): Promise<CodesClassifier> {
    const shape = motionCodesOf(checkpoint);
    checkQuantiser(checkpoint, track, file);
    const [rows, columns] = track.grid;
    const steps = options.steps ?? (shape.backbone === "tsm" ? 1 : STEPS);
    const network = openMotionCodes(checkpoint, { steps, rows, columns, stream: true }, shape);
    const [mean, scale] = [await network.standard.get(STANDARD[0]), await network.standard.get(STANDARD[1])];
    const standard = { mean: mean!, scale: scale!, split: shape.widths.at(-2)! };
    const session = await createSession(gpu, network.graph, network.weights, options);
    return new CodesClassifier(session, checkpoint, shape, standard);
  }

  /**
   * The next step of the stream, [stepsOfTrack, codebooks, rows, columns], which is copied; the steps that are done by now, in order. A step whose codes
   * are those of so many steps before that its result must be the last one's is not computed. Calls take effect in order, awaited or not.
   * @throws "bad-input" for another number of codes
   */
  push(codes: Codes): Promise<CodesStep[]> {
    const copy = codes.slice();
    return this.#turns.take(() => this.#push(copy));
  }

  /** The steps that wait for a run to fill; the next step is the first of another stream. */
  flush(): Promise<CodesStep[]> {
    return this.#turns.take(async () => {
      const rest = this.#waiting.length > 0 ? await this.#run() : [];
      this.#forget();
      return rest;
    });
  }

  /** Forgets the stream, and the steps that wait: the next step is the first of another. */
  reset(): void {
    this.#turns.take(async () => this.#forget()).catch(() => {}); // a closed session has nothing to forget
  }

  async #push(codes: Codes): Promise<CodesStep[]> {
    const [all, rows, columns, books] = this.session.plan.graph.inputs.codes!.spec.shape as [
      number,
      number,
      number,
      number,
    ];
    const size = this.stepsOfTrack * rows * columns * books;
    if (codes.length !== size) fail("bad-input", `a step of ${this.name} is ${size} codes, got ${codes.length}`);
    const changed = this.#compare(codes);
    // While a run is being filled a place in it costs nothing.
    if (this.#waiting.length === 0 && this.#last && this.#still > memoryOf(this.shape)) {
      this.#last = { ...this.#last, changed, skipped: true };
      return [this.#last];
    }
    this.#feed.set(runCodes(codes, books, rows * columns), this.#waiting.length * size);
    this.#waiting.push(changed);
    return this.#waiting.length * this.stepsOfTrack === all ? this.#run() : [];
  }

  #forget(): void {
    this.#waiting = [];
    [this.#before, this.#last, this.#still] = [null, null, 0];
    this.session.reset();
  }

  #compare(codes: Codes): number {
    const before = this.#before;
    let unlike = 0;
    if (before) for (let i = 0; i < codes.length; i++) if (codes[i] !== before[i]) unlike++;
    this.#still = before && unlike === 0 ? this.#still + 1 : 0;
    this.#before = codes;
    return unlike / codes.length;
  }

  async #run(): Promise<CodesStep[]> {
    const waiting = this.#waiting;
    this.#waiting = [];
    const { logits, appearance, motion } = await this.session.run({ codes: this.#feed });
    const { classes, widths } = this.shape;
    const [width, wide] = [widths.at(-2)!, widths.at(-1)!];
    const steps = waiting.map((changed, i): CodesStep => {
      const features = new Float32Array(width + wide);
      features.set(appearance!.subarray(i * width, (i + 1) * width));
      features.set(motion!.subarray(i * wide, (i + 1) * wide), width);
      return { logits: logits!.slice(i * classes, (i + 1) * classes), features, changed, skipped: false };
    });
    this.#last = steps.at(-1)!;
    return steps;
  }

  dispose(): void {
    this.session.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
