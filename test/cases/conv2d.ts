import { tensor } from "../../src/core/tensor.ts";
import { unit } from "../../src/models/layers.ts";
import { conv2d, GELU, LINEAR, pad, RELU, RELU6, samePadding } from "../../src/ops/index.ts";
import { exact, linear } from "../close.ts";
import { type OpCase, opCase } from "./case.ts";
import { activated } from "./gelu.ts";
import { convolve, type Shape4, shiftFrames, windowShape } from "./reference.ts";

const ACTIVATIONS = { linear: LINEAR, relu: RELU, relu6: RELU6, gelu: GELU };

interface Size {
  readonly x: Shape4;
  readonly out: number;
  readonly kernel?: number;
  readonly stride?: number;
  readonly padding?: { top: number; left: number; bottom: number; right: number };
  readonly reflect?: boolean;
  readonly clamp?: keyof typeof ACTIVATIONS;
  readonly residual?: boolean;
  /** Channels of the residual that a state keeps. */
  readonly carry?: number;
  readonly shift?: { readonly mode: "both" | "past"; readonly fold: number; readonly frames?: number };
  /** The shift's past comes from a state. */
  readonly stream?: boolean;
  readonly bench?: boolean;
}

function title(s: Size): string {
  const words = [`${s.kernel ?? 1}x${s.kernel ?? 1}`];
  if (s.stride) words.push(`s${s.stride}`);
  if (s.padding) words.push(`pad ${s.padding.top},${s.padding.left},${s.padding.bottom},${s.padding.right}`);
  if (s.reflect) words.push("reflect");
  if (s.shift) words.push(`${s.stream ? "stream" : `shift ${s.shift.mode}`} ${s.shift.fold}`);
  if (s.shift?.frames) words.push(`in clips of ${s.shift.frames}`);
  if (s.residual) words.push("residual");
  if (s.carry) words.push(`carry ${s.carry}`);
  return `${words.join(" ")} [${s.x.join(", ")}] -> ${s.out} ${s.clamp ?? "linear"}`;
}

function make(s: Size): OpCase {
  const { x, out, kernel = 1, stride = 1, padding = pad(0), reflect = false, clamp = "linear", shift, carry } = s;
  const window = { kernel, stride, padding, reflect };
  const y = windowShape(x, out, window);
  const state = (fold: number): Shape4 => [1, x[1], x[2], fold];
  return opCase({
    op: "conv2d",
    title: title(s),
    bench: s.bench ?? false,
    weights: { "u.weight": [out, x[3], kernel, kernel], "u.bias": [out] },
    build(g) {
      const inputs = {
        x: g.input("x", tensor(...x)),
        ...unit(g, "u", { out, input: x[3], kernel, batchNorm: false, bias: true, shift }),
        residual: s.residual ? g.input("residual", tensor(...y)) : undefined,
        past: s.stream ? g.state("past", tensor(...state(shift!.fold))) : undefined,
        carry: carry ? g.state("carry", tensor(...state(carry))) : undefined,
      };
      const edge = reflect ? "reflect" : "zeros";
      const attrs = {
        out,
        kernel,
        stride,
        padding,
        edge,
        activation: ACTIVATIONS[clamp],
        ...(shift ? { shift } : {}),
      } as const;
      g.output("y", g.apply(conv2d, "conv", inputs, attrs).y!);
    },
    feeds: (random) => ({
      x: random.normal(...x),
      ...(s.residual ? { residual: random.normal(...y) } : {}),
      ...(s.stream ? { past: random.normal(...state(shift!.fold)) } : {}),
      ...(carry ? { carry: random.normal(...state(carry)) } : {}),
    }),
    expected(feeds, weights) {
      const data = shift ? shifted(s, feeds.x!, feeds.past) : feeds.x!;
      const [w, bias] = [weights.get("u.weight")!, weights.get("u.bias")!];
      const sums = convolve({ shape: x, data }, w, bias, out, window, { residual: feeds.residual });
      return {
        y: activated(sums.shape, sums.want, sums.magnitude, kernel * kernel * x[3], ACTIVATIONS[clamp]),
        ...(s.stream ? { past: exact(state(shift!.fold), feeds.past!) } : {}),
        ...(carry ? { carry: exact(state(carry), firstChannels(lastFrame(feeds.residual!, y), out, carry)) } : {}),
      };
    },
  });
}

const lastFrame = (data: Float32Array, [, h, w, c]: Shape4) => data.subarray(-h * w * c);
const firstChannels = (data: Float32Array, channels: number, count: number) =>
  data.filter((_, i) => i % channels < count);

