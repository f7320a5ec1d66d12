import { fail } from "../core/fail.ts";
import type { Value } from "../core/graph.ts";
import { type Dispatch, dispatch, flat, type Kernel, type ParamValue } from "../core/kernel.ts";
import { type Caps, defineOp } from "../core/op.ts";
import { channels, elements, quads, roundUp, rows, shapeText, type TensorSpec } from "../core/tensor.ts";
import * as kernels from "../kernels.gen.ts";
import { BODIES, type Body, chooseBody, matrixTile, tileExtent, workgroups } from "./matmul_body.ts";

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

/** A number for each axis of a clip. */
export type Axes = readonly [frames: number, height: number, width: number];

/** What a window sees beyond a frame's edges: zeros, or the frame mirrored at its border pixels, which are not repeated. */
export type Edge = "zeros" | "reflect";

/** What the load side of the matmul kernel needs to know beyond the extents. */
export interface Gather {
  readonly load: "SAME" | "WINDOW" | "CLIP" | "STREAM" | "VOLUME";
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
    readonly kernel: Axes;
    readonly stride: Axes;
    /** Positions in front of the input that the window sees. */
    readonly before: Axes;
    readonly edge?: Edge | undefined;
    readonly input: TensorSpec;
    /** Height and width of the output; of a phase. */
    readonly plane: readonly [height: number, width: number];
    /** A transposed convolution: `stride` phases, see the kernel for where a phase's window begins. */
    readonly offset?: Axes | undefined;
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
  /** The frame before, read by the shift of a stream, or by a window with a time axis. */
  readonly past?: Value | undefined;
  /** Written with the first channels of the residual. */
  readonly carry?: Value | undefined;
}

/** Threads of a workgroup: a processor's cores share a small product only if it makes several workgroups. */
const WORKGROUP = { cpu: 16, gpu: kernels.matmul.consts.WG };

/**
 * Multiply-accumulates of all runs from which tiles of twice the size, and again of twice, are worth the time that they take to compile,
 * which doubles too: about 0.5 and 4 s of a software adapter on two cores.
 */
const LARGE = 1e9;
const HUGE = 8e9;

/**
 * Register tile: [rows, groups of 4 columns] of a thread. Large tiles pay where loads are dear (CPU adapters), and spill on GPUs. In quads,
 * which load a quarter of the weights, half the tile is as fast in a small graph, and tiles are better wide than high.
 */
function tile(count: number, out4: number, quad: boolean, { kind, macs = 0 }: Caps): readonly [number, number] {
  if (count < 8) return [1, 1];
  if (kind === "gpu") return [4, 2];
  if (quad && macs >= HUGE && out4 % 8 === 0) return [8, 8];
  return [quad && macs < LARGE ? 4 : 8, out4 >= 4 ? 4 : 2];
}

const ONES: Axes = [1, 1, 1];
const ZEROS: Axes = [0, 0, 0];

