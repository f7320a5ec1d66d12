import { both } from "./core/both.ts";
import { fail } from "./core/fail.ts";
import { type Graph, type TensorSource, wantedTensors } from "./core/graph.ts";
import { type Explanation, explain, sharesOf } from "./explain.ts";
import type { Gpu } from "./gpu/device.ts";
import { type Ranked, softmax, top } from "./labels/top.ts";
import {
  buildModel,
  isLatentModel,
  type LatentHalf,
  type ModelDescription,
  type ModelName,
  standardShift,
} from "./models/index.ts";
import { type PrecisionOptions, withPrecision } from "./precision.ts";
import { createSession, type Session } from "./session.ts";
import { IMAGENET, MINUS_ONE_TO_ONE, type Preprocessing } from "./video/geometry.ts";
import { type Frame, FrameIngest, type IngestOptions, type Orientation } from "./video/ingest.ts";
import { STAM_SECONDS } from "./video/sampling.ts";
import type { Checkpoint } from "./weights/checkpoint.ts";
import { openTensors } from "./weights/load.ts";
import { type Recognised, recognise } from "./weights/recognise.ts";
import { checkLatents, framesPerRun } from "./weights/taesd.ts";
import { checkTransformer } from "./weights/transformer.ts";

/** What the caller may decide; the checkpoint says the rest. */
export interface ModelOptions {
  /** Overrules what the checkpoint's names say. */
  readonly model?: ModelName;
  /**
   * Frames in a clip; the checkpoint's segments, else 8. 1 makes a stream of the online model and of `stam`. Of a latent auto-encoder
   * pictures or latents a run, by default the fewest: a half with memory goes on where the run before ended.
   */
  readonly frames?: number;
  /** Clips in a run, one behind the other: logits [clips, classes]. Of a TSM without non-local blocks. Default 1. */
  readonly clips?: number;
  readonly height?: number;
  readonly width?: number;
  readonly padding?: "symmetric" | "same";
  /** Bytes that the activations of `vit`, `stam` and latent auto-encoders may take: frames run in groups as large as fit. Default 80e6. */
  readonly activationBytes?: number;
  /** `vit` and `stam` also make `blocks.N.shares` and `aggregate.N.shares` of their last layers. Default false. */
  readonly shares?: boolean;
}

const DEFAULT_FRAMES = 8;
const ONLINE_FPS = 15;

/** Joins what the checkpoint says of itself with what the caller asks for. @throws "unsupported" for a file of no model that Kinema has */
export function describeModel(
  checkpoint: Checkpoint,
  options: ModelOptions = {},
): { description: ModelDescription; recognised: Recognised } {
  const recognised = recognise(checkpoint);
  const model = options.model ?? recognised.model;
  if (!model)
    fail(
      "unsupported",
      `${checkpoint.name} holds no model that Kinema knows; name one with --model, or look at it with kinema inspect`,
    );
  checkFamily(checkpoint, recognised, model, options);
  const latents = isLatentModel(model) ? halfOf(checkpoint, recognised, model) : null;
  if (latents) checkLatents(checkpoint.name, latents, options);
  const single = model === "mobilenetv2" || model === "vit" || model === "tsm-mobilenetv2-online";
  const { crop } = preprocessingOf(checkpoint, recognised);
  return {
    recognised,
    description: {
      model,
      frames:
        options.frames ?? (single ? 1 : latents ? framesPerRun(latents) : (recognised.segments ?? DEFAULT_FRAMES)),
      height: options.height ?? crop,
      width: options.width ?? crop,
      classes: recognised.classes,
      shifted: new Set(model === recognised.model ? recognised.shifted : standardShift(model)),
      shiftDivisor: recognised.shiftDivisor,
      padding: options.padding ?? recognised.padding,
      folded: recognised.folded,
      nonLocalBias: recognised.tensors.has("layer2.0.nl.out.bias"),
      transformer: recognised.transformer,
      latents,
      ...(options.clips ? { clips: options.clips } : {}),
      ...(options.activationBytes ? { activationBytes: options.activationBytes } : {}),
      ...(options.shares ? { shares: true } : {}),
    },
  };
}