/** x behind the shift: of a clip, or of one frame whose past is `past`. */
function shifted({ x, shift }: Size, data: Float32Array, past: Float32Array | undefined): Float32Array {
  if (!past) return shiftFrames(data, x, shift!.frames ?? x[0], shift!);
  const { fold } = shift!;
  return data.map((v, i) => (i % x[3] < fold ? past[Math.floor(i / x[3]) * fold + (i % x[3])]! : v));
}

const SIZES: readonly Size[] = [
  // The same row: 1x1.
  { x: [2, 5, 3, 18], out: 22, clamp: "relu6" },
  { x: [2, 5, 3, 7], out: 10, clamp: "relu" },
  { x: [1, 1, 3, 9], out: 5 }, // fewer rows than a tile
  { x: [1, 40, 33, 8], out: 17 }, // more tiles than a workgroup has threads
  { x: [2, 5, 3, 18], out: 21, residual: true, clamp: "relu" },
  { x: [3, 5, 3, 6], out: 19, residual: true },
  { x: [2, 5, 3, 6], out: 19, residual: true, clamp: "gelu" },
  { x: [1, 5, 3, 12], out: 22, residual: true, carry: 3 },
  { x: [1, 5, 3, 12], out: 22, residual: true, carry: 8 },
  { x: [1, 2, 3, 12], out: 10, residual: true, carry: 1 },
  { x: [3, 5, 3, 12], out: 22, residual: true, carry: 6 }, // of the last frame
  { x: [2, 3, 5, 7], out: 10, kernel: 3, padding: pad(1), residual: true, carry: 10, clamp: "relu" }, // every channel
  // A window.
  { x: [2, 7, 5, 9], out: 20, stride: 2 },
  { x: [2, 5, 7, 6], out: 9, kernel: 3, padding: pad(1), clamp: "relu" },
  { x: [2, 4, 5, 5], out: 18, kernel: 3, padding: pad(1), residual: true },
  { x: [1, 8, 5, 5], out: 17, kernel: 3, stride: 2, padding: { top: 0, left: 1, bottom: 1, right: 0 }, clamp: "relu6" },
  { x: [2, 8, 7, 6], out: 9, kernel: 3, stride: 2, padding: samePadding(8, 7, 3, 2) },
  { x: [1, 11, 9, 3], out: 8, kernel: 7, stride: 2, padding: pad(3), clamp: "relu" },
  { x: [3, 1, 2, 5], out: 6, kernel: 3, padding: pad(1) }, // the window is larger than the frame
  { x: [1, 3, 4, 5], out: 6, padding: { top: 2, left: 0, bottom: 0, right: 1 } }, // rows of nothing but padding
  // A mirrored frame.
  { x: [2, 6, 8, 5], out: 9, kernel: 4, stride: 2, padding: pad(1), reflect: true, clamp: "relu" },
  { x: [2, 5, 4, 9], out: 6, kernel: 3, padding: pad(1), reflect: true },
  { x: [1, 2, 3, 6], out: 7, kernel: 3, padding: pad(1), reflect: true }, // mirrored at both sides of every pixel
  { x: [1, 5, 7, 3], out: 5, kernel: 7, padding: { top: 4, left: 3, bottom: 2, right: 6 }, reflect: true },
  // Shifted in a clip.
  { x: [5, 3, 2, 32], out: 18, shift: { mode: "both", fold: 4 }, clamp: "relu6" },
  { x: [4, 2, 3, 24], out: 18, shift: { mode: "both", fold: 8 } },
  { x: [4, 3, 2, 25], out: 18, shift: { mode: "both", fold: 3 } },
  { x: [3, 3, 2, 10], out: 17, shift: { mode: "both", fold: 5 } }, // every channel moves
  { x: [2, 3, 5, 9], out: 18, shift: { mode: "both", fold: 1 } },
  { x: [1, 3, 5, 16], out: 18, shift: { mode: "both", fold: 4 } }, // no neighbour
  { x: [4, 3, 2, 17], out: 18, shift: { mode: "past", fold: 4 } },
  { x: [3, 2, 5, 13], out: 18, shift: { mode: "past", fold: 3 } },
  { x: [6, 3, 2, 17], out: 18, shift: { mode: "both", fold: 4, frames: 3 } },
  { x: [4, 3, 2, 25], out: 18, shift: { mode: "past", fold: 3, frames: 2 } },
  // Shifted in a stream.
  { x: [1, 3, 5, 33], out: 18, shift: { mode: "past", fold: 4 }, stream: true },
  { x: [1, 5, 3, 25], out: 18, shift: { mode: "past", fold: 3 }, stream: true },
  { x: [1, 5, 3, 6], out: 19, shift: { mode: "past", fold: 5 }, stream: true },
  // Whole tiles of 32 channels.
  { x: [3, 7, 5, 11], out: 31, residual: true, carry: 6, clamp: "gelu" },
  { x: [2, 9, 7, 6], out: 62, kernel: 3, stride: 2, padding: pad(1), clamp: "relu" },
  { x: [5, 3, 4, 19], out: 30, shift: { mode: "both", fold: 3 }, clamp: "relu6" },
  { x: [1, 5, 9, 13], out: 32, shift: { mode: "past", fold: 3 }, stream: true },
  // For timing: layers of MobileNetV2 and ResNet-50 at 8x224.
  { x: [8, 56, 56, 24], out: 144, shift: { mode: "both", fold: 3 }, clamp: "relu6", bench: true },
  { x: [8, 14, 14, 384], out: 64, residual: true, bench: true },
  { x: [8, 7, 7, 320], out: 1280, clamp: "relu6", bench: true },
  { x: [8, 28, 28, 128], out: 128, kernel: 3, padding: pad(1), clamp: "relu", bench: true },
  { x: [8, 224, 224, 3], out: 64, kernel: 7, stride: 2, padding: pad(3), clamp: "relu", bench: true },
];

