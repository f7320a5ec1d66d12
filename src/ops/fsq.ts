import { fail } from "../core/fail.ts";
import { dispatch, flat } from "../core/kernel.ts";
import { defineOp } from "../core/op.ts";
import { channels, elements, product, quads, rows, shapeText, type TensorSpec } from "../core/tensor.ts";
import * as kernels from "../kernels.gen.ts";

export interface FsqAttrs {
  /** Levels of each channel, 2 or more; the first is the fastest digit. */
  readonly levels: readonly number[];
}

/** Codes that there are. @throws "graph" for levels below 2 and for more codes than f32 tells apart */
export function fsqCodes(levels: readonly number[]): number {
  const codes = product(levels);
  if (levels.length === 0 || levels.some((l) => !Number.isInteger(l) || l < 2) || codes > 2 ** 24)
    fail("graph", `levels [${levels.join(", ")}] make no code; give two or more each, and 2^24 codes at most`);
  return codes;
}

/** Value of a digit's place in the code: the product of the levels before it. */
export const fsqPlaces = (levels: readonly number[]): number[] => levels.map((_, i) => product(levels.slice(0, i)));

/**
 * Finite scalar quantisation, encoder side: z [..., digits] -> codes [..., 1], whole numbers in f32. `constants` holds four numbers a digit:
 * `fsqConstants` of src/models/codebooks.ts. Mentzer et al., "Finite scalar quantization: VQ-VAE made simple", ICLR 2024, section 3.1.
 */
export const fsq = defineOp<FsqAttrs>({
  name: "fsq",
  takes: ["z", "constants"],
  infer({ z, constants }, { levels }) {
    fsqCodes(levels);
    if (channels(z!) !== levels.length)
      fail(
        "graph",
        `${shapeText(z!)} has ${channels(z!)} channels for ${levels.length} levels; give one level a channel`,
      );
    if (elements(constants!) !== quads(levels.length) * 16)
      fail(
        "graph",
        `constants hold ${elements(constants!)} elements, ${levels.length} levels need ${quads(levels.length) * 16}`,
      );
    return { codes: { type: "f32", shape: [...z!.shape.slice(0, -1), 1] } satisfies TensorSpec };
  },
  lower({ z, constants, codes }, { levels }) {
    const count = rows(z!.spec);
    const places = fsqPlaces(levels);
    return [
      dispatch(kernels.fsq, {
        params: {
          rows: count,
          in4: quads(channels(z!.spec)),
          base: levels.reduce((sum, level, i) => sum + Math.floor(level / 2) * places[i]!, 0),
        },
        bind: { z: z!, levels: constants!, codes: codes! },
        groups: flat(count, kernels.fsq.consts.WG),
      }),
    ];
  },
});
