import { describeModel, type ModelOptions, openModel } from "./classifier.ts";
import { fail } from "./core/fail.ts";
import type { Value } from "./core/graph.ts";
import { joined } from "./core/join.ts";
import type { Caps } from "./core/op.ts";
import { plan } from "./core/plan.ts";
import { channels, elements, extent, shapeText, toChannelsFirst, toChannelsLast } from "./core/tensor.ts";
import type { Gpu } from "./gpu/device.ts";
import {
  ACTIVATION_BYTES,
  buildModel,
  isLatentModel,
  type ModelDescription,
  type ModelName,
  pictureOf,
} from "./models/index.ts";
import { type PrecisionOptions, withPrecision } from "./precision.ts";
import { createSession, type Session } from "./session.ts";
import type { Checkpoint } from "./weights/checkpoint.ts";
import { framesPerLatent, framesPerRun, pixelsPerLatent } from "./weights/taesd.ts";

/** A tensor in PyTorch's order: [N, C, H, W], [N, tokens, C] or [N, C]. */
export interface NamedTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer>;
}

export interface RunModelOptions extends Omit<ModelOptions, "frames" | "clips" | "height" | "width">, PrecisionOptions {
  /**
   * Intermediate tensors to return as well, by node name; names that the graph lacks are left out. Of a node that runs once a
   * group of frames the groups' tensors are joined.
   */
  readonly taps?: readonly string[];
}

export interface RunResult {
  readonly model: string;
  /** In graph order: taps, then outputs. */
  readonly tensors: ReadonlyMap<string, NamedTensor>;
  readonly ms: { readonly prepare: number; readonly run: number };
}

/** Names an input file gives to the inputs of models. A file of another model's input is told from one that has none. */
export const INPUT_NAMES = ["video", "image", "latent"] as const;

/** The name of a model's input. */
export function inputName(model: ModelName): "video" | "image" | "latent" {
  if (isLatentModel(model)) return model.endsWith("-decoder") ? "latent" : pictureOf({ model });
  return model === "mobilenetv2" || model === "vit" ? "image" : "video";
}

/** The name of what a model gives: `features` in its place where a file has no classifier. */
export function outputName(model: ModelName): "logits" | "image" | "video" | "latent" {
  if (!isLatentModel(model)) return "logits";
  return model.endsWith("-encoder") ? "latent" : pictureOf({ model });
}

/**
 * Named tensors in, named tensors out: `video` [T, 3, H, W] normalised (or `image` [N, 3, H, W] for mobilenetv2 and vit) to
 * `logits`. The online model takes the video frame by frame and gives logits [T, classes].
 * Of a latent auto-encoder an encoder makes of `image` or `video`, values from 0 to 1, `latent` [N, L, H / 8, W / 8], a decoder the
 * other way round; the clip is run in pieces whose activations fit, and a half with memory goes on from one to the next. Where several
 * frames are a latent, the last frame is repeated to fill it, and the frames of the first latent that come of no frame are dropped.
 * @throws "bad-input" for a missing, misshapen or non-finite input, before any GPU work
 */
