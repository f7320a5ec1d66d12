// The kernels that are timed: each as it stands in a network, and a small twin of odd extents. Both know what every element must be.
import { type Graph, GraphBuilder } from "../src/core/graph.ts";
import { tensor } from "../src/core/tensor.ts";
import { unit, vector } from "../src/models/layers.ts";
import type { Shift } from "../src/ops/conv2d.ts";
import { attention, conv2d, depthwise, GELU, LINEAR, layerNorm, matmul, pad, RELU, RELU6 } from "../src/ops/index.ts";
import type { Activation } from "../src/ops/matmul.ts";
import { attend } from "../test/cases/attention.ts";
import type { Feeds, OpCase } from "../test/cases/case.ts";
import { convTransposeCases } from "../test/cases/conv_transpose.ts";
import { conv3dCases } from "../test/cases/conv3d.ts";
import { embedCases } from "../test/cases/embed.ts";
import { fsqCases } from "../test/cases/fsq.ts";
import { activated } from "../test/cases/gelu.ts";
import { groupNormCases } from "../test/cases/group_norm.ts";
import { Random } from "../test/cases/random.ts";
import { reluCases } from "../test/cases/relu.ts";
import { softClampCases } from "../test/cases/soft_clamp.ts";
import { vqCases } from "../test/cases/vq.ts";
import { EPSILON, type Expected } from "../test/close.ts";

/** What an element must be, and by how much it may differ. */
export interface Answer {
  readonly want: number;
  readonly allowed: number;
}

/** A graph of one layer with one output, its numbers, and its reference. */
export interface Layer {
  readonly graph: Graph;
  readonly weights: Weights;
  readonly feeds: Feeds;
  /** Floating-point operations of a run. */
  readonly flops: number;
  /** The element of the output at a flat index, in f64 and plain loops; with these weights, where they are not kept as they are. */
  at(index: number, weights?: Weights): Answer;
}

type Weights = ReadonlyMap<string, Float32Array>;

export interface KernelCase {
  readonly name: string;
  /** Sizes, for people; a name and sizes tell a case of one report from that of another. */
  readonly about: string;
  /** Multiply-accumulates of the network that it stands in (`npm run plans`), which choose its tiles. Default: its own. */
  readonly within?: number;
  /** So much work that only a GPU is asked for it, unless it is named: what it takes to keep a large one busy. */
  readonly large?: boolean;
  timed(): Layer;
  twin(): Layer;
}

/** A sum of `terms` products behind an activation; test/close.ts derives what is allowed. */
function sumOf(want: number, magnitude: number, terms: number, activation: Activation): Answer {
  const one = activated([1], Float64Array.of(want), Float64Array.of(magnitude), terms, activation);
  return { want: one.want[0]!, allowed: one.allowed[0]! };
}

/** Of the unit `u`. */
const unitWeights = (random: Random, out: number, ...each: number[]): Weights =>
  new Map([
    ["u.weight", random.normal(out, ...each)],
    ["u.bias", random.normal(out)],
  ]);

function linearLayer(rows: number, input: number, out: number, activation: Activation): Layer {
  const random = new Random(rows * 31 + out);
  const x = random.normal(rows, input);
  const weights = unitWeights(random, out, input);
  const g = new GraphBuilder(`matmul [${rows}, ${input}] -> ${out}`);
  const values = {
    x: g.input("x", tensor(rows, input)),
    ...unit(g, "u", { out, input, kernel: 1, linear: true, batchNorm: false, bias: true }),
  };
  g.output("y", g.apply(matmul, "product", values, { out, activation }).y!);
  return {
    graph: g.build(),
    weights,
    feeds: { x },
    flops: 2 * rows * input * out,
    at(index, held = weights) {
      const [w, bias] = [held.get("u.weight")!, held.get("u.bias")!];
      const [row, o] = [Math.floor(index / out), index % out];
      let [want, magnitude] = [bias[o]!, Math.abs(bias[o]!)];
      for (let k = 0; k < input; k++) {
        const term = x[row * input + k]! * w[o * input + k]!;
        want += term;
        magnitude += Math.abs(term);
      }
      return sumOf(want, magnitude, input, activation);
    },
  };
}

