// A graph that cannot be throws on the line that makes it: which node, what is there, what is wanted.
import { describe, expect, it } from "vitest";
import { GraphBuilder, type Value } from "../src/core/graph.ts";
import type { OpDef } from "../src/core/op.ts";
import { tensor } from "../src/core/tensor.ts";
import { transposedFilters } from "../src/models/filters.ts";
import { unit } from "../src/models/layers.ts";
import {
  addRows,
  attention,
  attentionShares,
  conv2d,
  conv3d,
  convTranspose,
  depthwise,
  history,
  LINEAR,
  layerNorm,
  matmul,
  maxPool,
  mean,
  pad,
  softmax,
  stateSpec,
  takeRow,
  temporalShift,
  tokens,
} from "../src/ops/index.ts";
import { grownFrames } from "./cases/frame_filters.ts";

interface Parts {
  readonly g: GraphBuilder;
  /** [2, 5, 7, 8] */
  readonly x: Value;
  /** 8 -> 6, 1x1 */
  readonly one: { w: Value; bias: Value };
  /** 8 -> 6, 3x3 */
  readonly three: { w: Value; bias: Value };
}

function parts(): Parts {
  const g = new GraphBuilder("wrong");
  const x = g.input("x", tensor(2, 5, 7, 8));
  const shape = { out: 6, input: 8, batchNorm: false, bias: true };
  return { g, x, one: unit(g, "one", { ...shape, kernel: 1 }), three: unit(g, "three", { ...shape, kernel: 3 }) };
}

const tokensOf = ({ g }: Parts, ...shape: number[]) => g.input("tokens", tensor(...shape));
const plain = { out: 6, kernel: 1, stride: 1, padding: pad(0), activation: LINEAR };
const timed = {
  out: 6,
  kernel: [1, 1, 1],
  stride: [1, 1, 1],
  padding: { ...pad(0), front: 0, back: 0 },
  activation: LINEAR,
} as const;
const grown = { out: 6, kernel: [2, 1, 1], stride: [2, 1, 1], padding: [0, 0, 0], activation: LINEAR } as const;
const state = (g: GraphBuilder, ...shape: number[]) => g.state("state", tensor(...shape));
type Inputs = Record<string, Value | undefined>;
const node = <A>({ g }: Parts, op: OpDef<A>, inputs: Inputs, attrs: A) => g.apply(op, "node", inputs, attrs);

