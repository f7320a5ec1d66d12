/** Networks that read a compressor's codes (tools/train/codes_export.py). */
import type { Checkpoint, MotionCodesShape, Quantiser } from "./types.ts";

/** The `model` of the file's metadata. */
export const MOTION_CODES = "kinema-motion-codes";

/** Rows of the table that codes are looked up in: of every codebook, or of every level of a scalar quantiser. */
export const tableRows = (q: Quantiser): number =>
  q.kind === "vq" ? q.codebooks * q.codes : q.levels.reduce((sum, level) => sum + level, 0);

/**
 * The network that a file holds: its widths and quantiser from the metadata, which the tensors' shapes must bear out. Reads no tensor data
 * and never throws: null for a file of anything else, and for one whose parts do not fit each other.
 */
export function recogniseMotionCodes({ metadata, tensors }: Checkpoint): MotionCodesShape | null {
  if (metadata.model !== MOTION_CODES) return null;
  const { backbone } = metadata;
  const network = parsed(metadata.network);
  const quantiser = quantiserOf(network.parts);
  const [widths, blocks] = [network.widths, network.blocks];
  if ((backbone !== "s3d" && backbone !== "tsm") || !quantiser || !isCounts(widths, 4096) || !isCounts(blocks, 64))
    return null;
  const table = tensors.get("stem.embed.weight")?.shape ?? [];
  const joined = tensors.has("stem.join.weight");
  const classes = tensors.get("classifier.weight")?.shape[0] ?? 0;
  const fits = table.length === 2 && table[0] === tableRows(quantiser) && (joined || table[1] === widths[0]);
  if (!fits || widths.length < 2 || widths.length !== blocks.length || classes < 1) return null;
  return { backbone, widths, blocks, classes, quantiser, fine: joined ? table[1]! : null };
}

/** Stages, and levels of a quantiser. */
const MOST = 16;

const isCounts = (value: unknown, most: number): value is readonly number[] =>
  Array.isArray(value) &&
  value.length >= 1 &&
  value.length <= MOST &&
  value.every((n) => Number.isInteger(n) && n >= 1 && n <= most);

function parsed(text = ""): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** More codes than a store's codebook can have. */
const MOST_CODES = 2 ** 18;

function quantiserOf(value: unknown): Quantiser | null {
  const { kind, codes, dim, codebooks, levels } = (value ?? {}) as Readonly<Record<string, unknown>>;
  if (kind === "vq" && isCounts([codes, dim, codebooks], MOST_CODES))
    return { kind, codes: codes as number, dim: dim as number, codebooks: codebooks as number };
  return kind === "fsq" && isCounts(levels, MOST_CODES) && levels.every((level) => level >= 2)
    ? { kind, levels }
    : null;
}
