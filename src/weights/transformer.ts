/**
 * ViT (timm's names; DeiT is the same network) and STAM: from names and shapes to the network. STAM's spatial encoder is a
 * ViT; its temporal encoder is PyTorch's TransformerEncoder under `aggregate.` (tsm-stam.md 5 and 6).
 */
import { fail } from "../core/fail.ts";
import { show } from "./safetensors_header.ts";
import type { Checkpoint, TensorInfo, Transformer, TransformerInput } from "./types.ts";

/** Wrappers that training leaves in front of every name. */
const PREFIX = /^(?:(?:module|model|ema)\.)+/;

const NAME = new RegExp(
  `^(?:${[
    "(?:aggregate.)?(?:cls_token|pos_embed)",
    "(?:patch_embed.proj|norm|head|aggregate.transformer_enc.norm).(?:weight|bias)",
    "blocks.(?:0|[1-9]\\d{0,2}).(?:norm[12]|attn.qkv|attn.proj|mlp.fc[12]).(?:weight|bias)",
    "aggregate.transformer_enc.layers.(?:0|[1-9]\\d{0,2}).(?:self_attn.in_proj_(?:weight|bias)|(?:self_attn.out_proj|linear[12]|norm[12]).(?:weight|bias))",
  ]
    .join("|")
    .replaceAll(".", "\\.")})$`,
);

/**
 * Parts of ViT's relatives that change what the network computes and that Kinema's graph lacks. Anything else beside the
 * network is reported and left alone; in STAM everything is, as its authors' loader does it.
 */
const FOREIGN: readonly (readonly [RegExp, string])[] = [
  [/^dist_token$/, "a distilled DeiT (dist_token), which has a second class token"],
  [/^blocks\.\d+\.(?:ls[12]\.gamma|gamma_[12])$/, "layer scale"],
  [/^blocks\.\d+\.attn\.(?:[qk]_norm\.|relative_position|[qv]_bias$)/, "another kind of attention"],
  [/^blocks\.\d+\.(?:temporal_|mlp\.(?:w\d+|norm)\b|mlp\.fc1_[gx]\b)/, "another kind of block"],
  [/^pre_logits\./, "a ViT with a layer before its classifier"],
  [/^(?:norm_pre|fc_norm|attn_pool|reg_token|register_tokens|time_embed)\b/, "another kind of ViT"],
];

/** ImageNet's mean and standard deviation, as timm's ViT and DeiT were trained. */
const IMAGENET = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } as const;
/** Values from 0 to 1 as they are: STAM, and MIIL's ViT from which it was trained. */
const UNSCALED = { mean: [0, 0, 0], std: [1, 1, 1] } as const;

const HEAD_WIDTH = 64;
/** Widths whose heads are not 64 channels wide (timm: so400m, huge, giant, gigantic). */
const HEADS: Readonly<Record<number, number>> = { 1152: 16, 1280: 16, 1408: 16, 1664: 16 };
const TEMPORAL_HEADS = 8;
/** STAM as it was published has so many spatial and temporal layers; a file that ends before them lacks some. */
const STAM_BASE = { width: 768, depth: 12, temporalDepth: 6 };
/** A crop is this part of the short side: 224 of 256. */
const CROP_SHARE = 0.875;
const MOST_LAYERS = 1000;
const LISTED = 8;

/** A file's network and its names; null for a file of another family. Reads no tensor data and never throws. */
export interface TransformerFile {
  readonly model: "vit" | "stam";
  readonly transformer: Transformer;
  /** Canonical name (timm's and STAM's own, without prefix) -> name in the file. */
  readonly tensors: ReadonlyMap<string, string>;
  /** Names in the file that the network has no use for. */
  readonly unknown: string[];
}

/** Recognises a ViT or STAM checkpoint by the embedding of its patches and the attention of its blocks. */
export function recogniseTransformer(checkpoint: Checkpoint): TransformerFile | null {
  const tensors = new Map<string, string>();
  const unknown: string[] = [];
  for (const raw of checkpoint.tensors.keys()) {
    const name = raw.length > 200 ? "" : raw.replace(PREFIX, "");
    if (!NAME.test(name) || tensors.has(name)) unknown.push(raw);
    else tensors.set(name, raw);
  }
  const names = [...tensors.keys()];
  const model = names.some((name) => name.startsWith("aggregate.")) ? "stam" : "vit";
  const embeds = tensors.has("patch_embed.proj.weight") || tensors.has("pos_embed");
  if (!embeds || !names.some((name) => name.endsWith(".attn.qkv.weight"))) return null;
  return { model, tensors, unknown, transformer: new Reading(checkpoint, tensors, unknown, model === "stam").result() };
}

/** What the caller asks of the network; left out: what the file says. */
export interface TransformerWishes {
  readonly frames?: number | undefined;
  readonly height?: number | undefined;
  readonly width?: number | undefined;
}

/**
 * Throws ONE error that lists everything for which no network can be built: the file's own faults ("weights-mismatch"), or
 * a clip length or frame size that its learned positions do not have ("bad-input"). STAM also takes 1 frame: a stream.
 */
