import { fail } from "../core/fail.ts";
import { type Graph, GraphBuilder, type Value } from "../core/graph.ts";
import type { Caps } from "../core/op.ts";
import { plan } from "../core/plan.ts";
import { extent, tensor } from "../core/tensor.ts";
import { addRows, conv2d, LINEAR, layerNorm, pad, takeRow, tokens } from "../ops/index.ts";
import type { ModelDescription, TransformerShape } from "./describe.ts";
import { classify } from "./head.ts";
import { unit, vector, zeroBias } from "./layers.ts";
import { type Affine, type Layer, layer, type Norm, norm, preNorm } from "./transformer.ts";

/** Bytes of activations that a graph of frame groups stays within when nobody says otherwise. */
export const ACTIVATION_BYTES = 80e6;

/** Planning asks the device for tiles only, which change no tensor: one answer holds for all. */
const ANY: Caps = { kind: "cpu", f16: false, subgroups: false, timestamps: false };

/** ViT (Dosovitskiy et al., "An Image is Worth 16x16 Words") and DeiT, its twin: image [N, H, W, 3] -> logits [N, classes]. */
export function buildViT(d: ModelDescription): Graph {
  return inGroups(d, (groups) => {
    const g = new GraphBuilder(d.model);
    const image = g.input("image", tensor(d.frames, d.height, d.width, 3));
    const spatial = new SpatialEncoder(g, d);
    if (groups.length === 1) return classify(g, d, spatial.apply(image, groups[0]!));
    // The groups' class tokens are gathered by sums into rows of zeros.
    const { width } = spatial.shape;
    const zeros = { cls: zeroBias(g, "zeros", width), pos: zeroBias(g, "zeros.position", width) };
    let gathered = g.apply(tokens, "features.zeros", zeros, { frames: d.frames, tokens: 1, width }).y!;
    for (const [i, group] of groups.entries()) {
      const x = spatial.apply(image, group);
      gathered = g.apply(addRows, `features.${i}`, { into: gathered, x }, { at: group.first }).y!;
    }
    return classify(g, d, gathered);
  });
}

/** Frames that are computed together. */
export interface Group {
  readonly first: number;
  readonly count: number;
  /** What follows the names of its nodes: nothing if it is the only one, else `@0`, `@1`, ... */
  readonly suffix: string;
}

/** `frames` in `count` groups as equal as can be. */
function groupsOf(frames: number, count: number): Group[] {
  const size = Math.ceil(frames / count);
  const groups = Array.from({ length: Math.ceil(frames / size) }, (_, i) => ({
    first: i * size,
    count: Math.min(size, frames - i * size),
  }));
  return groups.map((group, i) => ({ ...group, suffix: groups.length > 1 ? `@${i}` : "" }));
}

/**
 * The graph with the fewest groups of frames whose planned activations stay within `activationBytes`.
 * @throws "limit-exceeded" when even one frame at a time takes more
 */
export function inGroups(d: ModelDescription, build: (groups: readonly Group[]) => Graph): Graph {
  const budget = d.activationBytes ?? ACTIVATION_BYTES;
  let least = Number.POSITIVE_INFINITY;
  for (let count = 1; count <= d.frames; count++) {
    const groups = groupsOf(d.frames, count);
    if (groups.length < count || (leastBytes(d, groups) > budget && count < d.frames)) continue;
    const graph = build(groups);
    const { planned } = plan(graph, ANY).bytes;
    if (planned <= budget) return graph;
    least = Math.min(least, planned);
  }
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
  return fail(
    "limit-exceeded",
    `${d.model} takes ${megabytes(least)} MB of activations at least, and ${megabytes(budget)} are allowed; allow more`,
    { needed: least, limit: budget },
  );
}

