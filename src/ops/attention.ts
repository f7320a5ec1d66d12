import { fail } from "../core/fail.ts";
import type { Value } from "../core/graph.ts";
import { dispatch, flat } from "../core/kernel.ts";
import { defineOp, type Specs, type Values } from "../core/op.ts";
import { channels, extent, quads, shapeText, tensor } from "../core/tensor.ts";
import * as kernels from "../kernels.gen.ts";

export interface AttentionAttrs {
  /** Heads that the width divides into; a head's width is a multiple of 4, at most 128. */
  readonly heads: number;
  /**
   * Attention across the first axis: the tokens of a sequence are the same place in so many entries that follow each other, as in
   * attention over time. Of qkv alone; default: the tokens are those of an entry.
   */
  readonly steps?: number;
}

/** Channels of a head at most: a thread keeps a query's and its sums' in registers. */
const WIDEST_HEAD = 128;

/** Extents of an attention, in tokens and channels. */
interface Extents {
  readonly sequences: number;
  /** Sequences whose tokens lie beside each other, row by row. */
  readonly across: number;
  readonly queries: number;
  readonly keys: number;
  readonly width: number;
  readonly head: number;
}

/** Checks the inputs of an attention against each other: qkv [N, T, 3 D], or q [N, Q, D] and kv [N, T, 2 D]. */
function extents({ qkv, q, kv }: Specs, { heads, steps }: AttentionAttrs): Extents {
  if (qkv ? q || kv : !(q && kv)) fail("graph", "attention takes qkv, or q and kv; give one or the other");
  const keys = (qkv ?? kv)!;
  const parts = qkv ? 3 : 2;
  for (const spec of [keys, q ?? keys])
    if (spec.shape.length !== 3) fail("graph", `attention needs [sequences, tokens, channels], got ${shapeText(spec)}`);
  const width = channels(keys) / parts;
  if (!Number.isInteger(width))
    fail("graph", `${shapeText(keys)} does not divide into ${qkv ? "queries, keys and values" : "keys and values"}`);
  const want = tensor(extent(keys, 0), extent(q ?? keys, 1), width);
  if (q && shapeText(q) !== shapeText(want))
    fail(
      "graph",
      `queries ${shapeText(q)} do not fit keys and values ${shapeText(keys)}; they must be ${shapeText(want)}`,
    );
  const head = width / heads;
  if (!Number.isInteger(heads) || heads < 1 || head % 4 !== 0 || head > WIDEST_HEAD)
    fail(
      "graph",
      `${width} channels in ${heads} heads are ${head} each; a head has a multiple of 4 and at most ${WIDEST_HEAD}`,
    );
  const [entries, places] = [extent(keys, 0), extent(keys, 1)];
  if (steps === undefined)
    return { sequences: entries, across: 1, queries: extent(q ?? keys, 1), keys: places, width, head };
  if (!qkv || !Number.isInteger(steps) || steps < 1 || entries % steps !== 0)
    fail(
      "graph",
      `attention over ${steps} steps takes qkv [a multiple of the steps, places, channels], got ${shapeText(keys)}`,
    );
  return { sequences: (entries / steps) * places, across: places, queries: steps, keys: steps, width, head };
}

const specsOf = (values: Values): Specs =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value?.spec]));

/**
 * Attention of several heads: y = softmax(q k^T / sqrt(head width)) v for each (Vaswani et al., "Attention Is All You Need", 3.2).
 * Takes qkv [N, T, 3 D], each token's query, key and value one behind the other, or q [N, Q, D] and kv [N, T, 2 D]; a head's
 * channels are contiguous in each. y is [N, T or Q, D]. With `steps` a sequence runs along the first axis: qkv [N * steps, T, 3 D]. One kernel: scores never reach memory.
 */
export const attention = defineOp<AttentionAttrs>({
  name: "attention",
  takes: ["qkv?", "q?", "kv?"],
  infer(inputs, attrs) {
    const { sequences, across, queries, width } = extents(inputs, attrs);
    return {
      y: attrs.steps ? tensor((sequences / across) * queries, across, width) : tensor(sequences, queries, width),
    };
  },
  lower(values, attrs, caps) {
    const { heads } = attrs;
    const { sequences, across, queries, keys, head } = extents(specsOf(values), attrs);
    const parts = values.qkv ? 3 : 2;
    const params = { sequences, across, queries, keys, heads, scale: Math.LOG2E / Math.sqrt(head) };
    const bind = { q: values.q ?? null, kv: keysOf(values), y: values.y! };
    const head4 = head / 4;
    if (caps.kind === "gpu") {
      const groups = flat(sequences * heads * Math.ceil(queries / kernels.attentionTile.consts.WG), 1);
      return [
        dispatch(kernels.attentionTile, { consts: { HEAD4: head4 }, params: { ...params, parts }, bind, groups }),
      ];
    }
    // Loads of keys and values are most of the time on a CPU adapter: a tile of queries shares them.
    const ROWS = queries < 8 ? 1 : kernels.attention.consts.ROWS;
    const groups = flat(sequences * heads * Math.ceil(queries / ROWS), kernels.attention.consts.WG);
    return [
      dispatch(kernels.attention, { consts: { PARTS: parts, ROWS }, params: { ...params, head4 }, bind, groups }),
    ];
  },
  macs(inputs, _outputs, attrs) {
    const { sequences, queries, keys, width } = extents(inputs, attrs);
    return 2 * sequences * queries * keys * width;
  },
});

const keysOf = ({ qkv, kv }: Values): Value => (qkv ?? kv)!;

/** How the first query of each sequence shares out its attention: y [N, heads, T] probabilities, from what {@link attention} takes. */
export const attentionShares = defineOp<Pick<AttentionAttrs, "heads">>({
  name: "attentionShares",
  takes: ["qkv?", "q?", "kv?"],
  infer(inputs, { heads }) {
    const { sequences, keys } = extents(inputs, { heads });
    return { y: tensor(sequences, heads, keys) };
  },
  lower(values, { heads }) {
    const { sequences, queries, keys, head } = extents(specsOf(values), { heads });
    const y = values.y!;
    const total = sequences * heads * quads(keys);
    return [
      dispatch(kernels.attentionScores, {
        consts: { PARTS: values.qkv ? 3 : 2 },
        params: { queries, keys, heads, head4: head / 4, scale: 1 / Math.sqrt(head), total },
        bind: { q: values.q ?? null, kv: keysOf(values), y },
        groups: flat(total, kernels.attentionScores.consts.WG),
      }),
      dispatch(kernels.softmax, {
        params: { rows: sequences * heads, columns: keys, columns4: quads(keys) },
        bind: { x: y },
        groups: flat(sequences * heads, kernels.softmax.consts.WG),
      }),
    ];
  },
  macs(inputs, _outputs, { heads }) {
    const { sequences, keys, width } = extents(inputs, { heads });
    return sequences * keys * width;
  },
});
