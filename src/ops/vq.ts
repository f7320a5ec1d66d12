import { fail } from "../core/fail.ts";
import { dispatch, flat } from "../core/kernel.ts";
import { defineOp } from "../core/op.ts";
import { channels, elements, quads, rows, shapeText, type TensorSpec } from "../core/tensor.ts";
import * as kernels from "../kernels.gen.ts";

export interface VqAttrs {
  /** Codes in a codebook, at most 2^24: f32 holds them exactly. */
  readonly codes: number;
  readonly codebooks: number;
  /** Which channels a codebook of several reads: its own run of them (default), or, of m codebooks, every m-th (the paper's released code). */
  readonly split?: "contiguous" | "strided";
}

/** Fours of channels that one codebook reads. @throws "graph" when the channels cannot be split so */
export function vqPart(input: number, { codebooks, split = "contiguous" }: VqAttrs): number {
  if (!Number.isInteger(input / codebooks))
    fail("graph", `${input} channels do not split over ${codebooks} codebooks; make them a multiple`);
  if (codebooks === 1 || split === "strided") return quads(input);
  if ((input / codebooks) % 4 !== 0)
    fail("graph", `a codebook of ${input / codebooks} channels beside others ends inside a four; use a multiple of 4`);
  return input / codebooks / 4;
}

/**
 * Vector quantisation, encoder side: z [..., channels] -> codes [..., codebooks], the nearest code of each codebook as a whole number in f32; the
 * lowest of equals. w holds -2 e in 4x4 blocks [codebooks, codes/4, part/4], norms |e|^2 [codebooks, codes/4]: `vqWeights` of
 * src/models/codebooks.ts packs both. van den Oord et al., "Neural discrete representation learning", 2017, eq. 1.
 */
export const vq = defineOp<VqAttrs>({
  name: "vq",
  takes: ["z", "w", "norms"],
  infer({ z, w, norms }, attrs) {
    const { codes, codebooks } = attrs;
    if (!Number.isInteger(codes) || codes < 1 || codes > 2 ** 24)
      fail("graph", `a codebook of ${codes} codes; from 1 to 2^24 can be told apart`);
    const blocks = codebooks * quads(codes);
    const want = blocks * vqPart(channels(z!), attrs) * 16;
    if (elements(w!) !== want || elements(norms!) !== blocks * 4)
      fail(
        "graph",
        `w holds ${elements(w!)} and norms ${elements(norms!)} elements; ${codebooks} codebooks of ${codes} for ${shapeText(z!)} need ${want} and ${blocks * 4}`,
      );
    return { codes: { type: "f32", shape: [...z!.shape.slice(0, -1), codebooks] } satisfies TensorSpec };
  },
  lower({ z, w, norms, codes }, attrs, caps) {
    const count = rows(z!.spec);
    const part4 = vqPart(channels(z!.spec), attrs);
    const out = quads(attrs.codebooks) * 4;
    // On a GPU one vector a thread fills the machine from 1,024 sites on, a small picture; more share their codes' loads.
    const ROWS = caps.kind === "cpu" ? 4 : count * out >= 65536 ? 4 : 1;
    return [
      dispatch(kernels.vq, {
        consts: { ROWS },
        params: {
          rows: count,
          codes4: quads(attrs.codes),
          in4: quads(channels(z!.spec)),
          part4,
          step4: attrs.split === "strided" ? 0 : part4,
          books: attrs.codebooks,
          out,
        },
        bind: { z: z!, w: w!, norms: norms!, codes: codes! },
        groups: flat(Math.ceil(count / ROWS) * out, kernels.vq.consts.WG),
      }),
    ];
  },
  macs: ({ z }, { codes }, attrs) => (elements(codes!) * attrs.codes * channels(z!)) / attrs.codebooks,
});