interface Filter {
  /** [frames, height, width, channels] */
  readonly x: readonly [number, number, number, number];
  /** Without it every channel is filtered by itself. */
  readonly out?: number;
  readonly kernel: 1 | 3;
  readonly stride?: 1 | 2;
  readonly activation: Activation;
  readonly shift?: Shift;
}

function filterLayer({ x: shape, out: wide, kernel, stride = 1, activation, shift }: Filter): Layer {
  const [frames, height, width, channels] = shape;
  const [out, each] = [wide ?? channels, wide ? channels : 1];
  const border = kernel >> 1;
  const [high, across] = [height, width].map((n) => Math.floor((n + 2 * border - kernel) / stride) + 1) as [
    number,
    number,
  ];
  const random = new Random(height * 131 + out);
  const x = random.normal(...shape);
  const weights = unitWeights(random, out, each, kernel, kernel);
  const g = new GraphBuilder(`${wide ? "conv2d" : "depthwise"} [${shape.join(", ")}] -> ${out}`);
  const unitShape = { out, input: each, kernel, batchNorm: false, bias: true, shift };
  const values = { x: g.input("x", tensor(...shape)), ...unit(g, "u", unitShape, !wide) };
  const window = { stride, padding: pad(border), activation };
  const made = wide
    ? g.apply(conv2d, "conv", values, { ...window, out, kernel, ...(shift ? { shift } : {}) })
    : g.apply(depthwise, "filter", values, window);
  g.output("y", made.y!);
  /** A number of x behind the shift (TSM: the first channels from the next frame, as many from the one before), 0 beyond its ends. */
  const pixel = (f: number, i: number, j: number, k: number): number => {
    const fold = shift?.fold ?? 0;
    const from = f + (k < fold ? 1 : k < 2 * fold ? -1 : 0);
    if (from < 0 || from >= frames || i < 0 || i >= height || j < 0 || j >= width) return 0;
    return x[((from * height + i) * width + j) * channels + k]!;
  };
  const terms = each * kernel * kernel;
  return {
    graph: g.build(),
    weights,
    feeds: { x },
    flops: 2 * frames * high * across * out * terms,
    at(index, held = weights) {
      const [w, bias] = [held.get("u.weight")!, held.get("u.bias")!];
      const o = index % out;
      const place = Math.floor(index / out);
      const [f, i, j] = [Math.floor(place / (high * across)), Math.floor(place / across) % high, place % across];
      let [want, magnitude] = [bias[o]!, Math.abs(bias[o]!)];
      for (let t = 0; t < terms; t++) {
        const [k, u, v] = [Math.floor(t / kernel ** 2), Math.floor(t / kernel) % kernel, t % kernel];
        const term = pixel(f, i * stride + u - border, j * stride + v - border, wide ? k : o) * w[o * terms + t]!;
        want += term;
        magnitude += Math.abs(term);
      }
      return sumOf(want, magnitude, terms, activation);
    },
  };
}

function attentionLayer(tokens: number, heads: number, head: number, sequences = 1): Layer {
  const width = heads * head;
  const random = new Random(tokens * 31 + width);
  // No spikes, as Random.normal plants them: one would take every share.
  const qkv = Float32Array.from({ length: sequences * tokens * 3 * width }, () => 4 * random.uniform() - 2);
  const g = new GraphBuilder(`attention of ${tokens} tokens, ${heads} heads of ${head}`);
  const value = g.input("qkv", tensor(sequences, tokens, 3 * width));
  g.output("y", g.apply(attention, "attention", { qkv: value }, { heads }).y!);
  return {
    graph: g.build(),
    weights: new Map(),
    feeds: { qkv },
    flops: 4 * sequences * tokens * tokens * width,
    at(index) {
      const [row, channel] = [Math.floor(index / width), index % width];
      const token = row % tokens;
      const first = channel - (channel % head);
      const part = (t: number, p: number) => {
        const at = ((row - token + t) * 3 + p) * width + first;
        return Array.from(qkv.subarray(at, at + head));
      };
      const every = (p: number) => Array.from({ length: tokens }, (_, t) => part(t, p));
      // One channel of the values is asked for; test/cases/attention.ts derives the bound.
      const values = every(2).map((row) => [row[channel - first]!]);
      const { sums, allowed } = attend(part(token, 0), every(1), values);
      return { want: sums[0]!, allowed: allowed[0]! };
    },
  };
}

