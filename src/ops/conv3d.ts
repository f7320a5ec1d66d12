import { fail } from "../core/fail.ts";
import { defineOp } from "../core/op.ts";
import { channels, elements, extent, quads, rows, shapeText, type TensorSpec, tensor } from "../core/tensor.ts";
import { checkCarry, checkEdge, type Padding, slide, stateSpec } from "./conv2d.ts";
import {
  type Activation,
  type Axes,
  checkStore,
  type Edge,
  type Gather,
  matmulDispatch,
  packedLength,
} from "./matmul.ts";

/** Positions around a clip that the window sees: frames in front of the first and behind the last, and pixels. */
export interface Padding3d extends Padding {
  readonly front: number;
  readonly back: number;
}

export interface Conv3dAttrs {
  /** Output channels. */
  readonly out: number;
  readonly kernel: Axes;
  readonly stride: Axes;
  readonly padding: Padding3d;
  /** What stands in the padding of a frame. Default zeros. Frames beyond the clip are zeros, or `past`. */
  readonly edge?: Edge;
  readonly activation: Activation;
}

function shapeOf(x: TensorSpec, { out, kernel, stride, padding }: Conv3dAttrs): TensorSpec {
  if (x.shape.length !== 4) fail("graph", `a window needs [frames, height, width, channels], got ${shapeText(x)}`);
  const { front, back, top, bottom, left, right } = padding;
  return tensor(
    slide(extent(x, 0), kernel[0], stride[0], front, back),
    slide(extent(x, 1), kernel[1], stride[1], top, bottom),
    slide(extent(x, 2), kernel[2], stride[2], left, right),
    out,
  );
}

const taps = (kernel: Axes): number => kernel[0] * kernel[1] * kernel[2];

/**
 * Convolution over a clip [frames, height, width, in] through space and time, with bias, residual and activation in the same kernel; w is
 * packed [out/4, taps, in/4] blocks of 4x4, taps in frame, row, column order.
 * In a stream x is the next frames of a clip, one or more, and the state `past` [1, height, width, in] stands for the frame in front
 * of them: `padding.front` is 1, and the sums are those of the whole clip in the same order. What keeps x's last frame for the next
 * call is the `carry` of a later convolution whose residual x is. `carry` here, given with `residual`, keeps the residual's last frame.
 */
export const conv3d = defineOp<Conv3dAttrs>({
  name: "conv3d",
  takes: ["x", "w", "bias", "residual?", "past?", "carry?"],
  inPlace: { y: "residual" },
  infer({ x, w, bias, residual, past, carry }, attrs) {
    const { out, kernel, padding, edge } = attrs;
    const y = shapeOf(x!, attrs);
    checkEdge(x!, padding, edge);
    const want = packedLength(out, taps(kernel) * quads(channels(x!)));
    if (w!.shape[0] !== want)
      fail(
        "graph",
        `w holds ${w!.shape[0]} packed elements, ${kernel.join("x")} ${channels(x!)} -> ${out} needs ${want}`,
      );
    checkStore(y, bias!, residual);
    if (carry) checkCarry(y, carry, residual, past);
    if (past && padding.front !== 1)
      fail("graph", `a past is one frame in front of x, and the padding there is ${padding.front}; make it 1`);
    if (past && shapeText(past) !== shapeText(stateSpec(x!, channels(x!))))
      fail("graph", `the state ${shapeText(past)} must be ${shapeText(stateSpec(x!, channels(x!)))}`);
    return { y };
  },
  lower({ x, w, bias, y, residual, past, carry }, attrs, caps) {
    const values = { x: x!, w: w!, bias: bias!, y: y!, residual, past, carry };
    return [matmulDispatch(values, attrs.activation, gather(attrs, x!.spec, y!.spec), caps)];
  },
  macs: ({ x }, { y }, { kernel }) => elements(y!) * channels(x!) * taps(kernel),
});

function gather({ kernel, stride, padding, edge }: Conv3dAttrs, input: TensorSpec, output: TensorSpec): Gather {
  const plane = [extent(output, 1), extent(output, 2)] as const;
  // Frame by frame it is a convolution in the plane, which needs no time axis.
  const flat = kernel[0] === 1 && stride[0] === 1 && padding.front === 0 && padding.back === 0;
  return {
    load: flat ? "WINDOW" : "VOLUME",
    taps: taps(kernel),
    blocks: taps(kernel) * quads(channels(input)),
    rows: rows(output),
    frameRows: plane[0] * plane[1],
    window: { kernel, stride, before: [padding.front, padding.top, padding.left], edge, input, plane },
  };
}