export function checkTransformer(file: string, t: Transformer, wishes: TransformerWishes = {}): void {
  const { frames, height = t.imageSize, width = t.imageSize } = wishes;
  const unmet: string[] = [];
  if (t.frames && frames !== undefined && frames !== t.frames && frames !== 1)
    unmet.push(
      `its clips have ${t.frames} frames (aggregate.pos_embed has ${t.frames + 1} rows) and ${frames} were asked for: give ${t.frames}, or 1 for a stream`,
    );
  if (t.imageSize > 0 && (height !== t.imageSize || width !== t.imageSize))
    unmet.push(
      `its frames have ${t.imageSize}x${t.imageSize} pixels (pos_embed) and ${height}x${width} were asked for: scale the frames`,
    );
  if (t.faults.length > 0)
    fail("weights-mismatch", `${file} is no ViT that Kinema can run: ${[...t.faults, ...unmet].join("; ")}`, {
      faults: t.faults,
    });
  if (unmet.length > 0) fail("bad-input", `${file}: ${unmet.join("; ")}`, { frames, height, width });
}

/** Reads the network out of the shapes, noting what contradicts itself. */
class Reading {
  private readonly checkpoint: Checkpoint;
  private readonly tensors: ReadonlyMap<string, string>;
  private readonly unknown: readonly string[];
  private readonly stam: boolean;
  private readonly faults: string[] = [];

  constructor(checkpoint: Checkpoint, tensors: ReadonlyMap<string, string>, unknown: readonly string[], stam: boolean) {
    this.checkpoint = checkpoint;
    this.tensors = tensors;
    this.unknown = unknown;
    this.stam = stam;
  }

  result(): Transformer {
    const { stam } = this;
    const { metadata } = this.checkpoint;
    if (!stam) this.foreign();
    const width = this.shape("pos_embed")?.[2] ?? this.shape("patch_embed.proj.weight")?.[0] ?? 0;
    const patch = this.patch();
    const imageSize = this.grid() * patch;
    const least = stam && width === STAM_BASE.width ? STAM_BASE : { depth: 0, temporalDepth: 0 };
    const depth = this.count("blocks", numberIn(metadata, "depth") ?? least.depth);
    const layers = numberIn(metadata, "temporalDepth") ?? least.temporalDepth;
    const temporalDepth = stam ? this.count("aggregate.transformer_enc.layers", layers) : 0;
    const heads = numberIn(metadata, "heads") ?? HEADS[width] ?? width / HEAD_WIDTH;
    const temporalHeads = stam ? (numberIn(metadata, "temporalHeads") ?? TEMPORAL_HEADS) : 0;
    this.checkWidths(width);
    this.checkHeads(width, heads, "spatial");
    if (stam) this.checkHeads(width, temporalHeads, "temporal");
    const preprocessing = inputOf(this.checkpoint, stam, imageSize);
    if (imageSize > 0 && preprocessing.crop !== imageSize)
      this.faults.push(`its metadata crop frames to ${preprocessing.crop} pixels, its pos_embed is of ${imageSize}`);
    return {
      width,
      depth,
      heads,
      hidden: this.firstExtent(/^blocks\.\d+\.mlp\.fc1\.weight$/) ?? 4 * width,
      patch,
      imageSize,
      frames: stam ? this.clipLength() : null,
      temporalDepth,
      temporalHeads,
      temporalHidden: stam ? (this.firstExtent(/\.linear1\.weight$/) ?? 0) : 0,
      qkvBias: [...this.tensors.keys()].some((name) => name.endsWith(".attn.qkv.bias")),
      epsilon: numberIn(metadata, "ln_eps") ?? numberIn(metadata, "epsilon") ?? (stam ? 1e-5 : 1e-6),
      preprocessing,
      faults: this.faults,
    };
  }

  private info(name: string): TensorInfo | undefined {
    return this.checkpoint.tensors.get(this.tensors.get(name) ?? "");
  }

  private shape(name: string): readonly number[] | undefined {
    return this.info(name)?.shape;
  }

  /** The first extent of the first tensor whose canonical name matches. */
  private firstExtent(pattern: RegExp): number | undefined {
    const name = [...this.tensors.keys()].find((key) => pattern.test(key));
    return name === undefined ? undefined : this.shape(name)?.[0];
  }

  /** Parts of relatives: each kind once, with the name that shows it. */
  private foreign(): void {
    for (const [pattern, what] of FOREIGN) {
      const raw = this.unknown.find((name) => pattern.test(name.replace(PREFIX, "")));
      if (raw !== undefined) this.faults.push(`${show(raw)} belongs to ${what}, which Kinema does not have`);
    }
  }

  /** Side of a patch; the embedding is a convolution [width, 3, P, P]. */
  private patch(): number {
    const shape = this.shape("patch_embed.proj.weight");
    const side = shape?.[3];
    if (shape?.length === 4 && shape[1] === 3 && side && shape[2] === side) return side;
    this.wrong("patch_embed.proj.weight", "[width, 3, side, side]");
    return 0;
  }

