import { fail } from "../core/fail.ts";
import { dispatch, flat } from "../core/kernel.ts";
import { defineOp } from "../core/op.ts";
import { channels, elements, extent, quads, rows, shapeText, type TensorSpec, tensor } from "../core/tensor.ts";
import * as kernels from "../kernels.gen.ts";
import type { Clamp } from "./matmul.ts";

/** Pixels of a frame. */
const pixelsOf = (x: TensorSpec): number => rows(x) / extent(x, 0);

/** Pixels of a piece: as many as there are pieces, so that adding up is no longer than what is added up. */
const spanOf = (x: TensorSpec): number => Math.ceil(Math.sqrt(pixelsOf(x)));
const piecesOf = (x: TensorSpec): number => Math.ceil(pixelsOf(x) / spanOf(x));

const layout = (x: TensorSpec, groups: number) => ({
  pixels: pixelsOf(x),
  channels4: quads(channels(x)),
  groups,
  span: spanOf(x),
  pieces: piecesOf(x),
});

export interface GroupMomentsAttrs {
  /** Groups of channels, of a multiple of 4 channels each. */
  readonly groups: number;
}

/**
 * The first half of group norm: x [frames, ..., channels] -> [frames, pieces, 4 * groups], for each piece of a frame and group of channels
 * the count, the mean, the sum of squared distances from it, and 0.
 */
export const groupMoments = defineOp<GroupMomentsAttrs>({
  name: "groupMoments",
  takes: ["x"],
  infer({ x }, { groups }) {
    if (!Number.isInteger(groups) || groups < 1 || channels(x!) % (4 * groups) !== 0)
      fail(
        "graph",
        `${channels(x!)} channels do not divide into ${groups} groups of a multiple of 4; give another count`,
      );
    return { y: tensor(extent(x!, 0), piecesOf(x!), 4 * groups) };
  },
  lower({ x, y }, { groups }) {
    const total = elements(y!.spec) / 4;
    return [
      dispatch(kernels.groupMoments, {
        params: { ...layout(x!.spec, groups), total },
        bind: { x: x!, y: y! },
        groups: flat(total, kernels.groupMoments.consts.WG),
      }),
    ];
  },
});

export interface GroupNormAttrs {
  /** Added to the variance: 1e-5 in PyTorch's default. */
  readonly epsilon: number;
  readonly activation: Clamp;
}

/**
 * Group norm over each frame, in place: y = activation((x - mean) / sqrt(variance + epsilon) * scale + shift), mean and variance over
 * all pixels and a group's channels (Wu and He, "Group Normalization", 2018). `moments` are {@link groupMoments} of x, which say how many groups
 * there are. Weights: scale and shift [channels].
 */
export const groupNorm = defineOp<GroupNormAttrs>({
  name: "groupNorm",
  takes: ["x", "moments", "scale", "shift"],
  inPlace: { y: "x" },
  infer({ x, moments, scale, shift }, { epsilon }) {
    const want = tensor(extent(x!, 0), piecesOf(x!), channels(moments!));
    if (shapeText(moments!) !== shapeText(want) || channels(x!) % channels(moments!) !== 0)
      fail("graph", `${shapeText(moments!)} are not the moments of ${shapeText(x!)}; make them with groupMoments`);
    for (const [name, spec] of Object.entries({ scale: scale!, shift: shift! }))
      if (elements(spec) !== channels(x!))
        fail("graph", `${name} holds ${elements(spec)} elements for ${channels(x!)} channels`);
    if (!(epsilon > 0))
      fail("graph", `group norm divides by the root of variance + epsilon; ${epsilon} is not positive`);
    return { y: x! };
  },
  lower({ x, moments, scale, shift, y }, { epsilon, activation: { low, high } }) {
    const places = layout(x!.spec, channels(moments!.spec) / 4);
    const total = extent(x!.spec, 0) * places.pieces * places.channels4;
    return [
      dispatch(kernels.groupNorm, {
        params: { ...places, total, epsilon, low, high },
        bind: { moments: moments!, scale: scale!, shift: shift!, y: y! },
        groups: flat(total, kernels.groupNorm.consts.WG),
      }),
    ];
  },
});
