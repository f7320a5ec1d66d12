import { fail } from "../core/fail.ts";
import { type Graph, GraphBuilder, type Value } from "../core/graph.ts";
import { channels, tensor } from "../core/tensor.ts";
import {
  type Activation,
  conv2d,
  conv3d,
  convTranspose,
  groupMoments,
  groupNorm,
  LINEAR,
  pad,
  RELU,
  softClamp,
  stateSpec,
} from "../ops/index.ts";
import type { LatentModel } from "../weights/models.ts";
import type { LatentHalf } from "../weights/types.ts";
import type { ModelDescription } from "./describe.ts";
import { conv, convFilters, shuffledConv, transposedFilters, twoFrameConv, unshuffledConv } from "./filters.ts";
import { vector } from "./layers.ts";
import { fusedGrow, fusedPool } from "./taesd_filters.ts";

/** Latents beyond it are worth no more: 3 tanh(z / 3). */
const LATENT_BOUND = 3;
const GROUPS = 4;
const EPSILON = 1e-5;

/**
 * One half of an auto-encoder of the TAESD family (tools/reference/taesd.py). Encoders: `image` or `video` [frames, height, width, 3] in [0, 1] ->
 * `latent` [frames / together, height / p, width / p, L]; decoders: `latent` -> `image` or `video`, not clamped; p is 8 times the side of
 * the pixel shuffle. `frames` are pictures, of a decoder latents; height and width are the picture's. A half with memory is a stream: its states keep
 * every block's last input, and a clip may come in pieces of any length.
 */
export function buildLatentHalf(d: ModelDescription): Graph {
  const latents = d.latents ?? fail("graph", `a ${d.model} needs its latents described`);
  return latents.half === "encoder" ? new Half(d, latents).encoder() : new Half(d, latents).decoder();
}

/** The picture of a half by name: a frame by itself or of a clip. */
export const pictureOf = ({ model }: Pick<LatentHalf, "model">): "image" | "video" =>
  model.startsWith("taesd-") ? "image" : "video";

/** How a convolution is applied. */
interface ConvOptions {
  readonly stride?: number;
  readonly activation?: Activation;
  readonly bias?: boolean;
  readonly residual?: Value;
  readonly carry?: Value | undefined;
}

/** A half under construction: layers by their number in the file. */
class Half {
  readonly #g: GraphBuilder;
  readonly #d: ModelDescription;
  readonly #l: LatentHalf;

  constructor(d: ModelDescription, latents: LatentHalf) {
    this.#g = new GraphBuilder(d.model);
    this.#d = d;
    this.#l = latents;
  }

