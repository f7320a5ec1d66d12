// Files of augmentation networks with synthetic weights, as tools/reference/export_augmenter.py makes them.
import { buildAugmenter } from "../src/models/augment.ts";
import { writeSafetensors } from "../src/weights/safetensors.ts";
import type { AugmenterShape } from "../src/weights/types.ts";
import { syntheticTensors } from "./synthetic_model.ts";

/** The bytes of a file; `idle`: of a network that changes nothing. */
export function augmenterFile(
  shape: AugmenterShape,
  metadata: Readonly<Record<string, string>>,
  idle = false,
): Uint8Array {
  const graph = buildAugmenter(shape);
  const shapes = Object.assign({}, ...graph.values.map(({ source }) => source?.tensors));
  const entries = [...syntheticTensors(graph)].map(([name, data]) => [
    name,
    {
      dtype: "F32" as const,
      shape: shapes[name] as number[],
      data: data.map((v) => (idle && /^leave/.test(name) ? 0 : v)),
    },
  ]);
  return writeSafetensors(Object.fromEntries(entries), { model: "kinema-augment", ...metadata });
}
