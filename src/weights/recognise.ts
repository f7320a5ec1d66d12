/** Which model a checkpoint holds, from its names and shapes, and from the file name where the names cannot tell. */
import { MODEL_NAMES, type ModelName, standardShift } from "./models.ts";
import { type LatentHalves, recogniseLatents } from "./taesd.ts";
import { recogniseTransformer } from "./transformer.ts";
import type { Checkpoint, Transformer } from "./types.ts";
import { isIgnorable, mobileNetStyle, unitName } from "./unit_names.ts";

export { MODEL_NAMES, type ModelName, type Transformer };

export interface Recognised {
  /** Null when the names are of no model that Kinema has. */
  readonly model: ModelName | null;
  /** Canonical name -> name in the file. */
  readonly tensors: ReadonlyMap<string, string>;
  /** Names in the file that are known and not needed (num_batches_tracked). */
  readonly ignored: string[];
  /** Names in the file that no known model has. */
  readonly unknown: string[];
  /** Canonical names of the units that a temporal shift precedes, in network order. */
  readonly shifted: readonly string[];
  readonly classes: number | null;
  /** Frames per clip that the model was trained for, where the file name tells. */
  readonly segments: number | null;
  /** A shift moves floor(C / shiftDivisor) channels each way. */
  readonly shiftDivisor: number;
  /** "same": stride-2 convolutions pad bottom and right only, as TensorFlow does. */
  readonly padding: "symmetric" | "same";
  /** True when batch norm is already inside the convolutions. */
  readonly folded: boolean;
  /** The network of a "stam" or "vit" file; null for every other. */
  readonly transformer: Transformer | null;
  /** The halves of a latent auto-encoder that the file holds; null for every other. `model` is the decoder's where there is one. */
  readonly latents: LatentHalves | null;
}

const DEFAULT_SHIFT_DIVISOR = 8;

/** No temporal shift, no batch norm. */
const PLAIN = { shifted: [], shiftDivisor: DEFAULT_SHIFT_DIVISOR, padding: "symmetric", folded: true } as const;

/**
 * Recognises a checkpoint. Reads no tensor data and never throws: an unknown file has `model` null.
 * Kinema's own files state `model`, `segments`, `shiftDivisor` and `padding` in their metadata.
 */
export function recognise(checkpoint: Checkpoint): Recognised {
  const found = recogniseTransformer(checkpoint);
  if (!found) return recogniseHalves(checkpoint) ?? recogniseUnits(checkpoint);
  const { model, tensors, transformer } = found;
  const classes = checkpoint.tensors.get(tensors.get("head.weight") ?? "")?.shape[0] ?? null;
  const ignored = found.unknown.filter(isIgnorable);
  const unknown = found.unknown.filter((raw) => !isIgnorable(raw));
  return {
    model,
    tensors,
    ignored,
    unknown,
    classes,
    segments: transformer.frames || null,
    ...PLAIN,
    transformer,
    latents: null,
  };
}

/** Latent auto-encoders. */
function recogniseHalves(checkpoint: Checkpoint): Recognised | null {
  const found = recogniseLatents(checkpoint);
  if (!found) return null;
  const { model, tensors, unknown, halves } = found;
  const nothing = { ignored: [], classes: null, segments: null, transformer: null };
  return { model, tensors, unknown, ...nothing, ...PLAIN, latents: halves };
}

