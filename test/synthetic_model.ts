// Whole models of synthetic weights as Kinema's own safetensors files. Runs in Node and in a page.
import { wantedTensors } from "../src/core/graph.ts";
import { buildModel, type ModelName, standardShift } from "../src/models/index.ts";
import { writeSafetensors } from "../src/weights/safetensors.ts";
import { syntheticTensor } from "./synthetic.ts";

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
