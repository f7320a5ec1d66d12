// Networks that read codes: what moves, and what is there, without a pixel. "Compressed Vision" (Wiles et al., ACCV 2022) reads codes with an S3D (Xie et
// al., ECCV 2018) whose first strides are left out, as the grid is small already. This one is like it in those two: convolutions over space and over time
// apart, no first strides. It is no S3D: residual blocks in place of Inception's branches, time in front of space, and time looks back only, a step a block,
// so that a stream gives what the clip gives. TSM (Lin et al., ICCV 2019) on codes beside it.
import { fail } from "../core/fail.ts";
import { type Graph, GraphBuilder, type Value } from "../core/graph.ts";
import { channels, extent, tensor } from "../core/tensor.ts";
import { conv2d, conv3d, LINEAR, matmul, mean, pad, RELU, stateSpec } from "../ops/index.ts";
import type { MotionCodesShape } from "../weights/types.ts";
import { embedParts, embedRows } from "./codebooks.ts";
import { conv, convFilters } from "./filters.ts";
import { linear, unit, vector } from "./layers.ts";

/** What the graph of a network on codes is built for. */
export interface MotionCodesGraph {
  readonly shape: MotionCodesShape;
  /** Of the network, a run; of a stream of "tsm" one. */
  readonly steps: number;
  /** Of the codes' grid. */
  readonly rows: number;
  readonly columns: number;
  /** What a run ends with is the past of the next one. Otherwise a run is a clip, and nothing is before its first step. */
  readonly stream?: boolean;
}

/** A temporal shift takes channels / 8 from the step before. */
const SHIFT_DIVISOR = 8;

/** Codes a step of the network along each axis: 1, or 2 where they are finer than its grid. */
export const codesPerSite = ({ fine }: MotionCodesShape): 1 | 2 => (fine === null ? 1 : 2);

/** Steps back from which a step's logits and features hear: one a block. */
export const memoryOf = ({ blocks }: MotionCodesShape): number => blocks.reduce((sum, count) => sum + count, 0);

/**
 * `codes` [steps (x 2), rows, columns, codebooks], whole numbers in f32 -> per step `logits` [steps, classes], and means over space of the
 * outputs of the last stage but one and of the last: `appearance` and `motion` [steps, channels].
 * A table row for each codebook; where codes are fine, a 2x2x2 convolution of stride 2 to the grid of the others; a 3x3 convolution, for time
 * needs edges to compare; stages of blocks, and between them a 3x3 convolution of stride 2. @throws "graph" for extents that do not fit
 */
export function buildMotionCodes(d: MotionCodesGraph): Graph {
  const { shape, steps, rows, columns, stream = false } = d;
  if (stream && shape.backbone === "tsm" && steps !== 1)
    fail("graph", `a stream of a temporal shift takes one step a run, not ${steps}; give 1`);
  const g = new GraphBuilder("motion-codes");
  addBackbone(g, stem(g, shape, steps, rows, columns), shape, stream);
  return g.build();
}

/** What follows the stem: stages of blocks on x [steps, rows, columns, channels of the first stage], and the outputs of {@link buildMotionCodes}. */
export function addBackbone(g: GraphBuilder, stem: Value, shape: MotionCodesShape, stream: boolean): void {
  const groups = extent(stem.spec, 0);
  let x = plain(g, "enter", stem, { out: shape.widths[0]!, stride: 1 });
  let at = 0;
  for (const [stage, width] of shape.widths.entries()) {
    if (stage > 0 && stage === shape.widths.length - 1)
      g.output("appearance", g.apply(mean, "appearance", { x }, { groups }).y!);
    if (stage > 0) x = plain(g, `down.${stage - 1}`, x, { out: width, stride: 2 });
    for (let i = 0; i < shape.blocks[stage]!; i++) x = block(g, `blocks.${at++}`, x, shape, stream);
  }
  const pooled = g.apply(mean, "pool", { x }, { groups }).y!;
  g.output("motion", pooled);
  const names = { weight: "classifier.weight", bias: "classifier.bias" };
  const head = linear(g, "classifier", { ...names, outputs: shape.classes, input: channels(x.spec) });
  const attrs = { out: shape.classes, activation: LINEAR };
  g.output("logits", g.apply(matmul, "classifier", { x: pooled, ...head }, attrs).y!);
}

