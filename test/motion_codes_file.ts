// Files of networks on codes with synthetic weights, and codes for them, as tools/reference/export_motion_codes.py makes them.
import { wantedTensors } from "../src/core/graph.ts";
import { buildMotionCodes } from "../src/models/motion_codes.ts";
import { codebookSize } from "../src/weights/compressor.ts";
import { MOTION_CODES } from "../src/weights/motion_codes.ts";
import { writeSafetensors } from "../src/weights/safetensors.ts";
import type { MotionCodesShape, Quantiser } from "../src/weights/types.ts";
import { syntheticTensor } from "./synthetic.ts";

/** The bytes of a file; `metadata` beside what describes the network. */
export function motionCodesFile(shape: MotionCodesShape, metadata: Readonly<Record<string, string>> = {}): Uint8Array {
  const { backbone, widths, blocks, quantiser: parts } = shape;
  const graph = buildMotionCodes({ shape, steps: 1, rows: 8, columns: 8 });
  const count = widths.at(-2)! + widths.at(-1)!;
  const tensors = [
    ...[...wantedTensors(graph)].map(([name, extents]) => [name, syntheticTensor(name, extents), extents] as const),
    ["embedding.mean", syntheticTensor("embedding.bias", [count]), [count]] as const,
    ["embedding.scale", syntheticTensor("embedding.norm.weight", [count]), [count]] as const,
  ];
  const entries = tensors.map(
    ([name, data, extents]) => [name, { dtype: "F32" as const, shape: [...extents], data }] as const,
  );
  const network = JSON.stringify({ widths, blocks, parts });
  return writeSafetensors(Object.fromEntries(entries), { model: MOTION_CODES, backbone, network, ...metadata });
}

/** Codes that are hard to guess and the same everywhere. */
export const madeCodes = (quantiser: Quantiser, count: number): Float32Array<ArrayBuffer> => {
  const size = codebookSize(quantiser);
  return Float32Array.from({ length: count }, (_, i) => (40503 * i + (i >> 5)) % size);
};
