import { describeModel, type ModelOptions, openModel } from "./classifier.ts";
import { fail } from "./core/fail.ts";
import type { Value } from "./core/graph.ts";
import { channels, extent, shapeText, toChannelsFirst, toChannelsLast } from "./core/tensor.ts";
import type { Gpu } from "./gpu/device.ts";
import { createSession, type Session, type SessionOptions } from "./session.ts";
import type { Checkpoint } from "./weights/checkpoint.ts";

/** A tensor in PyTorch's order: [N, C, H, W], [N, tokens, C] or [N, C]. */
export interface NamedTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer>;
}

export interface RunModelOptions extends Omit<ModelOptions, "frames" | "height" | "width">, SessionOptions {
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

/**
 * Named tensors in, named tensors out: `video` [T, 3, H, W] normalised (or `image` [N, 3, H, W] for mobilenetv2 and vit) to
 * `logits`.
 * The online model takes the video frame by frame and gives logits [T, classes].
 * @throws "bad-input" for a missing, misshapen or non-finite input, before any GPU work
 */
export async function runModel(
  gpu: Gpu,
  checkpoint: Checkpoint,
  inputs: ReadonlyMap<string, NamedTensor>,
  options: RunModelOptions = {},
): Promise<RunResult> {
  const model = describeModel(checkpoint, options).description.model;
  const name = model === "mobilenetv2" || model === "vit" ? "image" : "video";
  const input = inputs.get(name);
  if (!input)
    fail(
      "bad-input",
      `${model} needs a tensor named "${name}" [${name === "video" ? "T" : "N"}, 3, H, W]; the input file has ${[...inputs.keys()].join(", ") || "none"}`,
    );
  checkInput(model, name, input);
  const [count, , height, width] = input.shape as [number, number, number, number];
  const stream = model === "tsm-mobilenetv2-online";
  const start = performance.now();
  const names = new Set(options.taps ?? []);
  const { graph, weights } = openModel(checkpoint, {
    ...options,
    ...([...names].some((tap) => tap.endsWith(".shares")) ? { shares: true } : {}),
    frames: stream ? 1 : count,
    height,
    width,
  });
  using session = await createSession(gpu, graph, weights, options);
  const prepared = performance.now();
  const taps = graph.values.filter((value) => value.kind === "temp" && names.has(nodeOf(value)));
  const data = toChannelsLast(input.data, [count, 3, height, width]);
  const tensors = await runFrames(session, name, data, stream ? count : 1, taps, options.signal);
  return { model, tensors, ms: { prepare: prepared - start, run: performance.now() - prepared } };
}

function checkInput(model: string, name: string, { shape, data }: NamedTensor): void {
  if (shape.length !== 4 || shape[1] !== 3 || shape.some((n) => n < 1))
    fail("bad-input", `${model} takes "${name}" as [frames, 3, height, width], got [${shape.join(", ")}]`);
  const bad = data.findIndex((v) => !Number.isFinite(v));
  if (bad >= 0) fail("not-finite", `"${name}" holds ${data[bad]} at element ${bad}; give finite numbers`);
}

/** The node's name without the mark of a group of frames: `blocks.3.qkv` of `blocks.3.qkv@1`. */
const nodeOf = ({ name }: Value): string => name.replace(/@\d+$/, "");

/** Runs the clip in `pushes` equal parts and joins each tensor's parts, of pushes and groups, along the first axis. */
async function runFrames(
  session: Session,
  name: string,
  data: Float32Array<ArrayBuffer>,
  pushes: number,
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
  const length = data.length / pushes;
  for (let push = 0; push < pushes; push++) {
    const feeds = { [name]: data.slice(push * length, (push + 1) * length) };
    const got = await session.run(feeds, { tap: taps.map((value) => value.name), ...(signal ? { signal } : {}) });
    for (const [key, list] of parts) list.push(...groups.get(key)!.map((value) => got[nameOf(value)]!));
  }
  // The logits of a clip are one row, which PyTorch writes without the axis; logits per frame come from the node "head".
  const perClip = groups.get("logits")?.[0]?.name === "logits" || session.plan.graph.name === "stam";
  return new Map(
    [...groups].map(([key, values]) => {
      const tensor = inPyTorchOrder(key, values, parts.get(key)!, pushes);
      return [key, key === "logits" && perClip ? { ...tensor, shape: tensor.shape.slice(1) } : tensor];
    }),
  );
}

function inPyTorchOrder(
  name: string,
  values: readonly Value[],
  parts: readonly Float32Array[],
  pushes: number,
): NamedTensor {
  const joined = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  const { spec } = values[0]!;
  const first = values.reduce((sum, value) => sum + extent(value.spec, 0), 0) * pushes;
  if (spec.shape.length === 4) {
    const [height, width] = [extent(spec, 1), extent(spec, 2)];
    return {
      shape: [first, channels(spec), height, width],
      data: toChannelsFirst(joined, [first, height, width, channels(spec)]),
    };
  }
  if (spec.shape.length < 2 || spec.shape.length > 4)
    fail("unsupported", `"${name}" ${shapeText(spec)} has no PyTorch order`);
  return { shape: [first, ...spec.shape.slice(1)], data: joined };
}

/** Every floating tensor of a safetensors file, or those of the given names that it has. */
export async function readTensors(file: Checkpoint, names?: readonly string[]): Promise<Map<string, NamedTensor>> {
  const tensors = new Map<string, NamedTensor>();
  for (const [name, { shape }] of file.tensors) {
    if (!names || names.includes(name)) tensors.set(name, { shape, data: Float32Array.from(await file.readF32(name)) });
  }
  return tensors;
}