/** A transformer is built from its checkpoint's shapes, so the file must hold the one that is asked for. */
function checkFamily(checkpoint: Checkpoint, recognised: Recognised, model: ModelName, options: ModelOptions): void {
  const { transformer } = recognised;
  if (model !== "stam" && model !== "vit") return;
  if (model !== recognised.model || !transformer)
    fail(
      "weights-mismatch",
      `${checkpoint.name} holds ${recognised.model ?? "no model that Kinema knows"}, not ${model}; give the model's own file`,
    );
  const { frames, height, width } = options;
  checkTransformer(checkpoint.name, transformer, { frames, height, width });
}

/** The half of a latent auto-encoder that is asked for, which the file must hold. */
function halfOf(checkpoint: Checkpoint, { latents, model: held }: Recognised, model: ModelName): LatentHalf {
  const half = Object.values(latents ?? {}).find((one) => one.model === model);
  const holds = Object.values(latents ?? {}).map((one) => one.model);
  if (!half)
    fail(
      "weights-mismatch",
      `${checkpoint.name} holds ${holds.join(" and ") || (held ?? "no model that Kinema knows")}, not ${model}; give the model's own file`,
    );
  return half;
}

/** What createSession takes of a checkpoint: the graph that it asks for, and its tensors, of which none is read yet. */
export function openModel(
  checkpoint: Checkpoint,
  options: ModelOptions = {},
): { readonly graph: Graph; readonly weights: TensorSource } {
  const { description, recognised } = describeModel(checkpoint, options);
  const graph = buildModel(description);
  const halves = Object.keys(recognised.latents ?? {}).length;
  const extras = recognised.transformer || halves > 1 ? "leave" : "refuse";
  return { graph, weights: openTensors(checkpoint, wantedTensors(graph), recognised.tensors, extras) };
}

/** Recognises a checkpoint, builds its graph, loads the weights and makes a session of it. */
export async function loadSession(
  gpu: Gpu,
  checkpoint: Checkpoint,
  options: ModelOptions & PrecisionOptions = {},
): Promise<Session> {
  const { graph, weights } = openModel(checkpoint, options);
  const { dtype, ...rest } = options;
  return createSession(await withPrecision(gpu, dtype, options.signal), graph, weights, rest);
}

/** Scaling, crop and normalisation: from Kinema's own metadata, else as the model's authors do it. */
export function preprocessingOf(checkpoint: Checkpoint, recognised: Recognised): Preprocessing {
  const text = checkpoint.metadata.preprocess;
  const { transformer } = recognised;
  if (text?.startsWith("{")) {
    const given = JSON.parse(text) as Partial<Preprocessing>;
    return { ...(transformer?.preprocessing ?? IMAGENET), ...given };
  }
  if (transformer) return transformer.preprocessing;
  return recognised.padding === "same" ? MINUS_ONE_TO_ONE : IMAGENET;
}

/**
 * Frames a second that a stream is fed: what Kinema's own metadata say, else what the authors did: a clip of STAM covers ten
 * seconds, the demo of TSM's online model takes 15 frames a second.
 */
export function fpsOf(checkpoint: Checkpoint): number {
  const text = checkpoint.metadata.preprocess;
  const given = text?.startsWith("{") ? (JSON.parse(text) as { fps?: unknown }).fps : undefined;
  if (typeof given === "number" && given > 0) return given;
  const clip = recognise(checkpoint).transformer?.frames;
  return clip ? clip / STAM_SECONDS : ONLINE_FPS;
}

/** Class names in the checkpoint's metadata, in order. */
export function labelsOf(checkpoint: Checkpoint): readonly string[] | null {
  const text = checkpoint.metadata.classes;
  if (!text?.startsWith("[")) return null;
  const list: unknown = JSON.parse(text);
  return Array.isArray(list) && list.every((label) => typeof label === "string") ? list : null;
}