export async function runModel(
  gpu: Gpu,
  checkpoint: Checkpoint,
  inputs: ReadonlyMap<string, NamedTensor>,
  options: RunModelOptions = {},
): Promise<RunResult> {
  const { description: described } = describeModel(checkpoint, options);
  const { model } = described;
  const name = inputName(model);
  const depth = name === "latent" ? described.latents!.latent : 3;
  const input = inputs.get(name);
  if (!input)
    fail(
      "bad-input",
      `${model} needs a tensor named "${name}" [${name === "image" ? "N" : "T"}, ${depth}, H, W]; the input file has ${[...inputs.keys()].join(", ") || "none"}`,
    );
  checkInput(model, name, depth, input);
  const [count, , tall, wide] = input.shape as [number, number, number, number];
  const side = name === "latent" ? pixelsPerLatent(described.latents!) : 1;
  const [height, width] = [tall * side, wide * side];
  const start = performance.now();
  const pushes = pushesOf(describeModel(checkpoint, { ...options, height, width }).description, count);
  const names = new Set(options.taps ?? []);
  const { graph, weights } = openModel(checkpoint, {
    ...options,
    ...([...names].some((tap) => tap.endsWith(".shares")) ? { shares: true } : {}),
    frames: pushes.size,
    height,
    width,
  });
  const { dtype, ...rest } = options;
  using session = await createSession(await withPrecision(gpu, dtype, options.signal), graph, weights, rest);
  const prepared = performance.now();
  const taps = graph.values.filter((value) => value.kind === "temp" && names.has(nodeOf(value)));
  const data = toChannelsLast(input.data, [count, depth, tall, wide]);
  const tensors = await runFrames(session, name, data, pushes, taps, options.signal);
  return { model, tensors, ms: { prepare: prepared - start, run: performance.now() - prepared } };
}

/** How a clip is run: `count` times `size` frames, of which the first `used` frames are the clip's; `trim` frames of the output are not. */
interface Pushes {
  readonly size: number;
  readonly count: number;
  readonly used: number;
  readonly trim: number;
}

/** Planning asks the device for tiles only, which change no tensor: one answer holds for all. */
const ANY: Caps = { kind: "cpu", f16: false, subgroups: false, timestamps: false };

/** A latent auto-encoder takes as many frames at once as fit into the bytes that are allowed. @throws "limit-exceeded" if none does */
function pushesOf(d: ModelDescription, frames: number): Pushes {
  if (d.model === "tsm-mobilenetv2-online") return { size: 1, count: frames, used: frames, trim: 0 };
  if (!d.latents) return { size: frames, count: 1, used: frames, trim: 0 };
  const unit = framesPerRun(d.latents);
  const trim = d.latents.half === "decoder" ? framesPerLatent(d.latents) - 1 : 0;
  const units = Math.ceil(frames / unit);
  const { planned } = plan(buildModel({ ...d, frames: unit }), ANY).bytes;
  const most = Math.floor((d.activationBytes ?? ACTIVATION_BYTES) / planned);
  if (most < 1 && d.activationBytes) {
    const [needed, limit] = [planned, d.activationBytes].map((bytes) => (bytes / 1e6).toFixed(1));
    fail(
      "limit-exceeded",
      `${d.model} takes ${needed} MB of activations at least, and ${limit} are allowed; allow more`,
    );
  }
  const size = Math.ceil(units / Math.ceil(units / Math.max(1, most)));
  return { size: size * unit, count: Math.ceil(units / size), used: units * unit, trim };
}

function checkInput(model: string, name: string, channels: number, { shape, data }: NamedTensor): void {
  if (shape.length !== 4 || shape[1] !== channels || shape.some((n) => n < 1))
    fail("bad-input", `${model} takes "${name}" as [frames, ${channels}, height, width], got [${shape.join(", ")}]`);
  const bad = data.findIndex((v) => !Number.isFinite(v));
  if (bad >= 0) fail("not-finite", `"${name}" holds ${data[bad]} at element ${bad}; give finite numbers`);
}

/** The node's name without the mark of a group of frames: `blocks.3.qkv` of `blocks.3.qkv@1`. */
const nodeOf = ({ name }: Value): string => name.replace(/@\d+$/, "");

/** The frames of a push, the last of the clip repeated where it is over. */
function framesOf(
  data: Float32Array<ArrayBuffer>,
  frame: number,
  first: number,
  size: number,
): Float32Array<ArrayBuffer> {
  const end = data.length / frame;
  if (first + size <= end) return data.slice(first * frame, (first + size) * frame);
  const frames = new Float32Array(size * frame);
  for (let i = 0; i < size; i++) {
    const at = Math.min(first + i, end - 1) * frame;
    frames.set(data.subarray(at, at + frame), i * frame);
  }
  return frames;
}

