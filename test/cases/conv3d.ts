import { tensor } from "../../src/core/tensor.ts";
import { conv, convFilters, type Filters, twoFrameConv, unshuffledConv } from "../../src/models/filters.ts";
import { conv2d, conv3d, LINEAR, pad, RELU } from "../../src/ops/index.ts";
import { type Expected, exact, linear } from "../close.ts";
import { type OpCase, opCase } from "./case.ts";
import { pooledFrames } from "./frame_filters.ts";
import { asSums, convolve, convolve3d, framesToChannels, pixelUnshuffle, type Shape4, type Sums } from "./reference.ts";

type Axes = readonly [number, number, number];

interface Size {
  readonly x: Shape4;
  readonly out: number;
  readonly kernel: Axes;
  readonly stride?: Axes;
  readonly before?: Axes;
  readonly after?: Axes;
  readonly reflect?: boolean;
  readonly relu?: boolean;
  /** y is summed onto a residual, of whose last frame a state keeps so many channels. */
  readonly residual?: number;
  /** The frame in front of x comes from a state. */
  readonly stream?: boolean;
  readonly bench?: boolean;
}

function title(s: Size): string {
  const words = [s.kernel.join("x")];
  if (s.stride) words.push(`s ${s.stride.join(",")}`);
  if (s.before) words.push(`pad ${s.before.join(",")}`);
  if (s.after) words.push(`to ${s.after.join(",")}`);
  if (s.reflect) words.push("reflect");
  if (s.stream) words.push("stream");
  if (s.residual) words.push(`residual, carry ${s.residual}`);
  return `${words.join(" ")} [${s.x.join(", ")}] -> ${s.out}${s.relu ? " relu" : ""}`;
}

const activated = (sums: Sums, terms: number, relu: boolean): Expected =>
  linear(sums.shape, sums.want, sums.magnitude, terms, relu ? RELU : undefined);

function make(s: Size): OpCase {
  const { x, out, kernel, stride = [1, 1, 1], before = [0, 0, 0], after = before, reflect = false, relu = false } = s;
  const window = { kernel, stride, before, after, reflect };
  const extents = ([0, 1, 2] as const).map(
    (a) => Math.floor((x[a] + before[a] + after[a] - kernel[a]) / stride[a]) + 1,
  );
  const y: Shape4 = [extents[0]!, extents[1]!, extents[2]!, out];
  const past: Shape4 = [1, x[1], x[2], x[3]];
  const carry: Shape4 | undefined = s.residual ? [1, y[1], y[2], s.residual] : undefined;
  return opCase({
    op: "conv3d",
    title: title(s),
    bench: s.bench ?? false,
    weights: { "u.weight": [out, x[3], ...kernel], "u.bias": [out] },
    build(g) {
      const filters = conv(x[3], out, kernel);
      const inputs = {
        x: g.input("x", tensor(...x)),
        ...convFilters(g, "u", filters, { weight: "u.weight", bias: "u.bias" }),
        residual: carry ? g.input("residual", tensor(...y)) : undefined,
        past: s.stream ? g.state("past", tensor(...past)) : undefined,
        carry: carry ? g.state("carry", tensor(...carry)) : undefined,
      };
      const padding = {
        front: before[0],
        top: before[1],
        left: before[2],
        back: after[0],
        bottom: after[1],
        right: after[2],
      };
      const edge = reflect ? "reflect" : "zeros";
      const activation = relu ? RELU : LINEAR;
      g.output("y", g.apply(conv3d, "conv", inputs, { out, kernel, stride, padding, edge, activation }).y!);
    },
    feeds: (random) => ({
      x: random.normal(...x),
      ...(s.stream ? { past: random.normal(...past) } : {}),
      ...(carry ? { residual: random.normal(...y), carry: random.normal(...carry) } : {}),
    }),
    expected(feeds, weights) {
      // With its past in front, the clip is one frame longer and has no padding there.
      const seen = s.stream
        ? { shape: [x[0] + 1, x[1], x[2], x[3]] as const, data: [...feeds.past!, ...feeds.x!] }
        : { shape: x, data: feeds.x! };
      const cut = s.stream ? { ...window, before: [0, before[1], before[2]] as const } : window;
      const [w, bias] = [weights.get("u.weight")!, weights.get("u.bias")!];
      const sums = convolve3d(seen, w, bias, out, cut, feeds.residual);
      const last = feeds.residual?.subarray(-y[1] * y[2] * out);
      return {
        y: activated(sums, kernel[0] * kernel[1] * kernel[2] * x[3], relu),
        ...(s.stream ? { past: exact(past, feeds.past!) } : {}),
        ...(carry
          ? {
              carry: exact(
                carry,
                last!.filter((_, i) => i % out < carry[3]),
              ),
            }
          : {}),
      };
    },
  });
}

