import { fail } from "../core/fail.ts";
import { defineOp } from "../core/op.ts";
import { channels, elements, extent, quads, rows, shapeText, type TensorSpec, tensor } from "../core/tensor.ts";
import { type Activation, type Axes, matmulDispatch, packedLength } from "./matmul.ts";

/** A transposed convolution's window, as PyTorch's ConvTranspose3d counts it. */
export interface TransposedWindow {
  readonly kernel: Axes;
  /** Output positions for one of the input, in each axis. */
  readonly stride: Axes;
  /** Positions that are cut off in front of the output; behind it is cut or kept what makes its extents `stride` times the input's. */
  readonly padding: Axes;
}

export interface ConvTransposeAttrs extends TransposedWindow {
  /** Output channels. */
  readonly out: number;
  readonly activation: Activation;
}

const product = ([a, b, c]: Axes): number => a * b * c;
const axes = (of: (axis: 0 | 1 | 2) => number): Axes => [of(0), of(1), of(2)];

/**
 * The phases of a transposed convolution: output position stride * i + phase of an axis is the sum over taps t in [0, taps) of
 * x[i + first(phase) + t] * w[phase + padding - stride * (first(phase) + t)], where w is zero beyond its ends.
 */
export interface Phases {
  readonly count: number;
  /** Taps of a phase in each axis. */
  readonly taps: Axes;
  /** Where the window of a phase begins, in positions of the input. */
  first(axis: 0 | 1 | 2, phase: number): number;
}

export function phasesOf({ kernel, stride, padding }: TransposedWindow): Phases {
  return {
    count: product(stride),
    taps: axes((a) => Math.ceil(kernel[a] / stride[a])),
    first: (a, phase) => Math.floor((phase + padding[a] - kernel[a]) / stride[a]) + 1,
  };
}

/** Stored elements of a transposed convolution's weights: 4x4 blocks [phases, out/4, taps, in/4]. */
export const transposedLength = (window: TransposedWindow, input: number, out: number): number => {
  const { count, taps } = phasesOf(window);
  return count * packedLength(out, product(taps) * quads(input));
};

/**
 * Transposed convolution over [frames, height, width, in] with bias and activation, every extent times its stride; no output position
 * is written twice and nothing is spread: each phase of the output is a small convolution of its own (see kernels/matmul.wgsl).
 * w is packed 4x4 blocks [phases, out/4, taps, in/4], bias [phases, out]: src/models/filters.ts packs both. Zeros stand beyond the edges.
 *
 * Three more layers are transposed convolutions with other weights, exactly: nearest upsampling and a convolution (Odena et al.,
 * "Deconvolution and checkerboard artifacts", 2016), a convolution and a pixel shuffle (Shi et al., "Is the deconvolution layer the same as a convolutional layer?",
 * 2016), and frames grown out of channels.
 */
export const convTranspose = defineOp<ConvTransposeAttrs>({
  name: "convTranspose",
  takes: ["x", "w", "bias"],
  infer({ x, w, bias }, attrs) {
    if (x!.shape.length !== 4)
      fail("graph", `a transposed convolution needs [frames, height, width, channels], got ${shapeText(x!)}`);
    const { out, kernel, stride, padding } = attrs;
    for (const a of [0, 1, 2] as const) {
      const whole = [kernel[a], stride[a], padding[a]].every(Number.isInteger);
      if (!whole || stride[a] < 1 || kernel[a] < 1 || padding[a] < 0 || padding[a] >= kernel[a])
        fail(
          "graph",
          `a window of ${kernel.join("x")}, stride ${stride.join("x")}, cannot be cut by ${padding.join("x")}; cut less than the window`,
        );
    }
    const want = transposedLength(attrs, channels(x!), out);
    if (w!.shape[0] !== want)
      fail(
        "graph",
        `w holds ${w!.shape[0]} packed elements, ${kernel.join("x")} stride ${stride.join("x")} ${channels(x!)} -> ${out} needs ${want}`,
      );
    const biases = product(stride) * quads(out) * 4;
    if (bias!.shape[0] !== biases)
      fail(
        "graph",
        `bias holds ${bias!.shape[0]} elements, ${product(stride)} phases of ${out} channels need ${biases}`,
      );
    return { y: outputOf(x!, attrs) };
  },
  lower({ x, w, bias, y }, { activation, ...window }, caps) {
    const { kernel, stride, padding } = window;
    const { taps } = phasesOf(window);
    const { spec } = x!;
    // first(phase) = floor((phase + begin) / stride), for the kernel as a sum without a sign: (phase + offset) / stride - before.
    const begin = axes((a) => padding[a] - kernel[a] + stride[a]);
    const before = axes((a) => -Math.floor(begin[a] / stride[a]));
    return [
      matmulDispatch(
        { x: x!, w: w!, bias: bias!, y: y! },
        activation,
        {
          load: "VOLUME",
          taps: product(taps),
          blocks: product(taps) * quads(channels(spec)),
          rows: rows(spec),
          window: {
            kernel: taps,
            stride,
            before,
            offset: axes((a) => begin[a] + before[a] * stride[a]),
            input: spec,
            plane: [extent(spec, 1), extent(spec, 2)],
          },
        },
        caps,
      ),
    ];
  },
  // Taps that meet an input, a window's worth of them for each position of it: what the phases leave out is no work.
  macs: ({ x }, { y }, attrs) => elements(y!) * channels(x!) * product(phasesOf(attrs).taps),
});

const outputOf = (x: TensorSpec, { out, stride }: ConvTransposeAttrs): TensorSpec =>
  tensor(extent(x, 0) * stride[0], extent(x, 1) * stride[1], extent(x, 2) * stride[2], out);
