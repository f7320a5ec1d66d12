import { fail } from "../core/fail.ts";
import { dispatch, flat } from "../core/kernel.ts";
import { defineOp } from "../core/op.ts";
import { elements, quads, tensor } from "../core/tensor.ts";
import * as kernels from "../kernels.gen.ts";

export interface TokenAttrs {
  readonly frames: number;
  /** Tokens of a frame, the class token among them. */
  readonly tokens: number;
  /** Channels of a token. */
  readonly width: number;
}

/**
 * The positions of every frame, and the class token: y [frames, tokens, width] = pos[frame % periods, token] (+ cls where the token is 0).
 * The patches are summed into it afterwards (`lead` of {@link conv2d}). Weights: pos of periods * tokens * width stored elements; cls of width, if any.
 */
export const tokens = defineOp<TokenAttrs>({
  name: "tokens",
  takes: ["cls?", "pos"],
  infer({ cls, pos }, { frames, tokens: count, width }) {
    const stride = quads(width) * 4;
    if (cls && elements(cls) !== stride)
      fail("graph", `cls holds ${elements(cls)} elements, ${width} channels are stored as ${stride}`);
    if (elements(pos!) === 0 || elements(pos!) % (count * stride) !== 0)
      fail(
        "graph",
        `pos holds ${elements(pos!)} elements, ${count} tokens of ${width} are stored as ${count * stride}`,
      );
    return { y: tensor(frames, count, width) };
  },
  lower({ cls, pos, y }, { frames, tokens: count, width }) {
    const channels4 = quads(width);
    const frame = count * channels4;
    const total = frames * frame;
    return [
      dispatch(kernels.tokens, {
        consts: { CLS: cls !== undefined },
        params: { channels4, frame, period: elements(pos!.spec) / 4, total },
        bind: { cls: cls ?? null, pos: pos!, y: y! },
        groups: flat(total, kernels.tokens.consts.WG),
      }),
    ];
  },
});
