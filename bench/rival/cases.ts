// What all engines run: cases with the weights and inputs of one recipe (test/synthetic.ts), in PyTorch's order of axes.
import { type Graph, GraphBuilder } from "../../src/core/graph.ts";
import { elements, tensor, toChannelsLast } from "../../src/core/tensor.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { buildModel, type ModelName } from "../../src/models/index.ts";
import { unit } from "../../src/models/layers.ts";
import { conv2d, depthwise, LINEAR, matmul, pad } from "../../src/ops/index.ts";
import { standardModel } from "../../src/profile.ts";
import { createSession } from "../../src/session.ts";
import { syntheticTensor } from "../../test/synthetic.ts";
import { syntheticTensors } from "../../test/synthetic_model.ts";
import { stopwatch } from "../stopwatch.ts";
import type { Engine } from "./compare.ts";

export interface RivalCase {
  /** Sizes, for people. */
  readonly about: string;
  /** Of the input: [N, C, H, W], or [rows, columns]. */
  readonly shape: readonly number[];
  /** Of the output, in the same order of axes. */
  readonly output: readonly number[];
  /** Kinema's graph, with one input and one output. */
  graph(): Graph;
}

/** A single layer, the unit `conv1` on `video`, so that the recipe knows both. */
function layer(
  about: string,
  shape: readonly number[],
  out: number,
  build: (g: GraphBuilder, out: number) => void,
): RivalCase {
  const graph = () => {
    const g = new GraphBuilder(about);
    build(g, out);
    return g.build();
  };
  return { about, shape, output: [shape[0]!, out, ...shape.slice(2)], graph };
}

const plain = { batchNorm: false, bias: true } as const;

function model(name: ModelName, frames: number): RivalCase {
  const standard = standardModel(name, { frames });
  // As tools/reference/stam.py has it.
  const transformer = standard.transformer ? { ...standard.transformer, epsilon: 1e-5 } : null;
  return {
    about: `${frames}x224`,
    shape: [frames, 3, 224, 224],
    output: name === "mobilenetv2" ? [1, standard.classes!] : [standard.classes!],
    graph: () => buildModel({ ...standard, transformer }),
  };
}

/** By name, which is also that of the file models/NAME.onnx. */
export const RIVAL_CASES = {
  "matmul-512": layer("[512, 512] -> 512", [512, 512], 512, (g, out) => {
    const weights = unit(g, "conv1", { ...plain, out, input: 512, kernel: 1, linear: true });
    g.output(
      "y",
      g.apply(matmul, "product", { x: g.input("video", tensor(512, 512)), ...weights }, { out, activation: LINEAR }).y!,
    );
  }),
  conv3x3: layer("[1, 64, 56, 56] -> 64", [1, 64, 56, 56], 64, (g, out) => {
    const weights = unit(g, "conv1", { ...plain, out, input: 64, kernel: 3 });
    const attrs = { out, kernel: 3, stride: 1, padding: pad(1), activation: LINEAR } as const;
    g.output("y", g.apply(conv2d, "conv", { x: g.input("video", tensor(1, 56, 56, 64)), ...weights }, attrs).y!);
  }),
  depthwise: layer("[1, 96, 56, 56], 3x3", [1, 96, 56, 56], 96, (g, out) => {
    const weights = unit(g, "conv1", { ...plain, out, input: 1, kernel: 3 }, true);
    const attrs = { stride: 1, padding: pad(1), activation: LINEAR } as const;
    g.output("y", g.apply(depthwise, "filter", { x: g.input("video", tensor(1, 56, 56, 96)), ...weights }, attrs).y!);
  }),
  mobilenetv2: model("mobilenetv2", 1),
  "tsm-mobilenetv2": model("tsm-mobilenetv2", 8),
  "tsm-resnet50": model("tsm-resnet50", 8),
  stam: model("stam", 2),
  "taesd-decoder": {
    about: "64x64",
    shape: [1, 4, 8, 8],
    output: [1, 3, 64, 64],
    graph: () => buildModel(standardModel("taesd-decoder", { height: 64, width: 64 })),
  },
} satisfies Record<string, RivalCase>;

export type CaseName = keyof typeof RIVAL_CASES;

export const CASE_NAMES = Object.keys(RIVAL_CASES) as CaseName[];

/** The case's input as PyTorch has it. */
export function inputOf(name: CaseName): Float32Array {
  const input = name === "mobilenetv2" ? "image" : name === "taesd-decoder" ? "latent" : "video";
  return syntheticTensor(input, RIVAL_CASES[name].shape);
}

/** Rows, or channels last: Kinema's order, and that of engines that come from TensorFlow. */
export function inKinemasOrder(data: Float32Array, shape: readonly number[]): Float32Array<ArrayBuffer> {
  const four = shape as readonly [number, number, number, number];
  return shape.length === 4 ? toChannelsLast(data, four) : Float32Array.from(data);
}

/** The folded weights of one unit: [out, in, height, width] or [out, in], and [out]. */
export interface Folded {
  readonly shape: readonly number[];
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

/** The units of a graph: what has a weight, batch norm's own aside. */
export function unitNames(tensors: ReadonlyMap<string, readonly number[]>): string[] {
  return [...tensors.keys()].flatMap((key) => key.match(/^(.*)(?<!\.bn)\.weight$/)?.[1] ?? []);
}

const BATCH_NORM_EPSILON = 1e-5;

/** A unit's weights with batch norm folded in, in f64, as converters to a rival's form do it. */
export function foldedUnit(tensors: ReadonlyMap<string, readonly number[]>, name: string): Folded {
  const shape = tensors.get(`${name}.weight`)!;
  const weight = syntheticTensor(`${name}.weight`, shape);
  const vector = (leaf: string): Float32Array | null =>
    tensors.has(`${name}.${leaf}`) ? syntheticTensor(`${name}.${leaf}`, tensors.get(`${name}.${leaf}`)!) : null;
  const bias = vector("bias") ?? new Float32Array(shape[0]!);
  const [gamma, beta, mean, variance] = ["weight", "bias", "running_mean", "running_var"].map((p) => vector(`bn.${p}`));
  if (gamma && beta && mean && variance) {
    const each = weight.length / shape[0]!;
    for (let o = 0; o < shape[0]!; o++) {
      const scale = gamma[o]! / Math.sqrt(variance[o]! + BATCH_NORM_EPSILON);
      for (let i = o * each; i < (o + 1) * each; i++) weight[i] = weight[i]! * scale;
      bias[o] = (bias[o]! - mean[o]!) * scale + beta[o]!;
    }
  }
  return { shape, weight, bias };
}

/** Kinema with the case loaded. */
export async function openKinema(gpu: Gpu, name: CaseName): Promise<Engine> {
  const graph = RIVAL_CASES[name].graph();
  const weights = syntheticTensors(graph);
  const [input, { spec }] = Object.entries(graph.inputs)[0]!;
  const output = Object.keys(graph.outputs)[0]!;
  const data = inKinemasOrder(inputOf(name), RIVAL_CASES[name].shape);
  if (data.length !== elements(spec)) throw new Error(`${name}: the graph's input is not the case's`);
  const lap = stopwatch();
  const session = await createSession(gpu, graph, weights);
  const prepareMs = lap();
  const run = async () => (await session.run({ [input]: data }))[output]!;
  return { version: "", prepareMs, run, close: () => session.dispose() };
}
