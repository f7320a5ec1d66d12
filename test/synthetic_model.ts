// Whole models of synthetic weights as Kinema's own safetensors files. Runs in Node and in a page.
import { type Graph, wantedTensors } from "../src/core/graph.ts";
import { buildModel, type ModelName, standardShift, type TransformerShape } from "../src/models/index.ts";
import { writeSafetensors } from "../src/weights/safetensors.ts";
import { syntheticTensor } from "./synthetic.ts";

/** The tensors that a graph wants, by canonical name. */
export const syntheticTensors = (graph: Graph): Map<string, Float32Array> =>
  new Map([...wantedTensors(graph)].map(([name, shape]) => [name, syntheticTensor(name, shape)]));

/** The tensors of a model by canonical name. */
export function syntheticWeights(
  model: ModelName,
  classes: number | null,
): Map<string, { shape: number[]; data: Float32Array }> {
  const shape = { frames: 1, height: 64, width: 64, padding: "symmetric", folded: false, shiftDivisor: 8 } as const;
  const graph = buildModel({ model, classes, shifted: new Set(standardShift(model)), ...shape });
  return new Map(
    [...wantedTensors(graph)].map(([name, extents]) => [
      name,
      { shape: [...extents], data: syntheticTensor(name, extents) },
    ]),
  );
}

/** The bytes of a file of `model`; `metadata` beside the model's name. */
export function syntheticFile(
  model: ModelName,
  classes: number | null,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const entries = [...syntheticWeights(model, classes)].map(
    ([name, tensor]) => [name, { dtype: "F32" as const, ...tensor }] as const,
  );
  return writeSafetensors(Object.fromEntries(entries), { model, ...metadata });
}

const SPATIAL = { width: 48, depth: 2, heads: 4, hidden: 400, patch: 8, frames: null, qkvBias: true, epsilon: 1e-6 };
const TEMPORAL = { frames: 4, temporalDepth: 2, temporalHeads: 3, temporalHidden: 76, epsilon: 1e-5 };

/** A small ViT and a small STAM for frames of 24x24: 10 tokens a frame, 5 a clip of four. */
export const SMALL_TRANSFORMERS: Readonly<Record<"vit" | "stam", TransformerShape>> = {
  vit: { ...SPATIAL, temporalDepth: 0, temporalHeads: 0, temporalHidden: 0 },
  stam: { ...SPATIAL, ...TEMPORAL },
};
export const SMALL_SIDE = 24;

/** The bytes of a file of a small transformer; `change` may take tensors away, add some or replace them. */
export function transformerFile(
  model: "vit" | "stam",
  classes: number,
  metadata: Readonly<Record<string, string>> = {},
  change: (tensors: Map<string, { shape: number[]; data: Float32Array }>) => void = () => {},
): Uint8Array {
  const transformer = SMALL_TRANSFORMERS[model];
  const graph = buildModel({
    ...{ model, classes, transformer, frames: transformer.frames ?? 1, height: SMALL_SIDE, width: SMALL_SIDE },
    ...{ shifted: new Set<string>(), padding: "symmetric", folded: true, shiftDivisor: 8 },
  });
  const tensors = new Map(
    [...wantedTensors(graph)].map(([name, shape]) => [
      name,
      { shape: [...shape], data: syntheticTensor(name, shape) as Float32Array },
    ]),
  );
  change(tensors);
  const entries = [...tensors].map(([name, tensor]) => [name, { dtype: "F32" as const, ...tensor }] as const);
  const heads = { heads: String(transformer.heads), temporalHeads: String(transformer.temporalHeads) };
  return writeSafetensors(Object.fromEntries(entries), { ...heads, ...metadata });
}
