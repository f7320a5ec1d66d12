/** `kinema inspect FILE [--json]`: what a weight file holds, from its header alone. */
import { fileSource } from "../host/file_source.ts";
import { AUGMENTER, recogniseAugmenter } from "../weights/augmenter.ts";
import type { Checkpoint, TensorInfo } from "../weights/checkpoint.ts";
import { openCheckpoint } from "../weights/checkpoint.ts";
import { COMPRESSOR, compressionRate, pixelsPerCode, recogniseCompressor } from "../weights/compressor.ts";
import { MOTION_CODES, recogniseMotionCodes } from "../weights/motion_codes.ts";
import type { Recognised, Transformer } from "../weights/recognise.ts";
import { recognise } from "../weights/recognise.ts";
import { framesPerLatent, pixelsPerLatent } from "../weights/taesd.ts";
import type { AugmenterShape, CompressorShape, LatentHalf, MotionCodesShape, Quantiser } from "../weights/types.ts";
import { printable } from "./printable.ts";

/**
 * Describes a weight file as a text table or as one JSON object. Never reads tensor data.
 * Throws what fileSource and openCheckpoint throw.
 */
export async function inspect(path: string, options: { readonly json?: boolean } = {}): Promise<string> {
  const checkpoint = await openCheckpoint(await fileSource(path));
  const recognised = recognise(checkpoint);
  return options.json ? asJson(checkpoint, recognised) : asText(checkpoint, recognised);
}

interface DTypeCount {
  readonly tensors: number;
  readonly bytes: number;
}

function countDTypes(tensors: Iterable<TensorInfo>): Record<string, DTypeCount> {
  const counts: Record<string, DTypeCount> = {};
  for (const { dtype, byteLength } of tensors) {
    const before = counts[dtype] ?? { tensors: 0, bytes: 0 };
    counts[dtype] = { tensors: before.tensors + 1, bytes: before.bytes + byteLength };
  }
  return counts;
}

function asJson(checkpoint: Checkpoint, recognised: Recognised): string {
  const tensors = [...checkpoint.tensors.values()];
  const { model, shifted, classes, segments, shiftDivisor, padding, folded, transformer, latents, ignored, unknown } =
    recognised;
  const report = {
    file: checkpoint.name,
    container: checkpoint.container,
    size: checkpoint.size,
    truncated: checkpoint.missingBytes > 0,
    missingBytes: checkpoint.missingBytes,
    tensorCount: tensors.length,
    presentCount: tensors.filter((tensor) => tensor.present).length,
    tensorBytes: tensors.reduce((sum, tensor) => sum + tensor.byteLength, 0),
    dtypes: countDTypes(tensors),
    model,
    shifted,
    classes,
    segments,
    shiftDivisor,
    padding,
    folded,
    transformer,
    latents,
    ignored: ignored.length,
    unknown,
    metadata: checkpoint.metadata,
    tensors: tensors.map(({ name, dtype, shape, byteLength, present, offset }) => ({
      name,
      dtype,
      shape,
      bytes: byteLength,
      present,
      ...(offset === undefined ? {} : { offset }),
    })),
  };
  return JSON.stringify(report, null, 2);
}

const CONTAINERS = {
  safetensors: "safetensors",
  "torch-zip": "PyTorch, zip",
  "torch-legacy": "PyTorch, legacy stream",
};

function asText(checkpoint: Checkpoint, recognised: Recognised): string {
  const tensors = [...checkpoint.tensors.values()];
  const bytes = tensors.reduce((sum, tensor) => sum + tensor.byteLength, 0);
  const lines: [string, string][] = [
    ["file", printable(checkpoint.name)],
    ["container", CONTAINERS[checkpoint.container]],
    ["size", `${checkpoint.size} bytes`],
    ["tensors", `${tensors.length}, ${bytes} bytes`],
  ];
  for (const [dtype, count] of Object.entries(countDTypes(tensors))) {
    lines.push([`  ${dtype}`, `${count.tensors}, ${count.bytes} bytes`]);
  }
  if (checkpoint.missingBytes > 0) lines.push(["truncated", truncation(checkpoint, tensors)]);
  lines.push(...(ownLines(checkpoint) ?? modelLines(recognised)));
  for (const [key, value] of Object.entries(checkpoint.metadata)) lines.push([`  ${printable(key)}`, printable(value)]);
  const labels = lines.map(([label]) => (label === "" ? "" : `${label}:`));
  const width = labels.reduce((widest, label) => Math.max(widest, label.length), 0);
  const head = lines.map(([, value], i) => `${labels[i]!.padEnd(width)} ${value}`);
  return [...head, "", ...tensorTable(tensors)].join("\n");
}

function truncation(checkpoint: Checkpoint, tensors: readonly TensorInfo[]): string {
  const present = tensors.filter((tensor) => tensor.present).length;
  return `${checkpoint.missingBytes} bytes missing, ${present} of ${tensors.length} tensors present`;
}

function modelLines(recognised: Recognised): [string, string][] {
  const { model, classes, transformer, latents, ignored, unknown } = recognised;
  const lines: [string, string][] = [["model", model ?? "not recognised"]];
  if (model !== null) {
    if (latents) lines.push(...Object.values(latents).flatMap(latentLines));
    else lines.push(...(transformer ? transformerLines(transformer) : unitLines(recognised)));
    if (!latents) lines.push(["classes", classes === null ? "no classifier" : String(classes)]);
  }
  if (ignored.length > 0) lines.push(["not needed", `${ignored.length} tensors`]);
  if (model !== null && unknown.length > 0) {
    const more = unknown.length > 8 ? ` and ${unknown.length - 8} more` : "";
    lines.push(["unknown", `${unknown.length}: ${unknown.slice(0, 8).map(printable).join(", ")}${more}`]);
  }
  return lines;
}

