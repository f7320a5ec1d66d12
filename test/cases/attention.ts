import type { GraphBuilder, Value } from "../../src/core/graph.ts";
import { tensor } from "../../src/core/tensor.ts";
import { attention, attentionShares } from "../../src/ops/index.ts";
import { EPSILON, type Expected } from "../close.ts";
import { type Feeds, type OpCase, opCase } from "./case.ts";
import type { Random } from "./random.ts";

interface Size {
  readonly sequences: number;
  /** Queries of a tensor of their own; without them every token of qkv asks. */
  readonly queries?: number;
  readonly keys: number;
  readonly heads: number;
  readonly head: number;
  /** What scores are like: `wild` reaches +-80 and more, rising and falling; `equal` queries are zero. Default plain. */
  readonly scores?: "wild" | "equal";
  /** Tokens along the first axis: `sequences` lie beside each other, in groups of so many. */
  readonly across?: number;
  readonly bench?: boolean;
}

/** One query against all keys of its head in f64: what comes out, and the bound on each channel. */
interface Row {
  readonly shares: number[];
  readonly sharesAllowed: number[];
  readonly sums: number[];
  readonly allowed: number[];
}

/**
 * A score is a sum of products, off by n u of the same sum over absolute values (close.ts `linear`, n = head width + 4 for the
 * scaling and the change of base), and so is the largest. With d = largest - score, exp2 may be off by 3 + 2 |d| log2(e) units in
 * the last place (WGSL 15.7.4; two roundings each), the subtraction by |d| log2(e) u. A share off by e in its exponent is off by e of
 * itself, and inherits the weighted mean of all e through the total. A running sum shrinks whenever the maximum grows, each
 * time by the error of one more exp2: a chain of powers, whose exponents add up to the one they replace and whose constants
 * are 8 u a link, at most one for each key. Sums of shares times values add a rounding a key and one for the product.
 */
export function attend(q: number[], k: number[][], v: number[][]): Row {
  const root = Math.sqrt(q.length);
  const scores = k.map((key) => key.reduce((sum, x, c) => sum + x * q[c]!, 0) / root);
  const spread = k.map((key) => key.reduce((sum, x, c) => sum + Math.abs(x * q[c]!), 0) / root);
  const top = scores.reduce((a, b) => Math.max(a, b));
  const wrong = Math.max(...spread) * (q.length + 4);
  const powers = scores.map((s) => Math.exp(s - top));
  const total = powers.reduce((a, b) => a + b, 0);
  const errors = scores.map((s) => 2 * wrong + 6 + 8 * (top - s) + 8 * k.length);
  const inherited = powers.reduce((sum, p, j) => sum + (p / total) * errors[j]!, 0) + k.length + 8;
  const shares = powers.map((p) => p / total);
  const sharesAllowed = shares.map((share, j) => (errors[j]! + inherited) * EPSILON * share + 2 ** -125);
  const over = (pick: (channel: number, j: number) => number) =>
    v[0]!.map((_, c) => shares.reduce((sum, _share, j) => sum + pick(v[j]![c]!, j), 0));
  return {
    shares,
    sharesAllowed,
    sums: over((x, j) => shares[j]! * x),
    allowed: over((x, j) => Math.abs(x) * (sharesAllowed[j]! + shares[j]! * (k.length + 2) * EPSILON)),
  };
}

const randomFeeds = (s: Size, random: Random): Feeds => {
  const { sequences, queries, keys, heads, head, scores } = s;
  const width = heads * head;
  const parts = queries ? 2 : 3;
  const louder = scores === "wild" ? 6 : scores === "equal" ? 0 : 1.5;
  const all = random.normal(sequences, keys, parts, width);
  // Quieter than the spike that Random plants, which would take every share.
  for (let i = 0; i < all.length; i++) {
    if (all[i] === 50) all[i] = 5;
    const isQuery = parts === 3 && Math.floor(i / width) % 3 === 0;
    if (isQuery) all[i]! *= louder;
  }
  if (!queries) return { qkv: all };
  const q = random.normal(sequences, queries, width);
  return { q: q.map((x) => (x === 50 ? 5 : x) * louder), kv: all };
};

/** Where a sequence's token stands among the rows, of which there are `count` a sequence. */
const rowOf = ({ across = 1 }: Size, sequence: number, token: number, count: number): number =>
  (Math.floor(sequence / across) * count + token) * across + (sequence % across);

/** Every query of every head and sequence: calls `visit` with its place and the answer. */
function eachQuery(
  s: Size,
  feeds: Feeds,
  visit: (sequence: number, query: number, head: number, row: Row) => void,
): void {
  const width = s.heads * s.head;
  const parts = feeds.qkv ? 3 : 2;
  const data = feeds.qkv ?? feeds.kv!;
  const part = (n: number, token: number, p: number, h: number) => {
    const at = (rowOf(s, n, token, s.keys) * parts + p) * width + h * s.head;
    return Array.from(data.subarray(at, at + s.head));
  };
  for (let n = 0; n < s.sequences; n++)
    for (let h = 0; h < s.heads; h++) {
      const keys = Array.from({ length: s.keys }, (_, t) => part(n, t, parts - 2, h));
      const values = Array.from({ length: s.keys }, (_, t) => part(n, t, parts - 1, h));
      for (let i = 0; i < (s.queries ?? s.keys); i++) {
        const at = (n * (s.queries ?? 0) + i) * width + h * s.head;
        const q = feeds.q ? Array.from(feeds.q.subarray(at, at + s.head)) : part(n, i, 0, h);
        visit(n, i, h, attend(q, keys, values));
      }
    }
}