/** The frame size is the checkpoint's crop, for the ingest makes no other. */
export interface ClassifierOptions
  extends Omit<ModelOptions, "clips" | "height" | "width">,
    PrecisionOptions,
    Pick<IngestOptions, "form"> {
  /** One name a class; the checkpoint's own when absent. */
  readonly labels?: readonly string[] | null;
}

/** From frames to labels: a session, the ingest in front of it and the labels behind it. */
export class Classifier {
  readonly session: Session;
  readonly ingest: FrameIngest;
  readonly labels: readonly string[] | null;
  readonly frames: number;

  private constructor(session: Session, ingest: FrameIngest, labels: readonly string[] | null) {
    this.session = session;
    this.ingest = ingest;
    this.labels = labels;
    this.frames = session.plan.graph.inputs[this.#input]!.spec.shape[0]!;
  }

  /**
   * @throws "unsupported" for a checkpoint without a classifier, and what describeModel, openTensors and createSession
   *   throw, before any frame is seen
   */
  static async create(gpu: Gpu, checkpoint: Checkpoint, options: ClassifierOptions = {}): Promise<Classifier> {
    const { recognised } = describeModel(checkpoint, options);
    if (recognised.classes === null)
      fail(
        "unsupported",
        `${checkpoint.name} has no classifier, only features; use kinema run, or loadSession in code`,
      );
    const preprocessing = preprocessingOf(checkpoint, recognised);
    const labels = options.labels ?? labelsOf(checkpoint);
    if (labels && labels.length !== recognised.classes)
      fail(
        "usage",
        `${labels.length} labels for the ${recognised.classes} classes of ${checkpoint.name}; give one a class, in order`,
      );
    const [session, ingest] = await both(
      loadSession(gpu, checkpoint, options),
      FrameIngest.create(gpu, { ...options, preprocessing }),
    );
    return new Classifier(session, ingest, labels);
  }

  get #input(): string {
    return Object.keys(this.session.plan.graph.inputs)[0]!;
  }

  /** Writes a frame into place `slot` of the clip; call {@link classify} when all are there and nothing else ran between. */
  put(frame: Frame, slot: number, orientation?: Orientation): void {
    const { device } = this.session.gpu;
    const encoder = device.createCommandEncoder();
    this.ingest.encode(encoder, frame, this.session.range(this.#input), slot, orientation);
    device.queue.submit([encoder.finish()]);
  }

  /** Logits of the clip that was put: [classes], or [frames, classes] for per-frame models. */
  async classify(): Promise<Float32Array<ArrayBuffer>> {
    return this.#logits(await this.session.run({ [this.#input]: () => {} }));
  }

  /** As {@link classify}, and what the class tokens looked at. The classifier is made with the option `shares`. */
  async explain(): Promise<Explanation> {
    const shares = sharesOf(this.session.plan.graph);
    return explain(
      shares,
      await this.session.run({ [this.#input]: () => {} }, { tap: shares.map(({ name }) => name) }),
    );
  }

  /** One frame in, its logits out, in one submit; the stream's state advances. */
  async push(frame: Frame, orientation?: Orientation): Promise<Float32Array<ArrayBuffer>> {
    return this.#logits(
      await this.session.run({
        [this.#input]: (encoder, target) => this.ingest.encode(encoder, frame, target, 0, orientation),
      }),
    );
  }

  /** The `count` most probable classes of a row of logits. */
  rank(logits: ArrayLike<number>, count = 5): Ranked[] {
    return top(softmax(logits), this.labels, count);
  }

  dispose(): void {
    this.ingest.dispose();
    this.session.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #logits(outputs: Record<string, Float32Array<ArrayBuffer>>): Float32Array<ArrayBuffer> {
    return outputs.logits!; // create() refuses a checkpoint without a classifier
  }
}