function stem(g: GraphBuilder, shape: MotionCodesShape, steps: number, rows: number, columns: number): Value {
  const { quantiser, fine, widths } = shape;
  const parts = embedParts(quantiser);
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  const books = quantiser.kind === "vq" ? quantiser.codebooks : 1;
  const codes = g.input("codes", tensor(steps * codesPerSite(shape), rows, columns, books));
  const out = fine ?? widths[0]!;
  const table = vector(g, "stem.table", "stem.embed.weight", [size, out]);
  const x = embedRows(g, fine === null ? "stem" : "stem.embed", codes, quantiser, { table, out });
  if (fine === null) return x;
  const twice = [2, 2, 2] as const;
  const names = { weight: "stem.join.weight", bias: "stem.join.bias" };
  const filters = convFilters(g, "stem.join", conv(out, widths[0]!, twice), names);
  const window = { kernel: twice, stride: twice, padding: { ...pad(0), front: 0, back: 0 } };
  return g.apply(conv3d, "stem", { x, ...filters }, { out: widths[0]!, ...window, activation: LINEAR }).y!;
}

/** ReLU of a 3x3 convolution with padding 1. */
function plain(
  g: GraphBuilder,
  name: string,
  x: Value,
  { out, stride }: { readonly out: number; readonly stride: 1 | 2 },
): Value {
  const filters = unit(g, name, { out, input: channels(x.spec), kernel: 3, batchNorm: false, bias: true });
  const window = { out, kernel: 3, stride, padding: pad(1), activation: RELU };
  return g.apply(conv2d, name, { x, ...filters }, window).y!;
}

/** ReLU(x + space(time(x))), summed in x's memory; what is read for the sum is kept for the next run. */
function block(g: GraphBuilder, name: string, x: Value, { backbone }: MotionCodesShape, stream: boolean): Value {
  const width = channels(x.spec);
  const fold = Math.floor(width / SHIFT_DIVISOR);
  const state = stream ? g.state(`${name}.past`, stateSpec(x.spec, backbone === "s3d" ? width : fold)) : undefined;
  const h = backbone === "s3d" ? twoSteps(g, `${name}.time`, x, state) : shifted(g, `${name}.time`, x, fold, state);
  const filters = unit(g, `${name}.space`, { out: width, input: width, kernel: 3, batchNorm: false, bias: true });
  const window = { out: width, kernel: 3, stride: 1, padding: pad(1), activation: RELU };
  return g.apply(conv2d, name, { x: h, ...filters, residual: x, carry: state }, window).y!;
}

/** ReLU of a window over the step before and this one, 1x1 in space: [out, in, 2, 1, 1], the earlier first. */
function twoSteps(g: GraphBuilder, name: string, x: Value, past: Value | undefined): Value {
  const width = channels(x.spec);
  const kernel = [2, 1, 1] as const;
  const filters = convFilters(g, name, conv(width, width, kernel), { weight: `${name}.weight`, bias: `${name}.bias` });
  const window = { kernel, stride: [1, 1, 1], padding: { ...pad(0), front: 1, back: 0 } } as const;
  return g.apply(conv3d, name, { x, ...filters, past }, { out: width, ...window, activation: RELU }).y!;
}

/** ReLU of a 1x1 convolution whose first `fold` channels are those of the step before. */
function shifted(g: GraphBuilder, name: string, x: Value, fold: number, past: Value | undefined): Value {
  const width = channels(x.spec);
  const shift = { mode: "past", fold } as const;
  const filters = unit(g, name, { out: width, input: width, kernel: 1, shift, batchNorm: false, bias: true });
  const window = { out: width, kernel: 1, stride: 1, padding: pad(0), activation: RELU, shift };
  return g.apply(conv2d, name, { x, ...filters, past }, window).y!;
}