  /** Patches along a side: pos_embed is [1, 1 + n * n, width], the class token's row first. */
  private grid(): number {
    const shape = this.shape("pos_embed");
    const side = Math.sqrt((shape?.[1] ?? 0) - 1);
    if (shape?.length === 3 && shape[0] === 1 && Number.isInteger(side) && side > 0) return side;
    this.wrong("pos_embed", "[1, 1 + patches of a square, width]");
    return 0;
  }

  /** T: aggregate.pos_embed is [1, T + 1, width], the class token's row first. */
  private clipLength(): number {
    const shape = this.shape("aggregate.pos_embed");
    if (shape?.length === 3 && shape[0] === 1 && shape[1]! > 1) return shape[1]! - 1;
    this.wrong("aggregate.pos_embed", "[1, frames + 1, width]");
    return 0;
  }

  private wrong(name: string, needs: string): void {
    const shape = this.shape(name);
    this.faults.push(shape ? `${name} is [${shape}], needs ${needs}` : `${name} is missing`);
  }

  /** Numbered parts below `prefix`: the highest number plus one, or more if more are known to be. Holes are a fault. */
  private count(prefix: string, least: number): number {
    const found = new Set<number>();
    for (const name of this.tensors.keys())
      if (name.startsWith(`${prefix}.`)) found.add(Number.parseInt(name.slice(prefix.length + 1), 10));
    if (found.size === 0) {
      this.faults.push(`${prefix} are missing`);
      return 0;
    }
    const count = Math.max(...found, Math.min(least, MOST_LAYERS) - 1) + 1;
    const missing = Array.from({ length: count }, (_, i) => i).filter((i) => !found.has(i));
    if (missing.length > 0)
      this.faults.push(`${missing.length} of ${count} ${prefix} are missing: ${list(missing.map(String))}`);
    return count;
  }

  /** Every part says how wide a token is; those that disagree with pos_embed are named. */
  private checkWidths(width: number): void {
    const wrong = [...this.tensors.keys()].flatMap((name) => {
      const own = this.tokenWidth(name);
      return own === undefined || own === width ? [] : [`${name} ${own}`];
    });
    if (wrong.length > 0)
      this.faults.push(`tokens have ${width} channels (pos_embed) and these another number: ${list(wrong)}`);
  }

  private tokenWidth(name: string): number | undefined {
    const shape = this.shape(name);
    if (name === "patch_embed.proj.weight") return shape?.[0];
    if (/cls_token$|\.pos_embed$/.test(name)) return shape?.at(-1);
    return /attn\.qkv\.weight$|in_proj_weight$|^norm\.weight$/.test(name) ? shape?.at(-1) : undefined;
  }

  private checkHeads(width: number, heads: number, which: string): void {
    const each = width / heads;
    if (!Number.isInteger(heads) || each % 4 !== 0 || each < 4 || each > 128)
      this.faults.push(
        `${which} attention of ${heads} heads over ${width} channels: a head has a multiple of 4, at most 128`,
      );
  }
}

/** A positive number in the metadata, or null. */
function numberIn(metadata: Readonly<Record<string, string>>, key: string): number | null {
  const value = Number(metadata[key]?.slice(0, 20) || Number.NaN);
  return Number.isFinite(value) && value > 0 ? value : null;
}

/**
 * The input of the network: as its authors make it, changed by what the metadata say in words
 * ("resize 256 bicubic, crop 224, mean .485 .456 .406 std .229 .224 .225").
 */
function inputOf(checkpoint: Checkpoint, stam: boolean, imageSize: number): TransformerInput {
  const text = checkpoint.metadata.preprocess ?? "";
  const file = checkpoint.name.split(/[/\\]/).at(-1);
  const plain = stam || /miil/i.test(`${checkpoint.metadata.arch} ${file}`);
  const number = "(\\d*\\.?\\d+)";
  const triple = (word: string): [number, number, number] | undefined => {
    const match = new RegExp(`\\b${word} ${number}[ ,]+${number}[ ,]+${number}`).exec(text);
    return match ? [Number(match[1]), Number(match[2]), Number(match[3])] : undefined;
  };
  const length = (word: string) => Number(new RegExp(`\\b${word} (\\d{1,4})\\b`).exec(text)?.[1] ?? 0) || undefined;
  const std = triple("std");
  const base = plain ? UNSCALED : IMAGENET;
  const filter = /\b(bilinear|bicubic)\b/.exec(text)?.[1] ?? (plain ? "bilinear" : "bicubic");
  return {
    resize: length("resize") ?? Math.floor(imageSize / CROP_SHARE),
    crop: length("crop") ?? imageSize,
    filter: filter === "bilinear" ? "bilinear" : "bicubic",
    mean: triple("mean") ?? base.mean,
    std: std?.every((value) => value > 0) ? std : base.std,
  };
}

function list(items: readonly string[]): string {
  return items.slice(0, LISTED).join(", ") + (items.length > LISTED ? `, and ${items.length - LISTED} more` : "");
}