const SIZES: readonly Size[] = [
  { x: [4, 5, 3, 6], out: 9, kernel: [3, 3, 3], before: [1, 1, 1] },
  { x: [5, 3, 4, 7], out: 18, kernel: [2, 3, 3], before: [1, 1, 1], after: [0, 1, 1], relu: true }, // causal
  { x: [7, 4, 5, 3], out: 10, kernel: [3, 2, 4], stride: [2, 1, 3], before: [2, 0, 1], after: [1, 1, 2] },
  { x: [6, 3, 5, 9], out: 5, kernel: [2, 1, 1], stride: [2, 1, 1] }, // two frames into one
  { x: [1, 3, 2, 5], out: 6, kernel: [3, 3, 3], before: [1, 1, 1] }, // the window is larger than the clip
  { x: [3, 6, 8, 5], out: 9, kernel: [2, 4, 4], stride: [1, 2, 2], before: [1, 1, 1], after: [0, 1, 1], reflect: true },
  { x: [2, 6, 9, 5], out: 6, kernel: [1, 4, 3], stride: [1, 2, 3], before: [0, 1, 1] }, // no time axis, two strides
  { x: [3, 6, 8, 3], out: 9, kernel: [1, 4, 4], stride: [1, 2, 2], before: [0, 1, 1], reflect: true, relu: true },
  { x: [2, 3, 5, 6], out: 7, kernel: [1, 1, 1] },
  { x: [3, 3, 4, 6], out: 10, kernel: [2, 3, 3], before: [1, 1, 1], after: [0, 1, 1], residual: 7, relu: true },
  // A stream: one frame, some frames, and with a stride in time, where the first window sees the past.
  { x: [1, 5, 3, 6], out: 9, kernel: [2, 3, 3], before: [1, 1, 1], after: [0, 1, 1], stream: true, relu: true },
  { x: [3, 3, 4, 7], out: 10, kernel: [2, 3, 3], before: [1, 1, 1], after: [0, 1, 1], stream: true },
  { x: [2, 4, 3, 5], out: 6, kernel: [3, 3, 3], before: [1, 1, 1], stream: true },
  { x: [5, 3, 2, 6], out: 5, kernel: [2, 1, 1], stride: [2, 1, 1], before: [1, 0, 0], after: [0, 0, 0], stream: true },
  { x: [2, 28, 28, 64], out: 64, kernel: [2, 3, 3], before: [1, 1, 1], after: [0, 1, 1], relu: true, bench: true },
];

/** A layer whose weights a checkpoint keeps in another order, against the layer as it is defined. */
interface Layer {
  readonly title: string;
  readonly x: Shape4;
  readonly filters: Filters;
  readonly attrs: Omit<Parameters<typeof conv3d.infer>[1], "out" | "kernel" | "activation">;
  readonly plane?: boolean;
  /** From the clip, the checkpoint's weight and the bias. */
  define(x: Sums, w: ArrayLike<number>, bias: ArrayLike<number>): Sums;
}

const layer = ({ title, x, filters, attrs, plane = false, define }: Layer): OpCase =>
  opCase({
    op: plane ? "conv2d" : "conv3d",
    title: `${title} [${x.join(", ")}] -> ${filters.out}`,
    weights: { w: filters.shape, b: [filters.out] },
    build(g) {
      const inputs = {
        x: g.input("x", tensor(...x)),
        ...convFilters(g, "u", filters, { weight: "w", bias: "b" }),
      };
      const all = { ...attrs, out: filters.out, kernel: filters.kernel, activation: LINEAR };
      const square = { ...all, kernel: filters.kernel[1], stride: attrs.stride[1] };
      g.output("y", (plane ? g.apply(conv2d, "conv", inputs, square) : g.apply(conv3d, "conv", inputs, all)).y!);
    },
    feeds: (random) => ({ x: random.normal(...x) }),
    expected(feeds, weights) {
      const sums = define(asSums({ shape: x, data: feeds.x! }), weights.get("w")!, weights.get("b")!);
      return {
        y: activated(
          sums,
          filters.shape.slice(1).reduce((a, b) => a * b, 1),
          false,
        ),
      };
    },
  });

const clip = (sums: Sums) => ({ shape: sums.shape, data: sums.want });

/** Every frame with the one before behind it on channels, zeros before the first. */
function withPast({ shape: [n, h, w, c], want }: Sums): { shape: Shape4; data: Float64Array } {
  const data = Float64Array.from({ length: 2 * want.length }, (_, i) => {
    const [channel, pixel] = [i % (2 * c), Math.floor(i / (2 * c))];
    if (channel < c) return want[pixel * c + channel]!;
    return pixel < h * w ? 0 : want[(pixel - h * w) * c + channel - c]!;
  });
  return { shape: [n, h, w, 2 * c], data };
}

const LAYERS: readonly Layer[] = [
  {
    title: "3x3 over this frame and the one before",
    x: [4, 5, 3, 6],
    filters: twoFrameConv(6, 9, 3),
    attrs: { stride: [1, 1, 1], padding: { front: 1, back: 0, ...pad(1) } },
    define: (x, w, bias) => convolve(withPast(x), w, bias, 9, { kernel: 3, stride: 1, padding: pad(1) }),
  },
  {
    title: "1x1 over three frames stacked",
    x: [6, 4, 3, 5],
    filters: pooledFrames(5, 7, 3),
    attrs: { stride: [3, 1, 1], padding: { front: 0, back: 0, ...pad(0) } },
    define: (x, w, bias) =>
      convolve(clip(framesToChannels(x, 3)), w, bias, 7, { kernel: 1, stride: 1, padding: pad(0) }),
  },
  ...[2, 3].map((factor) => ({
    title: `3x3 behind a pixel unshuffle by ${factor}`,
    x: [2, 2 * factor, 3 * factor, 3] as const,
    filters: unshuffledConv(3, 10, 3, factor),
    attrs: { stride: [1, factor, factor] as const, padding: { front: 0, back: 0, ...pad(factor) } },
    plane: true,
    define: (x: Sums, w: ArrayLike<number>, bias: ArrayLike<number>) =>
      convolve(clip(pixelUnshuffle(x, factor)), w, bias, 10, { kernel: 3, stride: 1, padding: pad(1) }),
  })),
];

export const conv3dCases: readonly OpCase[] = [...SIZES.map(make), ...LAYERS.map(layer)];