/** Bytes that a group's MLP needs at least: tokens, their norm, the hidden channels, and the frames that still wait. */
function leastBytes(d: ModelDescription, groups: readonly Group[]): number {
  const { width, hidden, patch } = shapeOf(d);
  const perFrame = (1 + Math.floor(d.height / patch) * Math.floor(d.width / patch)) * (2 * width + hidden) * 4;
  return groups[0]!.count * perFrame + (groups.length > 1 ? d.frames * d.height * d.width * 16 : 0);
}

export const shapeOf = (d: ModelDescription): TransformerShape =>
  d.transformer ?? fail("graph", `a ${d.model} needs its transformer described`);

/** The ViT that sees single frames, in STAM as by itself: its weights, made once, and the nodes of each group. */
export class SpatialEncoder {
  readonly shape: TransformerShape;
  readonly #g: GraphBuilder;
  readonly #d: ModelDescription;
  readonly #patches: Affine;
  readonly #cls: Value;
  readonly #positions: Value;
  readonly #blocks: readonly Layer[];
  readonly #norm: Norm;
  /** Tokens of a frame: the patches and the class token. */
  readonly #tokens: number;

  constructor(g: GraphBuilder, d: ModelDescription) {
    const t = shapeOf(d);
    const { width, depth, patch, hidden } = t;
    if (d.height % patch !== 0 || d.width % patch !== 0)
      fail("graph", `frames of ${d.height} x ${d.width} do not divide into patches of ${patch} x ${patch}`);
    this.#g = g;
    this.#d = d;
    this.shape = t;
    this.#tokens = 1 + (d.height / patch) * (d.width / patch);
    const kernel = { out: width, input: 3, kernel: patch, batchNorm: false, bias: true };
    this.#patches = unit(g, "patch_embed.proj", kernel);
    this.#cls = vector(g, "cls_token", "cls_token", [1, 1, width]);
    this.#positions = vector(g, "pos_embed", "pos_embed", [1, this.#tokens, width]);
    this.#blocks = Array.from({ length: depth }, (_, i) => {
      const name = `blocks.${i}`;
      const qkv = { weight: `${name}.attn.qkv.weight`, bias: t.qkvBias ? `${name}.attn.qkv.bias` : null };
      const units = { norm1: `${name}.norm1`, qkv, proj: `${name}.attn.proj`, norm2: `${name}.norm2` };
      const mlp = { up: `${name}.mlp.fc1`, down: `${name}.mlp.fc2` };
      return layer(g, name, { width, hidden, units: { ...units, ...mlp }, classOnly: this.#classOnly(i) });
    });
    this.#norm = norm(g, "norm", width);
  }

  /** Behind the last block only the class token is looked at: there it alone asks, though all tokens answer. */
  #classOnly(block: number): boolean {
    return block === this.shape.depth - 1 && !this.#d.everyToken;
  }

  /** Frames [N, H, W, 3] of which a group is taken -> their class tokens behind the last norm, [group, 1, width]. */
  apply(frames: Value, { first, count, suffix }: Group): Value {
    const g = this.#g;
    const { width, patch, heads, epsilon } = this.shape;
    const places = { frames: count, tokens: this.#tokens, width };
    const residual = g.apply(tokens, `positions${suffix}`, { cls: this.#cls, pos: this.#positions }, places).y!;
    const window = { out: width, kernel: patch, stride: patch, padding: pad(0), activation: LINEAR };
    const inputs = { x: frames, ...this.#patches, residual };
    let x = g.apply(conv2d, `patch_embed${suffix}`, inputs, { ...window, first, frames: count, lead: 1 }).y!;
    for (const [i, block] of this.#blocks.entries()) {
      const shares = this.#d.shares === true && i === this.#blocks.length - 1;
      x = preNorm(g, block, x, { heads, epsilon, shares, group: suffix });
    }
    const normed = g.apply(layerNorm, `norm${suffix}`, { x, ...this.#norm }, { epsilon }).y!;
    return extent(normed.spec, 1) === 1 ? normed : g.apply(takeRow, `class${suffix}`, { x: normed }, { row: 0 }).y!;
  }
}
