// The augmentation network of "Compressed Vision" (Wiles et al., ACCV 2022): what the latents of a picture become when the picture is changed.
import { type Graph, GraphBuilder, type Value } from "../core/graph.ts";
import { extent, tensor } from "../core/tensor.ts";
import { attention, GELU_TANH, LINEAR, layerNorm, matmul, RELU, tokens } from "../ops/index.ts";
import type { Activation } from "../ops/matmul.ts";
import type { AugmenterShape, Quantiser } from "../weights/types.ts";
import { CODEBOOK, quantise } from "./codebooks.ts";
import { linear, vector } from "./layers.ts";
import { norm } from "./transformer.ts";

/** Numbers that describe the change at a site; tools/train/augment_transform.py says which. */
export const DESCRIPTION = 8;
/** Hidden channels of the network that reads them, and its hidden layers. */
const READER = { channels: 64, layers: 3 };
/** Epsilon of every layer norm (PyTorch's default). */
const EPSILON = 1e-5;

/**
 * `latent` [steps, sites, channels], the vectors where each site's content comes from, and `description` [steps, sites, 8] -> `changed` [steps, sites,
 * channels], those of the changed picture, and, given its compressor's quantiser, `codes` [steps, sites, codebooks]. An MLP reads the description into
 * half of a site's channels, a linear layer the latent into the other half, positions are added; pre-norm layers attend over time, then over space, and
 * end in an MLP; what comes out is added to the latent.
 */
export function buildAugmenter(shape: AugmenterShape, quantiser?: Quantiser): Graph {
  const { steps, sites, latent, half, hidden } = shape;
  const width = 2 * half;
  const g = new GraphBuilder("augment");
  const z = g.input("latent", tensor(steps, sites, latent));
  const product = (
    name: string,
    from: Value,
    outputs: number,
    more: {
      readonly within?: number;
      readonly bias?: boolean;
      readonly activation?: Activation;
      readonly residual?: Value;
    } = {},
  ): Value => {
    const { within, bias = true, activation = LINEAR, residual } = more;
    const input = extent(from.spec, 2);
    const names = { weight: `${name}.weight`, bias: bias ? `${name}.bias` : null };
    const place = within === undefined ? {} : { within: { at: within, width } };
    const weights = linear(g, name, { ...names, outputs, input, ...place });
    const out = within === undefined ? outputs : width;
    return g.apply(matmul, name, { x: from, ...weights, residual }, { out, activation }).y!;
  };

  let told = g.input("description", tensor(steps, sites, DESCRIPTION));
  for (let i = 0; i < READER.layers; i++) told = product(`transform.${i}`, told, READER.channels, { activation: RELU });
  const pos = vector(g, "positions", "positions", [steps, sites, width]);
  const places = g.apply(tokens, "places", { pos }, { frames: steps, tokens: sites, width }).y!;
  const described = product(`transform.${READER.layers}`, told, half, { within: 0, residual: places });
  let x = product("enter", z, half, { within: half, residual: described });

  const normed = (name: string, from: Value): Value =>
    g.apply(layerNorm, name, { x: from, ...norm(g, name, width) }, { epsilon: EPSILON }).y!;
  const attended = (name: string, from: Value, over: { readonly steps?: number }): Value => {
    const qkv = product(`${name}.qkv`, normed(`${name}.norm`, from), 3 * width, { bias: false });
    const seen = g.apply(attention, `${name}.attn`, { qkv }, { heads: shape.heads, ...over }).y!;
    return product(`${name}.proj`, seen, width, { residual: from });
  };
  for (let i = 0; i < shape.layers; i++) {
    const name = `layers.${i}`;
    x = attended(`${name}.time`, x, { steps });
    x = attended(`${name}.space`, x, {});
    const wide = product(`${name}.up`, normed(`${name}.norm`, x), hidden, { activation: GELU_TANH });
    x = product(`${name}.down`, wide, width, { residual: x });
  }
  const changed = product("leave", normed("norm", x), latent, { residual: z });
  g.output("changed", changed);
  if (quantiser) g.output("codes", quantise(g, "quantise", changed, quantiser, CODEBOOK));
  return g.build();
}