/** ResNet and MobileNetV2, with or without shift: networks of convolution units. */
function recogniseUnits(checkpoint: Checkpoint): Recognised {
  const style = mobileNetStyle(checkpoint.tensors.keys());
  const tensors = new Map<string, string>();
  const marked = new Set<string>();
  const ignored: string[] = [];
  const unknown: string[] = [];
  for (const raw of checkpoint.tensors.keys()) {
    if (isIgnorable(raw)) {
      ignored.push(raw);
      continue;
    }
    const found = unitName(raw, style);
    const name = found && `${found.unit}.${found.part}`;
    if (!found || !name || tensors.has(name)) {
      unknown.push(raw);
      continue;
    }
    tensors.set(name, raw);
    if (found.shifted) marked.add(found.unit);
  }
  const model = decideModel(tensors, marked, checkpoint);
  const implied = model === "tsm-mobilenetv2-online" || checkpoint.metadata.model === model;
  const classes = checkpoint.tensors.get(tensors.get("head.weight") ?? "")?.shape[0];
  return {
    model,
    tensors,
    ignored,
    unknown,
    shifted: marked.size === 0 && implied && model ? standardShift(model) : [...marked].sort(compareUnits),
    classes: classes ?? null,
    segments: fromMetadata(checkpoint, "segments") ?? segmentsOf(baseName(checkpoint.name)),
    shiftDivisor: fromMetadata(checkpoint, "shiftDivisor") ?? shiftDivisorOf(baseName(checkpoint.name)),
    padding: /\bsame\b/i.test(checkpoint.metadata.padding ?? "") ? "same" : "symmetric",
    folded: tensors.size > 0 && ![...tensors.keys()].some((name) => name.includes(".bn.")),
    transformer: null,
    latents: null,
  };
}

function decideModel(
  tensors: ReadonlyMap<string, string>,
  marked: ReadonlySet<string>,
  checkpoint: Checkpoint,
): ModelName | null {
  const stated = MODEL_NAMES.find((name) => name === checkpoint.metadata.model);
  if (tensors.has("blocks.17.project.weight") && tensors.has("blocks.1.depthwise.weight")) {
    if (stated?.includes("mobilenetv2")) return stated;
    if (marked.size > 0) return "tsm-mobilenetv2";
    return saysOnline(checkpoint) ? "tsm-mobilenetv2-online" : "mobilenetv2";
  }
  const depths = [1, 2, 3, 4, 5].map((layer) => depthOf(tensors, layer)).join();
  const nonLocal = [...tensors.keys()].some((name) => name.includes(".nl."));
  if (depths === "3,4,6,3,0") return nonLocal ? "tsm-resnet50-nl" : "tsm-resnet50";
  return depths === "3,4,23,3,0" && !nonLocal ? "tsm-resnet101" : null;
}

/** Bottleneck blocks in a ResNet layer: conv3 tells them from the blocks of ResNet-18 and 34. */
function depthOf(tensors: ReadonlyMap<string, string>, layer: number): number {
  let depth = 0;
  while (tensors.has(`layer${layer}.${depth}.conv3.weight`)) depth++;
  return tensors.has(`layer${layer}.${depth + 1}.conv3.weight`) ? -1 : depth; // a hole: no network of ours
}

/** The online file has no `.net`; only its name or metadata tells it from an image model. */
function saysOnline(checkpoint: Checkpoint): boolean {
  const { metadata } = checkpoint;
  const words = [baseName(checkpoint.name), metadata.arch, metadata.name, metadata.dataset];
  return words.some((word) => word !== undefined && /online|jester/i.test(word));
}

/** The last part of a path or address, without query. */
function baseName(path: string): string {
  return path
    .replace(/[?#].*$/, "")
    .split(/[/\\]/)
    .at(-1)!;
}

/** `segment8` (official) or `1x1x8` (mmaction2: clip length x interval x clips). */
function segmentsOf(file: string): number | null {
  const match = /segment(\d{1,4})/i.exec(file) ?? /(?:^|[-_])1x1x(\d{1,4})(?=[-_.]|$)/.exec(file);
  const segments = match ? Number(match[1]) : 0;
  return segments > 0 ? segments : null;
}

/** `shift8`. */
function shiftDivisorOf(file: string): number {
  const divisor = Number(/shift(\d{1,3})/i.exec(file)?.[1] ?? 0);
  return divisor >= 2 ? divisor : DEFAULT_SHIFT_DIVISOR;
}

function fromMetadata(checkpoint: Checkpoint, key: string): number | null {
  const text = checkpoint.metadata[key] ?? "";
  return /^[1-9]\d{0,3}$/.test(text) ? Number(text) : null;
}

/** layer1.2.conv1 before layer1.10.conv1. */
function compareUnits(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}
