/** Names and shapes of ViT (timm) and STAM checkpoints, written out from tsm-stam.md 6, and files of them. */

import type { TensorToWrite } from "../../../src/weights/safetensors.ts";
import { writeSafetensors } from "../../../src/weights/safetensors.ts";
import { seeded } from "./bytes.ts";
import type { Shapes } from "./synthetic_names.ts";
import * as torch from "./torch_writer.ts";

export interface TransformerOptions {
  readonly width?: number;
  readonly depth?: number;
  readonly hidden?: number;
  readonly patch?: number;
  /** Patches along a side. */
  readonly grid?: number;
  readonly classes?: number;
  readonly qkvBias?: boolean;
  readonly prefix?: string;
}

export interface StamOptions extends TransformerOptions {
  readonly frames?: number;
  readonly temporalDepth?: number;
  readonly temporalHidden?: number;
}

/** ViT-B/16 at 224 unless told otherwise, in the order of timm's state_dict. */
export function vit(options: TransformerOptions = {}): Shapes {
  const { width = 768, depth = 12, hidden = 4 * width, patch = 16, grid = 14, classes = 1000 } = options;
  const { qkvBias = true, prefix = "" } = options;
  const shapes: Record<string, readonly number[]> = {
    cls_token: [1, 1, width],
    pos_embed: [1, 1 + grid * grid, width],
    "patch_embed.proj.weight": [width, 3, patch, patch],
    "patch_embed.proj.bias": [width],
  };
  for (let block = 0; block < depth; block++) {
    const at = `blocks.${block}`;
    pair(shapes, `${at}.norm1`, [width]);
    shapes[`${at}.attn.qkv.weight`] = [3 * width, width];
    if (qkvBias) shapes[`${at}.attn.qkv.bias`] = [3 * width];
    pair(shapes, `${at}.attn.proj`, [width, width]);
    pair(shapes, `${at}.norm2`, [width]);
    pair(shapes, `${at}.mlp.fc1`, [hidden, width]);
    pair(shapes, `${at}.mlp.fc2`, [width, hidden]);
  }
  pair(shapes, "norm", [width]);
  pair(shapes, "head", [classes, width]);
  return Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [prefix + name, shape]));
}

/** STAM-16 unless told otherwise. */
export function stam(options: StamOptions = {}): Shapes {
  const { width = 768, frames = 16, temporalDepth = 6, temporalHidden = 2048, prefix = "" } = options;
  const shapes: Record<string, readonly number[]> = {
    "aggregate.cls_token": [1, 1, width],
    "aggregate.pos_embed": [1, frames + 1, width],
  };
  for (let layer = 0; layer < temporalDepth; layer++) {
    const at = `aggregate.transformer_enc.layers.${layer}`;
    shapes[`${at}.self_attn.in_proj_weight`] = [3 * width, width];
    shapes[`${at}.self_attn.in_proj_bias`] = [3 * width];
    pair(shapes, `${at}.self_attn.out_proj`, [width, width]);
    pair(shapes, `${at}.linear1`, [temporalHidden, width]);
    pair(shapes, `${at}.linear2`, [width, temporalHidden]);
    pair(shapes, `${at}.norm1`, [width]);
    pair(shapes, `${at}.norm2`, [width]);
  }
  pair(shapes, "aggregate.transformer_enc.norm", [width]);
  const named = Object.entries(shapes).map(([name, shape]) => [prefix + name, shape]);
  return { ...Object.fromEntries(named), ...vit({ classes: 400, ...options }) };
}

function pair(shapes: Record<string, readonly number[]>, unit: string, weight: readonly number[]): void {
  shapes[`${unit}.weight`] = weight;
  shapes[`${unit}.bias`] = [weight[0]!];
}

/** A whole STAM of a few kilobytes: 2 blocks and 2 temporal layers of 64 channels, 4 frames of 8x8 pixels, 5 classes. */
export const SMALL = {
  ...{ width: 64, depth: 2, hidden: 24, patch: 4, grid: 2, classes: 5 },
  ...{ frames: 4, temporalDepth: 2, temporalHidden: 20 },
} as const;

/** Numbers for every tensor: uniform in [-0.5, 0.5). */
export function numbersFor(shapes: Shapes): Map<string, Float32Array<ArrayBuffer>> {
  const random = seeded(7);
  return new Map(
    Object.entries(shapes).map(([name, shape]) => [
      name,
      Float32Array.from({ length: shape.reduce((product, extent) => product * extent, 1) }, () => random() - 0.5),
    ]),
  );
}

export type FileKind = "safetensors" | "torch zip" | "torch legacy";

/** A file with numbers for every tensor; a torch file holds them in `{model: ...}`, as STAM's do. */
export function fileOf(
  shapes: Shapes,
  kind: FileKind,
  metadata: Record<string, string> = {},
  values: ReadonlyMap<string, Float32Array<ArrayBuffer>> = numbersFor(shapes),
): Uint8Array {
  const numbers = [...values];
  if (kind === "safetensors") {
    const entries = numbers.map(([name, data]): [string, TensorToWrite] => [
      name,
      { dtype: "F32", shape: shapes[name]!, data },
    ]);
    return writeSafetensors(Object.fromEntries(entries), metadata);
  }
  const tensors = numbers.map(([name, data], i): [string, string] => [
    name,
    torch.tensor(
      { key: String(i), count: torch.int(data.length), items: kind === "torch zip" ? 5 : 6 },
      torch.int(0),
      shapes[name]!.map(torch.int),
      shapes[name]!.map((_, axis) => torch.int(shapes[name]!.slice(axis + 1).reduce((a, b) => a * b, 1))),
    ),
  ]);
  const plain = Object.entries(metadata).map(([key, value]): [string, string] => [key, torch.text(value)]);
  const object = torch.dict(...plain, ["model", torch.dict(...tensors)]);
  const bytes = numbers.map(([, data], i) => [String(i), new Uint8Array(data.buffer)] as const);
  if (kind === "torch zip") return torch.torchZip(object, bytes);
  return torch.legacy(
    object,
    bytes.map(([key, data]) => [key, data.length / 4, data]),
  );
}
