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

/** Threads that keep an adapter busy: beyond them a strip of the output grows taller, and loads fewer lines twice. */
const ENOUGH = { cpu: 2 ** 9, gpu: 2 ** 17 };

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
    const channels4 = quads(channels(x!.spec));
    const [frames, height, width] = [extent(y!.spec, 0), extent(y!.spec, 1), extent(y!.spec, 2)];
    // With stride 2 neighbours share less, and a compiler takes as long for 2 pixels as for 4 with stride 1.
    const WIDTH = caps.kind === "cpu" && stride === 2 ? 2 : 4;
    const columns = frames * Math.ceil(width / WIDTH) * channels4;
    const strip = Math.ceil(height / Math.min(height, Math.ceil(ENOUGH[caps.kind] / columns)));
    return [
      dispatch(kernels.depthwise, {
        consts: { STRIDE: stride, WIDTH },
        params: {
          channels4,
          frames,
          in_height: extent(x!.spec, 1),
          in_width: extent(x!.spec, 2),
          out_height: height,
          out_width: width,
          pad_top: padding.top,
          pad_left: padding.left,
          strip,
          low: activation.low,
          high: activation.high,
        },
        bind: { x: x!, w: w!, bias: bias!, y: y! },
        groups: flat(columns * Math.ceil(height / strip), kernels.depthwise.consts.WG),
      }),
    ];
  },
  macs: (_inputs, { y }) => elements(y!) * 9,
});