  encoder(): Graph {
    const { frames, height, width } = this.#d;
    const [first] = this.#l.widths as [number];
    const picture = this.#g.input(pictureOf(this.#l), tensor(frames, height, width, 3));
    let [x, at] = [this.#fromPicture(picture, first), 1];
    if (this.#l.memory) at = 2;
    else x = this.#block(at++, x, false);
    for (const [stage, time] of this.#l.time.entries()) {
      if (this.#l.memory) x = this.#pooled(++at, x, time);
      else x = this.#conv(`${at}`, x, first, { stride: 2, bias: false });
      at++;
      for (let i = 0; i < 3; i++) x = this.#block(at++, x, this.#l.pools && stage === 2);
    }
    this.#g.output("latent", this.#conv(`${at}`, x, this.#l.latent));
    return this.#g.build();
  }

  decoder(): Graph {
    const { frames, height, width } = this.#d;
    const { latent, widths, time, pools } = this.#l;
    const [tall, wide] = [height, width].map((size) => size / (8 * this.#l.shuffle)) as [number, number];
    const grows = this.#l.model === "taehv-decoder";
    const z = this.#g.input("latent", tensor(frames, tall, wide, latent));
    let x = this.#g.apply(softClamp, "decoder.0", { x: z }, { bound: LATENT_BOUND }).y!;
    x = this.#conv("1", x, widths[0]!, { activation: RELU });
    let at = 3;
    for (const [stage, count] of time.entries()) {
      for (let i = 0; i < 3; i++) x = this.#block(at++, x, pools && stage === 0);
      at += grows ? 2 : 1;
      x = this.#up(at++, x, widths[stage + 1] ?? widths[0]!, grows ? count : 0, grows && stage === 2 ? RELU : LINEAR);
    }
    if (grows) at++;
    else x = this.#block(at++, x, false);
    this.#g.output(pictureOf(this.#l), this.#toPicture(`${at}`, x));
    return this.#g.build();
  }

  #name(layer: string): string {
    return `${this.#l.half}.${layer}`;
  }

  #tensors(layer: string, bias: boolean): { weight: string; bias?: string } {
    const name = this.#name(layer);
    return { weight: `${name}.weight`, ...(bias ? { bias: `${name}.bias` } : {}) };
  }

  /** 3x3, or 1x1 with `kernel` 1. */
  #conv(layer: string, x: Value, out: number, options: ConvOptions & { readonly kernel?: 1 | 3 } = {}): Value {
    const { stride = 1, activation = LINEAR, bias = true, residual, carry, kernel = 3 } = options;
    const f = conv(channels(x.spec), out, kernel);
    const weights = convFilters(this.#g, this.#name(layer), f, this.#tensors(layer, bias));
    const attrs = { out, kernel, stride, padding: pad((kernel - 1) / 2), activation };
    return this.#g.apply(conv2d, this.#name(layer), { x, ...weights, residual, carry }, attrs).y!;
  }

  /** The first layer: a pixel shuffle's squares are read where they lie in the picture. */
  #fromPicture(x: Value, out: number): Value {
    const side = this.#l.shuffle;
    const activation = this.#l.memory ? RELU : LINEAR;
    if (side === 1) return this.#conv("0", x, out, { activation });
    const weights = convFilters(this.#g, this.#name("0"), unshuffledConv(3, out, 3, side), this.#tensors("0", true));
    const attrs = { out, kernel: 3 * side, stride: side, padding: pad(side), activation };
    return this.#g.apply(conv2d, this.#name("0"), { x, ...weights }, attrs).y!;
  }

  /** The last layer of a decoder: a pixel shuffle's squares are written where they belong. */
  #toPicture(layer: string, x: Value): Value {
    const side = this.#l.shuffle;
    if (side === 1) return this.#conv(layer, x, 3);
    const f = shuffledConv(channels(x.spec), 3, 3, side);
    const weights = transposedFilters(this.#g, this.#name(layer), f, this.#tensors(layer, true));
    return this.#g.apply(
      convTranspose,
      this.#name(layer),
      { x, ...weights },
      { out: 3, ...f.window, activation: LINEAR },
    ).y!;
  }

  /** TPool and the strided convolution behind it, layers `at - 1` and `at`. */
  #pooled(at: number, x: Value, time: number): Value {
    const width = channels(x.spec);
    const names = { pool: this.#name(`${at - 1}.conv.weight`), conv: this.#name(`${at}.weight`) };
    const weights = fusedPool(this.#g, this.#name(`${at}`), width, time, names);
    const padding = { ...pad(1), front: 0, back: 0 };
    const window = { kernel: [time, 3, 3], stride: [time, 2, 2] } as const;
    const attrs = { out: width, ...window, padding, activation: LINEAR };
    return this.#g.apply(conv3d, this.#name(`${at}`), { x, ...weights }, attrs).y!;
  }

  /** Nearest x2 and the convolution behind it, layer `at`; with `time` the frames that TGrow, layer `at - 1`, makes of one. */
  #up(at: number, x: Value, out: number, time: number, activation: Activation): Value {
    const names = { grow: time ? this.#name(`${at - 1}.conv.weight`) : null, conv: this.#name(`${at}.weight`) };
    const { w, bias, window } = fusedGrow(this.#g, this.#name(`${at}`), channels(x.spec), out, time, names);
    return this.#g.apply(convTranspose, this.#name(`${at}`), { x, w, bias }, { out, ...window, activation }).y!;
  }

  /** ReLU(conv(ReLU(conv(ReLU(conv(x))))) + x), summed in x's memory; what is read for the sum is kept for the next frame. */
  #block(at: number, input: Value, attends: boolean): Value {
    const x = attends ? this.#attended(at, input) : input;
    const width = channels(x.spec);
    const state = this.#l.memory ? this.#g.state(this.#name(`${at}.past`), stateSpec(x.spec, width)) : undefined;
    const [first, second, last] = [0, 2, 4].map((part) => `${at}.conv.${part}`) as [string, string, string];
    let h = state ? this.#remembering(first, x, state) : this.#conv(first, x, width, { activation: RELU });
    h = this.#conv(second, h, width, { activation: RELU });
    return this.#conv(last, h, width, { activation: RELU, residual: x, carry: state });
  }

  /** The first convolution of a MemBlock: over each frame and the one before, neither copied. */
  #remembering(layer: string, x: Value, past: Value): Value {
    const width = channels(x.spec);
    const f = twoFrameConv(width, width, 3);
    const weights = convFilters(this.#g, this.#name(layer), f, this.#tensors(layer, true));
    const padding = { ...pad(1), front: 1, back: 0 };
    const attrs = { out: width, kernel: f.kernel, stride: [1, 1, 1], padding, activation: RELU } as const;
    return this.#g.apply(conv3d, this.#name(layer), { x, ...weights, past }, attrs).y!;
  }

  /** x + 1x1(ReLU(group norm(1x1(x)))), where the norm is over the whole image. */
  #attended(at: number, x: Value): Value {
    const width = channels(x.spec);
    const name = this.#name(`${at}.pool.1`);
    const wide = this.#conv(`${at}.pool.0`, x, GROUPS * width, { kernel: 1, bias: false });
    const moments = this.#g.apply(groupMoments, `${name}.moments`, { x: wide }, { groups: GROUPS }).y!;
    const affine = {
      scale: vector(this.#g, `${name}.weight`, `${name}.weight`, [GROUPS * width]),
      shift: vector(this.#g, `${name}.bias`, `${name}.bias`, [GROUPS * width]),
    };
    const attrs = { epsilon: EPSILON, activation: RELU };
    const h = this.#g.apply(groupNorm, name, { x: wide, moments, ...affine }, attrs).y!;
    return this.#conv(`${at}.pool.3`, h, width, { kernel: 1, bias: false, residual: x });
  }
}

/** The members of the family that are built where nobody gives a file: TAESD of SDXL, TAESDV of it, TAEHV of Hunyuan Video. */
export function standardLatents(model: LatentModel): LatentHalf {
  const image = { latent: 4, widths: [64], time: [1, 1, 1], memory: false } as const;
  const video = { latent: 16, memory: true } as const;
  const base = {
    model,
    half: model.endsWith("-encoder") ? "encoder" : "decoder",
    pools: false,
    shuffle: 1,
    faults: [],
  } as const;
  if (model === "taesdv-decoder") return { ...base, ...image, memory: true };
  if (model === "taehv-encoder") return { ...base, ...video, widths: [64], time: [2, 2, 1] };
  if (model === "taehv-decoder") return { ...base, ...video, widths: [256, 128, 64, 64], time: [1, 2, 2] };
  return { ...base, ...image };
}
