import { fail } from "../core/fail.ts";
import { dispatch, flat } from "../core/kernel.ts";
import { defineOp } from "../core/op.ts";
import { channels, elements, quads, rows } from "../core/tensor.ts";
import * as kernels from "../kernels.gen.ts";

export interface LayerNormAttrs {
  /** Added to the variance: 1e-5 in PyTorch's default, 1e-6 in timm's vision transformers. */
  readonly epsilon: number;
}

/**
 * Layer norm over the last axis: y = (x - mean) / sqrt(variance + epsilon) * scale + shift, x and y [..., width].
 * The variance is the mean square distance from the mean, not unbiased (Ba et al., "Layer Normalization", 2016). Weights: scale and shift of width
 * stored elements.
 */
export const layerNorm = defineOp<LayerNormAttrs>({
  name: "layerNorm",
  takes: ["x", "scale", "shift"],
  infer({ x, scale, shift }, { epsilon }) {
    const want = quads(channels(x!)) * 4;
    for (const [name, spec] of Object.entries({ scale: scale!, shift: shift! }))
      if (elements(spec) !== want)
        fail("graph", `${name} holds ${elements(spec)} elements, ${channels(x!)} channels are stored as ${want}`);
    if (!(epsilon > 0))
      fail("graph", `layer norm divides by the root of variance + epsilon; ${epsilon} is not positive`);
    return { y: x! };
  },
  lower({ x, scale, shift, y }, { epsilon }, caps) {
    const count = rows(x!.spec);
    const d = {
      params: { rows: count, channels: channels(x!.spec), channels4: quads(channels(x!.spec)), epsilon },
      bind: { x: x!, scale: scale!, shift: shift!, y: y! },
    };
    if (caps.kind === "gpu") return [dispatch(kernels.layerNormWide, { ...d, groups: flat(count, 1) })];
    return [dispatch(kernels.layerNorm, { ...d, groups: flat(count, kernels.layerNorm.consts.WG) })];
  },
});