/** Extents of a tensor with a row for each token. */
const rowsOf = ({ sequences, across }: Size, count: number): [number, number] =>
  across ? [(sequences / across) * count, across] : [sequences, count];

function inputs(g: GraphBuilder, s: Size): Record<string, Value> {
  const { sequences, queries, keys, heads, head } = s;
  const width = heads * head;
  if (!queries) return { qkv: g.input("qkv", tensor(...rowsOf(s, keys), 3 * width)) };
  return { q: g.input("q", tensor(sequences, queries, width)), kv: g.input("kv", tensor(sequences, keys, 2 * width)) };
}

function title({ sequences, across, queries, keys, heads, head, scores }: Size): string {
  const rows = `${queries ? `${queries} x ${keys}` : `${keys}`}${across ? ` across ${across}` : ""}`;
  return `${sequences} of ${rows} tokens, ${heads} heads of ${head}${scores ? `, ${scores} scores` : ""}`;
}

const make = (s: Size): OpCase =>
  opCase({
    op: "attention",
    title: title(s),
    bench: s.bench ?? false,
    build: (g) => {
      const attrs = { heads: s.heads, ...(s.across ? { steps: s.keys } : {}) };
      g.output("y", g.apply(attention, "attention", inputs(g, s), attrs).y!);
    },
    feeds: (random) => randomFeeds(s, random),
    expected(feeds) {
      const queries = s.queries ?? s.keys;
      const shape = [...rowsOf(s, queries), s.heads * s.head] as const;
      const length = shape[0] * shape[1] * shape[2];
      const y: Expected = { shape, want: new Float64Array(length), allowed: new Float64Array(length) };
      eachQuery(s, feeds, (n, i, h, row) => {
        const at = rowOf(s, n, i, queries) * shape[2] + h * s.head;
        y.want.set(row.sums, at);
        y.allowed.set(row.allowed, at);
      });
      return { y };
    },
  });

// Few head widths, as each is a pipeline of its own in the variant for GPUs.
const SIZES: readonly Size[] = [
  { sequences: 1, keys: 5, heads: 1, head: 4 },
  { sequences: 3, keys: 1, heads: 2, head: 20 },
  { sequences: 2, keys: 21, heads: 3, head: 20 },
  { sequences: 1, keys: 197, heads: 2, head: 64 },
  { sequences: 2, keys: 33, heads: 1, head: 128 },
  { sequences: 1, queries: 1, keys: 6, heads: 1, head: 4 },
  { sequences: 3, queries: 9, keys: 14, heads: 2, head: 4 },
  { sequences: 1, queries: 67, keys: 2, heads: 5, head: 4 }, // more queries than a workgroup has threads
  { sequences: 2, queries: 1, keys: 197, heads: 3, head: 96 }, // the class token alone
  { sequences: 1, queries: 11, keys: 17, heads: 2, head: 96 },
  { sequences: 1, keys: 43, heads: 2, head: 64, scores: "wild" },
  { sequences: 2, queries: 3, keys: 70, heads: 2, head: 96, scores: "wild" },
  { sequences: 1, keys: 19, heads: 2, head: 64, scores: "equal" },
  { sequences: 6, keys: 5, across: 3, heads: 2, head: 20 },
  { sequences: 35, keys: 2, across: 35, heads: 3, head: 4 },
  { sequences: 4, keys: 37, across: 2, heads: 1, head: 64, scores: "wild" },
  { sequences: 8, keys: 197, heads: 12, head: 64, bench: true },
];

export const attentionCases: readonly OpCase[] = SIZES.map(make);

const shares = (s: Size): OpCase =>
  opCase({
    op: "attentionShares",
    title: title(s),
    build: (g) => g.output("y", g.apply(attentionShares, "shares", inputs(g, s), { heads: s.heads }).y!),
    feeds: (random) => randomFeeds(s, random),
    expected(feeds) {
      const shape = [s.sequences, s.heads, s.keys] as const;
      const length = shape[0] * shape[1] * shape[2];
      const y: Expected = { shape, want: new Float64Array(length), allowed: new Float64Array(length) };
      eachQuery(s, feeds, (n, i, h, row) => {
        if (i > 0) return;
        y.want.set(row.shares, (n * s.heads + h) * s.keys);
        y.allowed.set(row.sharesAllowed, (n * s.heads + h) * s.keys);
      });
      return { y };
    },
  });

export const attentionSharesCases: readonly OpCase[] = [
  { sequences: 2, keys: 5, heads: 3, head: 8 },
  { sequences: 1, queries: 2, keys: 6, heads: 2, head: 12 },
  { sequences: 3, queries: 1, keys: 17, heads: 2, head: 96 },
  { sequences: 2, keys: 71, heads: 5, head: 20, scores: "wild" } as const,
  { sequences: 1, keys: 1, heads: 7, head: 4 },
].map(shares);