function layerNormLayer(rows: number, width: number): Layer {
  const epsilon = 1e-6;
  const random = new Random(rows * 31 + width);
  const x = random.normal(rows, width);
  const [scale, shift] = [random.normal(width), random.normal(width)];
  const g = new GraphBuilder(`layerNorm [${rows}, ${width}]`);
  const values = {
    x: g.input("x", tensor(rows, width)),
    scale: vector(g, "scale", "scale", [width]),
    shift: vector(g, "shift", "shift", [width]),
  };
  g.output("y", g.apply(layerNorm, "norm", values, { epsilon }).y!);
  return {
    graph: g.build(),
    weights: new Map([
      ["scale", scale],
      ["shift", shift],
    ]),
    feeds: { x },
    flops: 8 * rows * width,
    at(index) {
      const c = index % width;
      const row = x.subarray(index - c, index - c + width);
      const mean = row.reduce((sum, v) => sum + v, 0) / width;
      const variance = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / width;
      const root = Math.sqrt(variance + epsilon);
      // The bound of test/cases/layer_norm.ts, which derives it.
      const m = (width + 1) * EPSILON * (row.reduce((sum, v) => sum + Math.abs(v), 0) / width);
      const spread = (2 * m * Math.sqrt(variance) + m * m + (width + 4) * EPSILON * variance) / root ** 2;
      const normal = (row[c]! - mean) / root;
      const want = normal * scale[c]! + shift[c]!;
      const off = m / root + Math.abs(normal) * (spread / 2 + 8 * EPSILON);
      return { want, allowed: (off * Math.abs(scale[c]!) + EPSILON * Math.abs(want)) * (1 + 1e-3) + 2 ** -120 };
    },
  };
}

/** A case of the tests. Its reference knows the output only whole; it is computed when an element is first asked for. */
function layerOf(opCase: OpCase): Layer {
  const feeds = opCase.feeds(11);
  let whole: Expected | undefined;
  let its: Weights | undefined;
  return {
    graph: opCase.graph,
    weights: opCase.weights,
    feeds,
    flops: opCase.flops,
    at(index, held = opCase.weights) {
      if (!whole || its !== held) whole = Object.values(opCase.expected(feeds, held))[0]!;
      its = held;
      return { want: whole.want[index]!, allowed: whole.allowed[index]! };
    },
  };
}

/** The large case of an op's tests, and as its twin the one whose title begins like that. */
function tested(name: string, cases: readonly OpCase[], twin: string): KernelCase {
  const timed = cases.find(({ bench }) => bench)!;
  const small = cases.find(({ title }) => title.startsWith(twin))!;
  return { name, about: timed.title, timed: () => layerOf(timed), twin: () => layerOf(small) };
}

/** ViT-B/16, and TSM-ResNet50 and TSM-MobileNetV2 with 8 frames, at 224 x 224. */
const [VIT, RESNET, MOBILENET] = [16.3e9, 32.7e9, 2.4e9];

const square = (n: number): KernelCase => ({
  name: `matmul-${n}`,
  about: `[${n}, ${n}] -> ${n}`,
  within: VIT,
  timed: () => linearLayer(n, n, n, LINEAR),
  twin: () => linearLayer(37, 45, 27, LINEAR),
});

function filter(name: string, within: number, timed: Filter, twin: Filter): KernelCase {
  const about = `[${timed.x.join(", ")}]${timed.out ? ` -> ${timed.out}` : ""}${timed.stride ? " stride 2" : ""}`;
  return { name, about, within, timed: () => filterLayer(timed), twin: () => filterLayer(twin) };
}