/** One dispatch of a kernel of the matmul family: the only place that knows its params. */
export function matmulDispatch(v: MatmulValues, activation: Activation, gather: Gather, caps: Caps): Dispatch {
  const count = gather.rows;
  const out4 = quads(channels(v.y.spec));
  const { CLAMP, GELU, GELU_TANH } = kernels.matmul.consts;
  const clamp = "gelu" in activation ? LINEAR : activation;
  const { window, shift } = gather;
  const [kernel, stride, before] = window ? [window.kernel, window.stride, window.before] : [ONES, ONES, ZEROS];
  const offset = window?.offset;
  const phases = offset ? stride[0] * stride[1] * stride[2] : 1;
  const form = v.w.kind === "weight" ? (caps.weights ?? "f32") : "f32";
  const kept = form === "f32" ? {} : { kept: { w: { form, blocks: gather.blocks } } };
  const consts = {
    RESIDUAL: v.residual !== undefined,
    CARRY: v.carry !== undefined,
    LEAD: (gather.lead ?? 0) > 0,
    REFLECT: window?.edge === "reflect",
    PAST: gather.load === "VOLUME" && v.past !== undefined,
    PHASES: offset !== undefined,
    ACTIVATION: "gelu" in activation ? (activation.gelu === "erf" ? GELU : GELU_TANH) : CLAMP,
  };
  const packed = { UNPACKED: form === "unpacked", INT8: form === "int8" };
  const params = {
    rows: count,
    out4,
    in4: quads(channels(v.x.spec)),
    taps: gather.taps,
    blocks: gather.blocks,
    kernel_width: kernel[2],
    kernel_height: kernel[1],
    stride_frames: stride[0],
    stride_height: stride[1],
    stride_width: stride[2],
    pad_front: before[0],
    pad_top: before[1],
    pad_left: before[2],
    in_height: window ? window.input.shape[1]! : 1,
    in_width: window ? window.input.shape[2]! : 1,
    out_height: window ? window.plane[0] : 1,
    out_width: window ? window.plane[1] : 1,
    phases,
    offset_frames: offset?.[0] ?? 0,
    offset_height: offset?.[1] ?? 0,
    offset_width: offset?.[2] ?? 0,
    next: shift?.next ?? 0,
    past: shift?.past ?? 0,
    frame_rows: gather.frameRows ?? count,
    frames: shift?.frames ?? window?.input.shape[0] ?? 1,
    state4: quads(channels((v.past ?? v.carry ?? v.y).spec)),
    skip: gather.skip ?? 0,
    lead: gather.lead ?? 0,
    low: clamp.low,
    high: clamp.high,
  };
  const bind = { x: v.x, w: v.w, bias: v.bias, y: v.y, state: v.past ?? v.carry ?? null };
  const product = { load: gather.load, rows: count, phases, out4, blocks: gather.blocks, form };
  const body: Body = BODIES[chooseBody(product, caps)];
  if (body.kernel === "tile") {
    const matmulTile = kernels.matmulTile; // by name: a namespace that is taken apart brings every kernel into a page
    return dispatch(matmulTile, {
      consts: {
        ...consts,
        LOAD: matmulTile.consts[gather.load],
        ...packed,
        HALVES: form === "arithmetic",
        ...body.tile,
      },
      params: only(matmulTile, params),
      bind,
      groups: flat(workgroups(product, tileExtent(body.tile)), 1),
      retype: TILE_TYPES[form],
      ...kept,
    });
  }
  const matrix = body.kernel === "matrix" ? matrixTile(body.extent, form, caps) : null;
  if (body.kernel === "matrix" && matrix) {
    const matmulSubgroupMatrix = kernels.matmulSubgroupMatrix;
    return dispatch(matmulSubgroupMatrix, {
      consts: { ...consts, LOAD: matmulSubgroupMatrix.consts[gather.load], ...matrix.consts },
      params: only(matmulSubgroupMatrix, params),
      bind,
      groups: flat(workgroups(product, body.extent), 1),
      retype: {
        ...(form === "f32" ? {} : { w: "array<vec4h>" }),
        ...(matrix.component === "f16" ? { Component: "f16", Four: "vec4h" } : {}),
      },
      ...kept,
    });
  }
  const able = caps.kind === "cpu" && caps.subgroups && (form === "f32" || form === "int8");
  const [ROWS, COLS] = (body.kernel === "registers" && body.tile) || tile(count, out4, able, caps);
  const QUAD = able && ROWS > 1;
  const WG = WORKGROUP[caps.kind];
  const tiles = Math.ceil(count / ROWS);
  return dispatch(kernels.matmul, {
    consts: {
      ...consts,
      LOAD: kernels.matmul.consts[gather.load],
      ...packed,
      CHAINED: caps.kind === "gpu" && form !== "arithmetic",
      QUAD,
      ROWS,
      COLS,
      WG,
    },
    params,
    bind,
    groups: flat(phases * (QUAD ? roundUp(tiles, 4) : tiles) * Math.ceil(out4 / COLS), WG),
    retype: BLOCK_TYPES[form],
    ...kept,
  });
}

/** Types of weights, 4x4 blocks in the register body, their columns in the tile body; in `arithmetic` of the other operand too. */
const BLOCK_TYPES = {
  f32: {},
  native: { w: "array<mat4x4h>" },
  unpacked: { w: "array<array<vec4u, 2>>" },
  arithmetic: { w: "array<mat4x4h>", Block: "mat4x4h", Four: "vec4h" },
  int8: { w: "array<array<vec4u, 1>>" },
} as const;
const TILE_TYPES = {
  f32: {},
  native: { w: "array<vec4h>" },
  unpacked: { w: "array<array<u32, 2>>" },
  arithmetic: { w: "array<vec4h>", Four: "vec4h" },
  int8: { w: "array<array<u32, 1>>" },
} as const;

/** Those of `params` that a kernel has. */
const only = <K extends Kernel>(kernel: K, params: { readonly [P in keyof K["params"]]: ParamValue }) =>
  Object.fromEntries(Object.entries(params).filter(([name]) => kernel.params[name])) as typeof params;

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
    if (elements(w!) !== want)
      fail("graph", `w holds ${elements(w!)} packed elements, ${channels(x!)} -> ${out} channels need ${want}`);
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