interface Part {
  readonly x: Shape4;
  readonly out: number;
  readonly kernel: number;
  readonly stride: number;
  /** Frames of x that are read, from `first` on; without `frames` all behind it. */
  readonly first: number;
  readonly frames?: number;
  /** Rows of the residual in front of each frame's pixels; without it there is no residual. */
  readonly lead?: number;
}

/** Some frames of a clip, and their pixels summed into tokens, as a patch embedding sums them. */
function embed({ x, out, kernel, stride, first, frames, lead }: Part): OpCase {
  const read: Shape4 = [frames ?? x[0] - first, x[1], x[2], x[3]];
  const window = { kernel, stride, padding: pad(0) };
  const pixels = windowShape(read, out, window);
  const plane = pixels[1] * pixels[2];
  const y = lead ? [pixels[0], lead + plane, out] : pixels;
  const where = lead ? `, behind ${lead} rows` : "";
  return opCase({
    op: "conv2d",
    title: `${kernel}x${kernel} s${stride} frames ${first} to ${first + read[0]} of [${x.join(", ")}] -> ${out}${where}`,
    weights: { "u.weight": [out, x[3], kernel, kernel], "u.bias": [out] },
    build(g) {
      const inputs = {
        x: g.input("x", tensor(...x)),
        ...unit(g, "u", { out, input: x[3], kernel, batchNorm: false, bias: true }),
        residual: lead ? g.input("residual", tensor(...y)) : undefined,
      };
      const attrs = { out, ...window, activation: LINEAR, first, ...(frames ? { frames } : {}), lead: lead ?? 0 };
      g.output("y", g.apply(conv2d, "conv", inputs, attrs).y!);
    },
    feeds: (random) => ({ x: random.normal(...x), ...(lead ? { residual: random.normal(...y) } : {}) }),
    expected({ x: all, residual }, weights) {
      const size = x[1] * x[2] * x[3];
      const data = all!.subarray(first * size, (first + read[0]) * size);
      const isPixel = (i: number) => Math.floor(i / out) % (plane + (lead ?? 0)) >= (lead ?? 0);
      const [w, bias] = [weights.get("u.weight")!, weights.get("u.bias")!];
      const behind = residual?.filter((_, i) => isPixel(i));
      const sums = convolve({ shape: read, data }, w, bias, out, window, { residual: behind });
      const expected = linear(y, sums.want, sums.magnitude, kernel * kernel * x[3]);
      if (!residual) return { y: expected };
      const tokens = exact(y, residual);
      for (let i = 0, pixel = 0; i < residual.length; i++) {
        if (!isPixel(i)) continue;
        tokens.want[i] = expected.want[pixel]!;
        tokens.allowed[i] = expected.allowed[pixel++]!;
      }
      return { y: tokens };
    },
  });
}

const PARTS: readonly Part[] = [
  { x: [5, 3, 4, 6], out: 10, kernel: 1, stride: 1, first: 2 },
  { x: [5, 3, 4, 6], out: 10, kernel: 1, stride: 1, first: 0, frames: 3 },
  { x: [4, 7, 5, 3], out: 9, kernel: 3, stride: 2, first: 1, frames: 2 },
  { x: [3, 8, 12, 3], out: 18, kernel: 4, stride: 4, first: 0, lead: 1 },
  { x: [3, 8, 12, 3], out: 21, kernel: 4, stride: 4, first: 1, frames: 2, lead: 2 },
  { x: [2, 3, 5, 7], out: 6, kernel: 1, stride: 1, first: 1, lead: 3 },
];

export const conv2dCases: readonly OpCase[] = [...SIZES.map(make), ...PARTS.map(embed)];