/** Runs the clip push by push and joins each tensor's parts, of pushes and groups, along the first axis. */
async function runFrames(
  session: Session,
  name: string,
  data: Float32Array<ArrayBuffer>,
  pushes: Pushes,
  taps: readonly Value[],
  signal?: AbortSignal,
): Promise<Map<string, NamedTensor>> {
  const outputs = Object.entries(session.plan.graph.outputs);
  const groups = new Map<string, Value[]>();
  for (const value of taps) groups.set(nodeOf(value), [...(groups.get(nodeOf(value)) ?? []), value]);
  for (const [key, value] of outputs) groups.set(key, [value]);
  // An output comes under its own name, whatever its node's is: "logits" of the node "head".
  const nameOf = (value: Value) => outputs.find(([, output]) => output === value)?.[0] ?? value.name;
  const parts = new Map<string, Float32Array[]>([...groups.keys()].map((key) => [key, []]));
  const { spec } = session.plan.graph.inputs[name]!;
  const frame = elements(spec) / extent(spec, 0);
  for (let push = 0; push < pushes.count; push++) {
    const feeds = { [name]: framesOf(data, frame, push * pushes.size, pushes.size) };
    const got = await session.run(feeds, { tap: taps.map((value) => value.name), ...(signal ? { signal } : {}) });
    for (const [key, list] of parts) list.push(...groups.get(key)!.map((value) => got[nameOf(value)]!));
  }
  // The logits of a clip are one row, which PyTorch writes without the axis; logits per frame come from the node "head".
  const perClip = groups.get("logits")?.[0]?.name === "logits" || session.plan.graph.name === "stam";
  return new Map(
    [...groups].map(([key, values]) => {
      const whole = inPyTorchOrder(key, values, parts.get(key)!, pushes.count);
      const tensor = rowsOf(whole, outputs.some(([output]) => output === key) ? pushes.trim : 0, pushes);
      return [key, key === "logits" && perClip ? { ...tensor, shape: tensor.shape.slice(1) } : tensor];
    }),
  );
}

/** What of a tensor of all pushes is of the clip, without the first `trim` rows. */
function rowsOf({ shape, data }: NamedTensor, trim: number, { size, count, used }: Pushes): NamedTensor {
  const rows = (shape[0]! * used) / (size * count);
  if (trim === 0 && rows === shape[0]) return { shape, data };
  const row = data.length / shape[0]!;
  return { shape: [rows - trim, ...shape.slice(1)], data: data.slice(trim * row, rows * row) };
}

function inPyTorchOrder(
  name: string,
  values: readonly Value[],
  parts: readonly Float32Array[],
  pushes: number,
): NamedTensor {
  const all = joined(Float32Array, parts);
  const { spec } = values[0]!;
  const first = values.reduce((sum, value) => sum + extent(value.spec, 0), 0) * pushes;
  if (spec.shape.length === 4) {
    const [height, width] = [extent(spec, 1), extent(spec, 2)];
    return {
      shape: [first, channels(spec), height, width],
      data: toChannelsFirst(all, [first, height, width, channels(spec)]),
    };
  }
  if (spec.shape.length < 2 || spec.shape.length > 4)
    fail("unsupported", `"${name}" ${shapeText(spec)} has no PyTorch order`);
  return { shape: [first, ...spec.shape.slice(1)], data: all };
}

/** Every floating tensor of a safetensors file, or those of the given names that it has. */
export async function readTensors(file: Checkpoint, names?: readonly string[]): Promise<Map<string, NamedTensor>> {
  const tensors = new Map<string, NamedTensor>();
  for (const [name, { shape }] of file.tensors) {
    if (!names || names.includes(name)) tensors.set(name, { shape, data: Float32Array.from(await file.readF32(name)) });
  }
  return tensors;
}