/** Networks of convolution units: TSM and MobileNetV2. */
function unitLines({ shifted, segments, shiftDivisor, padding, folded }: Recognised): [string, string][] {
  const lines: [string, string][] = [
    ["shift", shifted.length === 0 ? "none" : `${shifted.length} units, 1/${shiftDivisor} of the channels`],
  ];
  if (shifted.length > 0) lines.push(["", shifted.join(" ")]);
  lines.push(["segments", segments === null ? "not stated" : String(segments)]);
  lines.push(["padding", padding], ["batch norm", folded ? "folded" : "separate"]);
  return lines;
}

function transformerLines(t: Transformer): [string, string][] {
  const { resize, filter, crop, mean, std } = t.preprocessing;
  const lines: [string, string][] = [
    ["blocks", `${t.depth}, width ${t.width}, ${t.heads} heads, hidden ${t.hidden}, patches of ${t.patch} pixels`],
  ];
  if (t.frames !== null) {
    const layers = `${t.temporalDepth} layers, ${t.temporalHeads} heads, hidden ${t.temporalHidden}`;
    lines.push(["temporal", layers], ["clip", `${t.frames} frames`]);
  }
  lines.push(
    ["input", `resize ${resize} ${filter}, crop ${crop}, mean ${mean.join(" ")}, std ${std.join(" ")}`],
    ["layer norm", `epsilon ${t.epsilon.toExponential()}`],
    ["qkv bias", t.qkvBias ? "stored" : "not stored, zeros"],
  );
  for (const fault of t.faults) lines.push(["fault", printable(fault)]);
  return lines;
}

/** What a file of one of Kinema's own networks around codes says; null for any other. */
function ownLines(checkpoint: Checkpoint): [string, string][] | null {
  const [compressor, onCodes] = [recogniseCompressor(checkpoint), recogniseMotionCodes(checkpoint)];
  const augmenter = recogniseAugmenter(checkpoint);
  if (compressor) return compressorLines(compressor);
  if (onCodes) return motionCodesLines(onCodes);
  return augmenter && augmenterLines(augmenter);
}

const codesText = (q: Quantiser): string =>
  q.kind === "vq" ? `${q.codebooks} x ${q.codes} vectors of ${q.dim}` : `levels ${q.levels.join(" x ")}`;

/** A network that reads a compressor's codes. */
function motionCodesLines({ backbone, widths, blocks, classes, quantiser }: MotionCodesShape): [string, string][] {
  return [
    ["model", `${MOTION_CODES}, ${backbone}`],
    ["stages", `widths ${widths.join(" ")}, blocks ${blocks.join(" ")}`],
    ["reads", `codes: ${codesText(quantiser)}`],
    ["classes", String(classes)],
  ];
}

/** A network that changes what a compressor's codes show. */
function augmenterLines({ steps, sites, latent, half, heads, layers, hidden }: AugmenterShape): [string, string][] {
  return [
    ["model", AUGMENTER],
    ["layers", `${layers}, width ${2 * half}, ${heads} heads, hidden ${hidden}`],
    ["sees", `vectors of ${latent}: ${steps} steps of ${Math.sqrt(sites)} x ${Math.sqrt(sites)} sites`],
  ];
}

/** One of Kinema's own compressors, encoder and decoder. */
function compressorLines(shape: CompressorShape): [string, string][] {
  const { time, layers, channels, encoderBlocks, decoderBlocks, quantiser } = shape;
  const side = pixelsPerCode(shape);
  const codes = codesText(quantiser);
  return [
    ["model", COMPRESSOR],
    ["layers", `${layers} strided to ${channels} channels, ${encoderBlocks} and ${decoderBlocks} residual blocks`],
    ["quantiser", `${codes}, for ${time} x ${side} x ${side} pixels: CR ${compressionRate(shape).toFixed(1)}`],
  ];
}

/** A half of a latent auto-encoder. */
function latentLines(half: LatentHalf): [string, string][] {
  const size = `${pixelsPerLatent(half)}x${pixelsPerLatent(half)} pixels`;
  const frames = framesPerLatent(half);
  const words = [
    `${half.model}, ${half.latent} channels for ${size}${frames > 1 ? ` of ${frames} frames` : ""}`,
    `widths ${half.widths.join(" ")}`,
    ...(half.pools ? ["group norm over the image"] : []),
    ...(half.memory ? ["sees the frame before"] : []),
  ];
  return [[half.half, words.join(", ")], ...half.faults.map((fault): [string, string] => ["fault", printable(fault)])];
}

function tensorTable(tensors: readonly TensorInfo[]): string[] {
  const rows = tensors.map(({ name, dtype, shape, byteLength, present }) => [
    printable(name),
    dtype,
    `[${shape}]`,
    String(byteLength),
    present ? "" : "missing",
  ]);
  const table = [["name", "dtype", "shape", "bytes", ""], ...rows];
  const widths = [0, 1, 2, 3].map((column) => table.reduce((widest, row) => Math.max(widest, row[column]!.length), 0));
  return table.map((row) =>
    row
      .map((cell, column) => (column === 3 ? cell.padStart(widths[3]!) : cell.padEnd(widths[column] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
}
