import { fail } from "../core/fail.ts";
import type { Value } from "../core/graph.ts";
import { type Dispatch, dispatch, flat } from "../core/kernel.ts";
import { type Caps, defineOp } from "../core/op.ts";
import { channels, quads, rows, shapeText, type TensorSpec } from "../core/tensor.ts";
import * as kernels from "../kernels.gen.ts";

/** Bounds of an activation: linear, ReLU and ReLU6 are one clamp. */
export interface Clamp {
  readonly low: number;
  readonly high: number;
}

/** x times the normal distribution's share below x (Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016). */
export interface Gelu {
  /** `erf`: the definition, erf off by at most 2e-7; `tanh`: the paper's approximation, another function by up to 5e-4. */
  readonly gelu: "erf" | "tanh";
}

/** What happens to a sum before it is stored. */
export type Activation = Clamp | Gelu;

/** Largest finite f32: a clamp that does nothing. */
const LARGEST = 3.4028234e38;
export const LINEAR: Clamp = { low: -LARGEST, high: LARGEST };
export const RELU: Clamp = { low: 0, high: LARGEST };
export const RELU6: Clamp = { low: 0, high: 6 };
export const GELU: Gelu = { gelu: "erf" };
export const GELU_TANH: Gelu = { gelu: "tanh" };

/** What the load side of the matmul kernel needs to know beyond the extents. */
export interface Gather {
  readonly load: "SAME" | "WINDOW" | "CLIP" | "STREAM";
  readonly taps: number;
  /** Fours of channels over all taps. */
  readonly blocks: number;
  /** Rows that are computed. */
  readonly rows: number;
  /** Rows of a frame. Default: they are all of one. */
  readonly frameRows?: number;
  /** Rows of x before the first that is read. */
  readonly skip?: number;
  /** Rows of y in front of each frame's, which are not written. */
  readonly lead?: number;
  readonly window?: {
    readonly kernelWidth: number;
    readonly stride: number;
    readonly padTop: number;
    readonly padLeft: number;
    readonly input: TensorSpec;
    readonly output: TensorSpec;
  };
  readonly shift?: {
    readonly next: number;
    readonly past: number;
    readonly frames: number;
  };
}

/** Values that the matmul kernel binds. `y` holds the residual where `residual` is set. */
export interface MatmulValues {
  readonly x: Value;
  readonly w: Value;
  readonly bias: Value;
  readonly y: Value;
  readonly residual?: Value | undefined;
  /** The frame before, read by the shift of a stream. */
  readonly past?: Value | undefined;
  /** Written with the first channels of the residual. */
  readonly carry?: Value | undefined;
}

/** Register tile: [rows, groups of 4 columns] of a thread. Large tiles pay where loads are dear (CPU adapters), and spill on GPUs. */
function tile(count: number, out4: number, caps: Caps): readonly [number, number] {
  if (count < 8) return [1, 1];
  if (caps.kind === "gpu") return [4, 2];
  return out4 >= 4 ? [8, 4] : [8, 2];
}

/** One dispatch of the matmul kernel: the only place that knows its params. */
export function matmulDispatch(v: MatmulValues, activation: Activation, gather: Gather, caps: Caps): Dispatch {
  const count = gather.rows;
  const out4 = quads(channels(v.y.spec));
  const { CLAMP, GELU, GELU_TANH } = kernels.matmul.consts;
  const clamp = "gelu" in activation ? LINEAR : activation;
  const [ROWS, COLS] = tile(count, out4, caps);
  const { window, shift } = gather;
  return dispatch(kernels.matmul, {
    consts: {
      LOAD: kernels.matmul.consts[gather.load],
      RESIDUAL: v.residual !== undefined,
      CARRY: v.carry !== undefined,
      LEAD: (gather.lead ?? 0) > 0,
      ACTIVATION: "gelu" in activation ? (activation.gelu === "erf" ? GELU : GELU_TANH) : CLAMP,
      ROWS,
      COLS,
    },
    params: {
      rows: count,
      out4,
      in4: quads(channels(v.x.spec)),
      taps: gather.taps,
      blocks: gather.blocks,
      kernel_width: window?.kernelWidth ?? 1,
      stride: window?.stride ?? 1,
      pad_top: window?.padTop ?? 0,
      pad_left: window?.padLeft ?? 0,
      in_height: window ? window.input.shape[1]! : 1,
      in_width: window ? window.input.shape[2]! : 1,
      out_height: window ? window.output.shape[1]! : 1,
      out_width: window ? window.output.shape[2]! : 1,
      next: shift?.next ?? 0,
      past: shift?.past ?? 0,
      frame_rows: gather.frameRows ?? count,
      frames: shift?.frames ?? 1,
      state4: quads(channels((v.past ?? v.carry ?? v.y).spec)),
      skip: gather.skip ?? 0,
      lead: gather.lead ?? 0,
      low: clamp.low,
      high: clamp.high,
    },
    bind: { x: v.x, w: v.w, bias: v.bias, y: v.y, state: v.past ?? v.carry ?? null },
    groups: flat(Math.ceil(count / ROWS) * Math.ceil(out4 / COLS), kernels.matmul.consts.WG),
    ...(caps.halfWeights && v.w.kind === "weight" ? { retype: { w: "array<mat4x4h>" } } : {}),
  });
}

/** Stored elements of packed weights: 4x4 blocks [out / 4, blocks]. */
export const packedLength = (out: number, blocks: number): number => quads(out) * blocks * 16;

export interface MatmulAttrs {
  /** Output channels. */
  readonly out: number;
  readonly activation: Activation;
}

/** y[m, n] = activation(sum over k of x[m, k] * w[n, k] + bias[n] (+ residual[m, n])): a linear layer; x is [..., in], y [..., out]. */
export const matmul = defineOp<MatmulAttrs>({
  name: "matmul",
  takes: ["x", "w", "bias", "residual?"],
  inPlace: { y: "residual" },
  infer({ x, w, bias, residual }, { out }) {
    const y: TensorSpec = { type: "f32", shape: [...x!.shape.slice(0, -1), out] };
    const want = packedLength(out, quads(channels(x!)));
    if (w!.shape.reduce((a, b) => a * b, 1) !== want)
      fail(
        "graph",
        `w holds ${w!.shape.reduce((a, b) => a * b, 1)} packed elements, ${channels(x!)} -> ${out} channels need ${want}`,
      );
    checkStore(y, bias!, residual);
    return { y };
  },
  lower: ({ x, w, bias, y, residual }, { activation }, caps) => [
    matmulDispatch(
      { x: x!, w: w!, bias: bias!, y: y!, residual },
      activation,
      { load: "SAME", taps: 1, blocks: quads(channels(x!.spec)), rows: rows(y!.spec) },
      caps,
    ),
  ],
  macs: ({ x }, { y }) => rows(y!) * channels(y!) * channels(x!),
});

/** Bias and residual must fit the output. */
export function checkStore(y: TensorSpec, bias: TensorSpec, residual: TensorSpec | undefined): void {
  if (bias.shape[0] !== quads(channels(y)) * 4)
    fail(
      "graph",
      `bias holds ${bias.shape[0]} elements, ${channels(y)} channels are stored as ${quads(channels(y)) * 4}`,
    );
  if (residual && shapeText(residual) !== shapeText(y))
    fail("graph", `residual ${shapeText(residual)} cannot be added to ${shapeText(y)}; make the shapes equal`);
}
