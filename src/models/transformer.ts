import type { GraphBuilder, Value } from "../core/graph.ts";
import { attention, attentionShares, GELU, LINEAR, layerNorm, matmul, RELU, takeRow } from "../ops/index.ts";
import { linear, vector } from "./layers.ts";

export interface Affine {
  readonly w: Value;
  readonly bias: Value;
}

export interface Norm {
  readonly scale: Value;
  readonly shift: Value;
}

/** The weights of an encoder layer: values of the graph, made once and used by every group of frames. */
export interface Layer {
  readonly name: string;
  /** Queries, keys and values in one product; apart where only the class token asks and all tokens answer. */
  readonly asked: { readonly qkv: Affine } | { readonly q: Affine; readonly kv: Affine };
  readonly proj: Affine;
  readonly norm1: Norm;
  readonly norm2: Norm;
  readonly up: Affine;
  readonly down: Affine;
  /** Channels between `up` and `down`. */
  readonly hidden: number;
}

/** How a layer is computed. */
export interface LayerOptions {
  readonly heads: number;
  readonly epsilon: number;
  /** Also the attention of the class token, by head. */
  readonly shares: boolean;
  /** What follows a node's name: the group of frames that it is of. */
  readonly group?: string;
}

/** Shapes and checkpoint names of a layer. */
export interface LayerShape {
  readonly width: number;
  readonly hidden: number;
  /** Names of the checkpoint's units; `qkv` those of its two tensors. */
  readonly units: {
    readonly norm1: string;
    readonly qkv: { readonly weight: string; readonly bias: string | null };
    readonly proj: string;
    readonly norm2: string;
    readonly up: string;
    readonly down: string;
  };
  /** Only the class token's row of the result is wanted. */
  readonly classOnly: boolean;
}

/** A linear layer by the name of its unit. */
export const affine = (g: GraphBuilder, unit: string, input: number, outputs: number): Affine =>
  linear(g, unit, { weight: `${unit}.weight`, bias: `${unit}.bias`, outputs, input });

/** A layer norm by the name of its unit. */
export const norm = (g: GraphBuilder, unit: string, width: number): Norm => ({
  scale: vector(g, `${unit}.scale`, `${unit}.weight`, [width]),
  shift: vector(g, `${unit}.shift`, `${unit}.bias`, [width]),
});

/** The weights of a layer. */
export function layer(g: GraphBuilder, name: string, s: LayerShape): Layer {
  const { units, width, hidden } = s;
  const rows = (part: string, from: number, to: number): Affine => {
    const range = [from * width, to * width] as const;
    return linear(g, `${name}.${part}`, { ...units.qkv, outputs: 3 * width, input: width, rows: range });
  };
  return {
    name,
    asked: s.classOnly ? { q: rows("q", 0, 1), kv: rows("kv", 1, 3) } : { qkv: rows("qkv", 0, 3) },
    proj: affine(g, units.proj, width, width),
    norm1: norm(g, units.norm1, width),
    norm2: norm(g, units.norm2, width),
    up: affine(g, units.up, width, hidden),
    down: affine(g, units.down, hidden, width),
    hidden,
  };
}

const widthOf = (value: Value): number => value.spec.shape.at(-1)!;

/** Attention of `h` [N, T, width] over itself, before its projection: [N, T, width], or [N, 1, width] of the class token. */
function attend(g: GraphBuilder, l: Layer, h: Value, { heads, shares, group = "" }: LayerOptions): Value {
  const at = (part: string) => `${l.name}.${part}${group}`;
  const width = widthOf(h);
  const product = (part: string, x: Value, weights: Affine, out: number): Value =>
    g.apply(matmul, at(part), { x, ...weights }, { out, activation: LINEAR }).y!;
  const inputs =
    "qkv" in l.asked
      ? { qkv: product("qkv", h, l.asked.qkv, 3 * width) }
      : {
          kv: product("kv", h, l.asked.kv, 2 * width),
          q: product("q", g.apply(takeRow, at("query"), { x: h }, { row: 0 }).y!, l.asked.q, width),
        };
  if (shares) g.apply(attentionShares, at("shares"), inputs, { heads });
  return g.apply(attention, at("attn"), inputs, { heads }).y!;
}

/** x as it goes on behind the attention: whole, or the class token's row. */
const kept = (g: GraphBuilder, l: Layer, x: Value, group = ""): Value =>
  "qkv" in l.asked ? x : g.apply(takeRow, `${l.name}.class${group}`, { x }, { row: 0 }).y!;

/** Pre-norm (ViT): x + proj(attention(norm1(x))), then x + down(GELU(up(norm2(x)))); both sums in x's memory. */
export function preNorm(g: GraphBuilder, l: Layer, x: Value, options: LayerOptions): Value {
  const { epsilon, group = "" } = options;
  const at = (part: string) => `${l.name}.${part}${group}`;
  const width = widthOf(x);
  const h = g.apply(layerNorm, at("norm1"), { x, ...l.norm1 }, { epsilon }).y!;
  const seen = attend(g, l, h, options);
  const residual = kept(g, l, x, group);
  const sum = g.apply(matmul, at("proj"), { x: seen, ...l.proj, residual }, { out: width, activation: LINEAR }).y!;
  const normed = g.apply(layerNorm, at("norm2"), { x: sum, ...l.norm2 }, { epsilon }).y!;
  const wide = g.apply(matmul, at("fc1"), { x: normed, ...l.up }, { out: l.hidden, activation: GELU }).y!;
  return g.apply(matmul, at("fc2"), { x: wide, ...l.down, residual: sum }, { out: width, activation: LINEAR }).y!;
}

/** Post-norm (PyTorch's TransformerEncoderLayer): norm1(x + attention(x)), then norm2(x + down(ReLU(up(x)))). */
export function postNorm(g: GraphBuilder, l: Layer, x: Value, options: LayerOptions): Value {
  const { epsilon, group = "" } = options;
  const at = (part: string) => `${l.name}.${part}${group}`;
  const width = widthOf(x);
  const seen = attend(g, l, x, options);
  const residual = kept(g, l, x, group);
  const sum = g.apply(matmul, at("proj"), { x: seen, ...l.proj, residual }, { out: width, activation: LINEAR }).y!;
  const normed = g.apply(layerNorm, at("norm1"), { x: sum, ...l.norm1 }, { epsilon }).y!;
  const wide = g.apply(matmul, at("linear1"), { x: normed, ...l.up }, { out: l.hidden, activation: RELU }).y!;
  const more = { x: wide, ...l.down, residual: normed };
  const deep = g.apply(matmul, at("linear2"), more, { out: width, activation: LINEAR }).y!;
  return g.apply(layerNorm, at("norm2"), { x: deep, ...l.norm2 }, { epsilon }).y!;
}
