import { type Graph, GraphBuilder, type Value } from "../core/graph.ts";
import { extent, tensor } from "../core/tensor.ts";
import { addRows, history, layerNorm, takeRow, tokens } from "../ops/index.ts";
import type { ModelDescription } from "./describe.ts";
import { classify } from "./head.ts";
import { vector } from "./layers.ts";
import { layer, norm, postNorm } from "./transformer.ts";
import { inGroups, SpatialEncoder, shapeOf } from "./vit.ts";

/**
 * STAM (Sharir et al., "An Image is Worth 16x16 Words, What is a Video Worth?"): a ViT per frame and a temporal encoder over
 * the frames' class tokens. video [T, H, W, 3], values from 0 to 1 -> logits [1, classes]. With one frame at a time it is a
 * stream: a ring keeps the features of the last T frames, and every frame gives the logits of the clip that ends with it.
 */
export function buildStam(d: ModelDescription): Graph {
  return inGroups(d, (groups) => {
    const g = new GraphBuilder(d.model);
    const { width, frames: clip } = shapeOf(d);
    const video = g.input("video", tensor(d.frames, d.height, d.width, 3));
    const spatial = new SpatialEncoder(g, d);
    const frames = d.frames === 1 ? (clip ?? 1) : d.frames;
    const ring = d.frames === 1 ? g.state("history", tensor(frames + 1, width)) : null;
    const cls = vector(g, "aggregate.cls_token", "aggregate.cls_token", [1, 1, width]);
    const pos = vector(g, "aggregate.pos_embed", "aggregate.pos_embed", [1, frames + 1, width]);
    let x = g.apply(tokens, "aggregate.positions", { cls, pos }, { frames: 1, tokens: frames + 1, width }).y!;
    for (const [i, group] of groups.entries()) {
      const features = spatial.apply(video, group);
      const rows = ring ? g.apply(history, "history.frames", { x: features, state: ring }, {}).y! : features;
      const name = i === groups.length - 1 ? "aggregate.tokens" : `aggregate.tokens.${i}`;
      x = g.apply(addRows, name, { into: x, x: rows }, { at: 1 + group.first }).y!;
    }
    return classify(g, d, aggregate(g, d, x));
  });
}

/** The temporal encoder: the tokens of a clip, its class token first, [1, T + 1, width] -> the class token [1, 1, width]. */
function aggregate(g: GraphBuilder, d: ModelDescription, sequence: Value): Value {
  const t = shapeOf(d);
  const { width, epsilon, temporalHeads: heads, temporalHidden: hidden } = t;
  let x = sequence;
  for (let i = 0; i < t.temporalDepth; i++) {
    const last = i === t.temporalDepth - 1;
    const at = `aggregate.transformer_enc.layers.${i}`;
    const qkv = { weight: `${at}.self_attn.in_proj_weight`, bias: `${at}.self_attn.in_proj_bias` };
    const units = { norm1: `${at}.norm1`, qkv, proj: `${at}.self_attn.out_proj`, norm2: `${at}.norm2` };
    const shape = { width, hidden, units: { ...units, up: `${at}.linear1`, down: `${at}.linear2` } };
    const weights = layer(g, `aggregate.${i}`, { ...shape, classOnly: last && !d.everyToken });
    x = postNorm(g, weights, x, { heads, epsilon, shares: d.shares === true && last });
  }
  const weights = norm(g, "aggregate.transformer_enc.norm", width);
  const normed = g.apply(layerNorm, "aggregate.norm", { x, ...weights }, { epsilon }).y!;
  return extent(normed.spec, 1) === 1 ? normed : g.apply(takeRow, "aggregate.class", { x: normed }, { row: 0 }).y!;
}
