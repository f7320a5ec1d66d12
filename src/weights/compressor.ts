/** Kinema's own video compressors: one file holds encoder, quantiser and decoder (tools/train/compressor_export.py). */
import type { Checkpoint, CompressorShape, Quantiser } from "./types.ts";

/** The `model` of the file's metadata. */
export const COMPRESSOR = "kinema-compressor";

/**
 * The network that a file holds, from its names and shapes; a scalar quantiser, which has no tensors, from the metadata `levels`. Reads no
 * tensor data and never throws: null for a file of anything else, and for one whose layers do not fit each other.
 */
export function recogniseCompressor(checkpoint: Checkpoint): CompressorShape | null {
  if (checkpoint.metadata.model !== COMPRESSOR) return null;
  const shape = (name: string) => checkpoint.tensors.get(name)?.shape;
  const count = (of: (index: number) => string) => {
    let n = 0;
    while (shape(of(n))) n++;
    return n;
  };
  const layers = count((i) => `encoder.conv.${i}.weight`);
  const channels = shape(`encoder.conv.${layers - 1}.weight`)?.[0] ?? 0;
  const multiple = (shape("decoder.blocks.0.conv1.weight")?.[0] ?? 0) / channels;
  const quantiser = quantiserOf(checkpoint);
  const sound =
    layers <= MOST_LAYERS && [channels / 2 ** (layers - 1), multiple].every((n) => Number.isInteger(n) && n >= 1);
  if (!quantiser || !sound) return null;
  return {
    channels,
    layers,
    time: shape("encoder.time.weight") ? 2 : 1,
    multiple,
    encoderBlocks: count((i) => `encoder.blocks.${i}.conv1.weight`),
    decoderBlocks: count((i) => `decoder.blocks.${i}.conv1.weight`),
    quantiser,
  };
}

/** Strided layers: a code of 64 x 64 pixels. */
const MOST_LAYERS = 6;

function quantiserOf({ metadata, tensors }: Checkpoint): Quantiser | null {
  const book = tensors.get("quantiser.codebook")?.shape;
  if (book) return book.length === 3 ? { kind: "vq", codebooks: book[0]!, codes: book[1]!, dim: book[2]! } : null;
  const text = metadata.levels ?? "";
  const levels = /^\[\d{1,4}(, ?\d{1,4}){0,15}\]$/.test(text) ? (JSON.parse(text) as number[]) : [];
  return levels.length > 0 && levels.every((level) => level >= 2) ? { kind: "fsq", levels } : null;
}

/** Codes in a codebook. */
export const codebookSize = (q: Quantiser): number =>
  q.kind === "vq" ? q.codes : q.levels.reduce((product, level) => product * level, 1);

/** Codes a site. */
export const codebookCount = (q: Quantiser): number => (q.kind === "vq" ? q.codebooks : 1);

/** Pixels a side that a code covers. */
export const pixelsPerCode = ({ layers }: Pick<CompressorShape, "layers">): number => 2 ** layers;

/**
 * The paper's rate: raw 8-bit RGB over codes of fixed length, 24 * strides / bits. Neither entropy coding nor the weights count
 * (utils/metric_utils.py of google-deepmind/compressed_vision).
 */
export function compressionRate({
  time,
  layers,
  quantiser,
}: Pick<CompressorShape, "time" | "layers" | "quantiser">): number {
  const bits = codebookCount(quantiser) * Math.log2(codebookSize(quantiser));
  return (24 * time * pixelsPerCode({ layers }) ** 2) / bits;
}