describe("a mistake in a graph", () => {
  it.each<[string, (p: Parts) => unknown, string]>([
    [
      "an unknown input",
      (p) => node(p, conv2d, { x: p.x, ...p.one, resid: p.x }, plain),
      'conv2d "node" has no input "resid"; it takes x, w, bias, residual?, past?, carry?',
    ],
    [
      "a missing input",
      (p) => node(p, conv2d, { x: p.x, w: p.one.w }, plain),
      'conv2d "node" needs the input "bias"; it takes x, w, bias',
    ],
    [
      "another graph's value",
      (p) => node(p, conv2d, { x: parts().x, ...p.one }, plain),
      'conv2d "node": "x" belongs to another graph',
    ],
    [
      "another graph's value of a higher id",
      (p) => node(p, softmax, { x: parts().three.bias }, {}),
      '"three.bias" belongs to another graph',
    ],
    [
      "a name given twice",
      (p) => [node(p, softmax, { x: p.x }, {}), node(p, softmax, { x: p.x }, {})],
      'the name "node" stands for two tensors',
    ],
    ["an output declared twice", (p) => [p.g.output("y", p.x), p.g.output("y", p.x)], 'output "y" is declared twice'],
    ["an extent of zero", () => tensor(2, 0, 3), "a tensor's extents are positive integers, got [2, 0, 3]"],
    ["half a pixel", () => tensor(2, 1.5), "a tensor's extents are positive integers, got [2, 1.5]"],
    [
      "weights of another size",
      (p) => node(p, conv2d, { x: p.x, ...p.three }, plain),
      'conv2d "node": w holds 576 packed elements, 1x1 8 -> 6 needs 64 (x [2, 5, 7, 8], w [576], bias [8])',
    ],
    [
      "a bias of another size",
      (p) => node(p, conv2d, { x: p.x, w: p.one.w, bias: p.one.w }, plain),
      "bias holds 64 elements, 6 channels are stored as 8",
    ],
    [
      "a residual of another shape",
      (p) => node(p, conv2d, { x: p.x, ...p.one, residual: p.x }, plain),
      "residual [2, 5, 7, 8] cannot be added to [2, 5, 7, 6]; make the shapes equal",
    ],
    [
      "too small a frame",
      (p) => node(p, conv2d, { x: p.x, ...p.three }, { ...plain, kernel: 3, padding: { ...pad(0), top: -3 } }),
      "an extent of 5 is too small for a window of 3 with padding -3 + 0; use a larger input",
    ],
    [
      "a window over a vector",
      (p) => node(p, depthwise, { x: p.one.w, ...p.one }, { stride: 1, padding: pad(1), activation: LINEAR }),
      "a window needs [frames, height, width, channels], got [64]",
    ],
    [
      "a shift in front of 3x3",
      (p) =>
        node(
          p,
          conv2d,
          { x: p.x, ...p.three },
          { ...plain, kernel: 3, padding: pad(1), shift: { mode: "both", fold: 2 } },
        ),
      'conv2d "node": ',
    ],
    [
      "a shift with stride",
      (p) => node(p, conv2d, { x: p.x, ...p.one }, { ...plain, stride: 2, shift: { mode: "both", fold: 4 } }),
      "fused into 1x1 convolutions of stride 1 without padding; use temporalShift before",
    ],
    [
      "a shift with padding",
      (p) => node(p, conv2d, { x: p.x, ...p.one }, { ...plain, padding: pad(1), shift: { mode: "both", fold: 4 } }),
      "fused into 1x1 convolutions of stride 1 without padding; use temporalShift before",
    ],
    [
      "a shift of too many channels",
      (p) => node(p, temporalShift, { x: p.x }, { mode: "both", fold: 5, frames: 2 }),
      "a shift of 5 channels does not fit 8",
    ],
    [
      "a shift of none",
      (p) => node(p, temporalShift, { x: p.x }, { mode: "both", fold: 0, frames: 2 }),
      "a shift of 0 channels moves nothing",
    ],
    [
      "clips that do not divide",
      (p) => node(p, temporalShift, { x: p.x }, { mode: "both", fold: 1, frames: 3 }),
      "2 frames do not divide into clips of 3",
    ],
    [
      "clips of a convolution that do not divide",
      (p) => node(p, conv2d, { x: p.x, ...p.one }, { ...plain, shift: { mode: "both", fold: 4, frames: 3 } }),
      "2 frames do not divide into clips of 3",
    ],
    [
      "a past without a shift",
      (p) => node(p, conv2d, { x: p.x, ...p.one, past: state(p.g, 1, 5, 7, 4) }, plain),
      "a past needs a shift",
    ],
    [
      "a stream of two frames",
      (p) =>
        node(
          p,
          conv2d,
          { x: p.x, ...p.one, past: state(p.g, 1, 5, 7, 4) },
          { ...plain, shift: { mode: "past", fold: 4 } },
        ),
      "one frame at a time",
    ],
    [
      "a carry without a residual",
      (p) => node(p, conv2d, { x: p.x, ...p.one, carry: state(p.g, 1, 5, 7, 4) }, plain),
      "a carry keeps channels of the residual, and there is none",
    ],
    [
      "a carry of two frames",
      (p) =>
        node(
          p,
          conv2d,
          { x: p.x, ...p.one, residual: p.g.input("r", tensor(2, 5, 7, 6)), carry: state(p.g, 2, 5, 7, 4) },
          plain,
        ),
      "the carry [2, 5, 7, 4] must hold the first channels of a frame of [2, 5, 7, 6], [1, 5, 7, 6] at most",
    ],
    [
      "a frame too small for its mirror image",
      (p) => node(p, conv2d, { x: p.x, ...p.one }, { ...plain, padding: pad(5), edge: "reflect" }),
      "a frame of 5 x 7 cannot be reflected over a padding of 5, 5, 5, 5; make each one smaller than the frame",
    ],
    [
      "a clip shorter than its window",
      (p) => node(p, conv3d, { x: p.x, ...p.one }, { ...timed, kernel: [3, 1, 1] }),
      "an extent of 2 is too small for a window of 3 with padding 0 + 0; use a larger input",
    ],
    [
      "weights of another window",
      (p) => node(p, conv3d, { x: p.x, ...p.one }, { ...timed, kernel: [2, 1, 1] }),
      "w holds 64 packed elements, 2x1x1 8 -> 6 needs 128",
    ],
    [
      "a past that no window reaches",
      (p) => node(p, conv3d, { x: p.x, ...p.one, past: state(p.g, 1, 5, 7, 8) }, timed),
      "a past is one frame in front of x, and the padding there is 0; make it 1",
    ],
    [
      "a past of another shape",
      (p) =>
        node(
          p,
          conv3d,
          { x: p.x, ...p.one, past: state(p.g, 1, 5, 7, 4) },
          { ...timed, padding: { ...timed.padding, front: 1 } },
        ),
      "the state [1, 5, 7, 4] must be [1, 5, 7, 8]",
    ],
    [
      "a transposed convolution that cuts more than its window",
      (p) => node(p, convTranspose, { x: p.x, ...p.one }, { ...grown, padding: [0, 1, 0] }),
      "a window of 2x1x1, stride 2x1x1, cannot be cut by 0x1x0; cut less than the window",
    ],
    [
      "weights of one phase of two",
      (p) => node(p, convTranspose, { x: p.x, ...p.one }, grown),
      "w holds 64 packed elements, 2x1x1 stride 2x1x1 8 -> 6 needs 128",
    ],
    [
      "a bias of one phase of two",
      (p) => {
        const { w } = transposedFilters(p.g, "up", grownFrames(8, 6, 2), { weight: "up" });
        return node(p, convTranspose, { x: p.x, w, bias: p.one.bias }, grown);
      },
      "bias holds 8 elements, 2 phases of 6 channels need 16",
    ],
    [
      "pooling mostly padding",
      (p) => node(p, maxPool, { x: p.x }, { kernel: 3, stride: 1, pad: 2 }),
      "a pad of 2 leaves windows of 3 with no pixel",
    ],
    [
      "groups that do not divide",
      (p) => node(p, mean, { x: p.x }, { groups: 4 }),
      'mean "node": 70 rows of [2, 5, 7, 8] do not divide into 4 groups',
    ],
    [
      "no groups",
      (p) => node(p, mean, { x: p.x }, { groups: 0 }),
      "70 rows of [2, 5, 7, 8] do not divide into 0 groups",
    ],
    [
      "a layer of another width",
      (p) => node(p, matmul, { x: p.x, ...p.three }, { out: 6, activation: LINEAR }),
      "w holds 576 packed elements, 8 -> 6 channels need 64",
    ],
    [
      "frames that are not there",
      (p) => node(p, conv2d, { x: p.x, ...p.one }, { ...plain, first: 1, frames: 2 }),
      "2 frames from frame 1 do not fit [2, 5, 7, 8], which has 2",
    ],
    [
      "some frames of a shifted clip",
      (p) => node(p, conv2d, { x: p.x, ...p.one }, { ...plain, frames: 1, shift: { mode: "past", fold: 1 } }),
      "a temporal shift needs all frames of its clip",
    ],
    [
      "leading rows of nothing",
      (p) => node(p, conv2d, { x: p.x, ...p.one }, { ...plain, lead: 1 }),
      "leading rows stay as they are in the residual; give a residual",
    ],
    [
      "tokens without room for the leading row",
      (p) => node(p, conv2d, { x: p.x, ...p.one, residual: p.g.input("r", tensor(2, 35, 6)) }, { ...plain, lead: 1 }),
      "residual [2, 35, 6] cannot be added to [2, 36, 6]",
    ],
    [
      "queries without keys",
      (p) => node(p, attention, { q: tokensOf(p, 1, 3, 8) }, { heads: 2 }),
      "attention takes qkv, or q and kv; give one or the other",
    ],
    [
      "attention of something that is no sequence of tokens",
      (p) => node(p, attention, { qkv: p.x }, { heads: 2 }),
      "attention needs [sequences, tokens, channels], got [2, 5, 7, 8]",
    ],
    [
      "a width that is not three parts",
      (p) => node(p, attention, { qkv: tokensOf(p, 1, 3, 8) }, { heads: 2 }),
      "[1, 3, 8] does not divide into queries, keys and values",
    ],
    [
      "heads that do not divide the width",
      (p) => node(p, attention, { qkv: tokensOf(p, 1, 3, 36) }, { heads: 2 }),
      "12 channels in 2 heads are 6 each; a head has a multiple of 4 and at most 128",
    ],
    [
      "a head that is too wide",
      (p) => node(p, attentionShares, { qkv: tokensOf(p, 1, 3, 396) }, { heads: 1 }),
      "132 channels in 1 heads are 132 each; a head has a multiple of 4 and at most 128",
    ],
    [
      "queries of another width",
      (p) => node(p, attention, { q: tokensOf(p, 1, 3, 8), kv: p.g.input("kv", tensor(1, 5, 8)) }, { heads: 1 }),
      "queries [1, 3, 8] do not fit keys and values [1, 5, 8]; they must be [1, 3, 4]",
    ],
    [
      "a row that is not there",
      (p) => node(p, takeRow, { x: tokensOf(p, 2, 3, 8) }, { row: 3 }),
      "there is no row 3 among 3; rows count from 0",
    ],
    [
      "more rows than there are",
      (p) => node(p, addRows, { into: tokensOf(p, 2, 3, 8), x: p.g.input("more", tensor(4, 8)) }, { at: 3 }),
      "4 rows from row 3 do not fit [2, 3, 8], which has 6",
    ],
    [
      "rows of another width",
      (p) => node(p, addRows, { into: tokensOf(p, 2, 3, 8), x: p.g.input("more", tensor(4, 7)) }, { at: 0 }),
      "rows of 7 channels cannot be added to rows of 8",
    ],
    [
      "a history of two frames at once",
      (p) => node(p, history, { x: tokensOf(p, 1, 2, 8), state: state(p.g, 5, 8) }, {}),
      "a history takes one frame at a time, got [1, 2, 8]",
    ],
    [
      "a history without room for its mark",
      (p) => node(p, history, { x: tokensOf(p, 1, 1, 8), state: state(p.g, 1, 8) }, {}),
      "the state [1, 8] must be [frames + 1, 8]",
    ],
    [
      "a scale of another width",
      (p) => node(p, layerNorm, { x: p.x, scale: p.one.w, shift: p.one.bias }, { epsilon: 1e-5 }),
      "scale holds 64 elements, 8 channels are stored as 8",
    ],
    [
      "layer norm without an epsilon",
      (p) => node(p, layerNorm, { x: p.x, scale: p.one.bias, shift: p.one.bias }, { epsilon: 0 }),
      "0 is not positive",
    ],
    [
      "positions of other tokens",
      (p) => node(p, tokens, { cls: p.one.bias, pos: p.one.w }, { frames: 2, tokens: 7, width: 6 }),
      "pos holds 64 elements, 7 tokens of 6 are stored as 56",
    ],
  ])("%s", (_what, build, message) => {
    let error: unknown;
    try {
      build(parts());
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ name: "KinemaError", code: "graph" });
    expect((error as Error).message).toContain(message);
    expect((error as Error).message).not.toContain("\n");
  });

  it("a carry or a past of another shape", () => {
    const stream = (past: readonly number[], carry: readonly number[]) => {
      const g = new GraphBuilder("stream");
      const x = g.input("x", tensor(1, 5, 7, 8));
      const shift = { mode: "past", fold: 3 } as const;
      const shape = { input: 8, kernel: 1, batchNorm: false, bias: true };
      const expand = { x, ...unit(g, "a", { out: 8, ...shape, shift }), past: g.state("past", tensor(...past)) };
      const y = g.apply(conv2d, "expand", expand, { ...plain, out: 8, shift }).y!;
      const carried = g.state("carry", tensor(...carry));
      g.apply(
        conv2d,
        "project",
        { x: y, ...unit(g, "b", { out: 8, ...shape }), residual: x, carry: carried },
        { ...plain, out: 8 },
      );
      return stateSpec(x.spec, 3).shape;
    };
    expect(stream([1, 5, 7, 3], [1, 5, 7, 3])).toEqual([1, 5, 7, 3]);
    expect(() => stream([1, 5, 7, 4], [1, 5, 7, 3])).toThrow("the state [1, 5, 7, 4] must be [1, 5, 7, 3]");
    expect(() => stream([1, 5, 7, 3], [1, 7, 5, 3])).toThrow(
      "the carry [1, 7, 5, 3] must hold the first channels of a frame of [1, 5, 7, 8]",
    );
    expect(() => stream([1, 5, 7, 3], [1, 5, 7, 9])).toThrow("the carry [1, 5, 7, 9] must hold the first channels");
  });
});