/** A 3x3 of ResNet-50's first stage, of so many frames. */
const conv3x3 = (name: string, frames: number): KernelCase =>
  filter(
    name,
    RESNET,
    { x: [frames, 56, 56, 64], out: 64, kernel: 3, activation: RELU },
    { x: [2, 7, 5, 9], out: 22, kernel: 3, activation: RELU },
  );

/** ViT-B/16's attention, of so many frames. */
const attentionOf = (name: string, frames: number): KernelCase => ({
  name,
  about: `${frames === 1 ? "" : `${frames} x `}197 tokens, 12 heads of 64`,
  timed: () => attentionLayer(197, 12, 64, frames),
  twin: () => (frames === 1 ? attentionLayer(21, 3, 20) : attentionLayer(13, 3, 20, 3)),
});

/** Square products, layers of MobileNetV2, ResNet-50 and ViT-B/16, and of latent auto-encoders and the compressor. */
export const KERNEL_CASES: readonly KernelCase[] = [
  ...[256, 512, 1024].map(square),
  { ...square(2048), large: true },
  conv3x3("conv3x3", 1),
  { ...conv3x3("conv3x3-clip", 8), large: true },
  filter(
    "conv1x1-expand",
    MOBILENET,
    { x: [1, 56, 56, 24], out: 144, kernel: 1, activation: RELU6 },
    { x: [2, 5, 7, 11], out: 26, kernel: 1, activation: RELU6 },
  ),
  filter(
    "conv1x1-project",
    MOBILENET,
    { x: [1, 14, 14, 384], out: 64, kernel: 1, activation: LINEAR },
    { x: [1, 5, 9, 35], out: 13, kernel: 1, activation: LINEAR },
  ),
  filter(
    "depthwise-s1",
    MOBILENET,
    { x: [1, 56, 56, 144], kernel: 3, activation: RELU6 },
    { x: [2, 7, 5, 9], kernel: 3, activation: RELU6 },
  ),
  filter(
    "depthwise-s2",
    MOBILENET,
    { x: [1, 112, 112, 96], kernel: 3, stride: 2, activation: RELU6 },
    { x: [3, 9, 5, 11], kernel: 3, stride: 2, activation: RELU6 },
  ),
  attentionOf("attention", 1),
  { ...attentionOf("attention-clip", 8), large: true },
  { name: "layer-norm", about: "[197, 768]", timed: () => layerNormLayer(197, 768), twin: () => layerNormLayer(7, 45) },
  {
    name: "gelu-matmul",
    about: "[197, 768] -> 3072, erf",
    within: VIT,
    timed: () => linearLayer(197, 768, 3072, GELU),
    twin: () => linearLayer(11, 38, 21, GELU),
  },
  // The same layer without and with the shift in front: their ratio is what the shift costs.
  filter(
    "unshifted",
    MOBILENET,
    { x: [8, 28, 28, 32], out: 192, kernel: 1, activation: RELU6 },
    { x: [5, 3, 2, 19], out: 18, kernel: 1, activation: RELU6 },
  ),
  filter(
    "shifted",
    MOBILENET,
    { x: [8, 28, 28, 32], out: 192, kernel: 1, activation: RELU6, shift: { mode: "both", fold: 4 } },
    { x: [5, 3, 2, 19], out: 18, kernel: 1, activation: RELU6, shift: { mode: "both", fold: 3 } },
  ),
  tested("conv3d", conv3dCases, "3x3x3 pad 1,1,1 [4, 5, 3, 6]"),
  tested("conv-transpose", convTransposeCases, "3x3 behind nearest x3"),
  tested("group-norm", groupNormCases, "[3, 5, 7, 12]"),
  tested("relu", reluCases, "[1, 3, 5, 7]"),
  tested("soft-clamp", softClampCases, "[2, 3, 5, 7]"),
  tested("vq", vqCases, "[2, 7, 9, 5]"),
  tested("fsq", fsqCases, "[2, 5, 7]"),
  tested("embed", embedCases, "[3, 5, 7]"),
];

/** Products whose bodies are worth comparing, where no others are named. */
export const BODY_CASES: readonly string[] = ["matmul-1024", "matmul-2048", "conv3x3", "conv3x3-clip"];
