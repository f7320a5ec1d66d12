import { fail } from "../core/fail.ts";
import { dispatch, flat } from "../core/kernel.ts";
import { defineOp } from "../core/op.ts";
import { channels, elements, extent, quads } from "../core/tensor.ts";
import * as kernels from "../kernels.gen.ts";
import { type Padding, slideShape } from "./conv2d.ts";
import { type Clamp, checkStore } from "./matmul.ts";

export interface DepthwiseAttrs {
  readonly stride: 1 | 2;
  readonly padding: Padding;
  readonly activation: Clamp;
}

/** Depthwise 3x3 convolution over [frames, height, width, channels] with bias and clamp; w is packed [3, 3, channels]. */
export const depthwise = defineOp<DepthwiseAttrs>({
  name: "depthwise",
  takes: ["x", "w", "bias"],
  infer({ x, w, bias }, { stride, padding }) {
    const c = channels(x!);
    const y = slideShape(x!, c, 3, stride, padding);
    if (w!.shape[0] !== 9 * quads(c) * 4)
      fail("graph", `w holds ${w!.shape[0]} packed elements, 3x3 over ${c} channels needs ${9 * quads(c) * 4}`);
    checkStore(y, bias!, undefined);
    return { y };
  },
  lower({ x, w, bias, y }, { stride, padding, activation }, caps) {
    const [HEIGHT, WIDTH] = caps.kind === "cpu" ? [2, 4] : [1, 4];
    const channels4 = quads(channels(x!.spec));
    const [frames, height, width] = [extent(y!.spec, 0), extent(y!.spec, 1), extent(y!.spec, 2)];
    return [
      dispatch(kernels.depthwise, {
        consts: { STRIDE: stride, HEIGHT, WIDTH },
        params: {
          channels4,
          frames,
          in_height: extent(x!.spec, 1),
          in_width: extent(x!.spec, 2),
          out_height: height,
          out_width: width,
          pad_top: padding.top,
          pad_left: padding.left,
          low: activation.low,
          high: activation.high,
        },
        bind: { x: x!, w: w!, bias: bias!, y: y! },
        groups: flat(
          frames * Math.ceil(height / HEIGHT) * Math.ceil(width / WIDTH) * channels4,
          kernels.depthwise.consts.WG,
        ),
      }),
    ];
  },
  macs: (_inputs, { y }) => elements(y!) * 9,
});
