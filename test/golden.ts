// Golden tensors of a model: PyTorch's outputs and intermediate tensors, some of them as evenly strided samples.
import { readFileSync } from "node:fs";
import { channels, extent, rows, type TensorSpec, toChannelsFirst } from "../src/core/tensor.ts";
import type { ModelDescription, ModelName, TransformerShape } from "../src/models/index.ts";
import { standardShift } from "../src/models/index.ts";
import { fromBytes } from "../src/weights/byte_source.ts";
import { openSafetensors } from "../src/weights/safetensors.ts";

export interface Golden {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, Float32Array>;
  /** Shape [N, 3, H, W] of the input. */
  readonly inputShape: readonly [number, number, number, number];
  readonly inputName: string;
  readonly description: ModelDescription;
}

export async function readGolden(file: string): Promise<Golden> {
  const checkpoint = await openSafetensors(
    fromBytes(new Uint8Array(readFileSync(new URL(`./golden/models/${file}.safetensors`, import.meta.url))), file),
  );
  const tensors = new Map<string, Float32Array>();
  for (const name of checkpoint.tensors.keys()) tensors.set(name, await checkpoint.readF32(name));
  const { metadata } = checkpoint;
  const [inputName, shape] = /^(\w+) (\[.*?\])/.exec(metadata.input!)!.slice(1) as [string, string];
  const inputShape = JSON.parse(shape) as [number, number, number, number];
  const model = metadata.model as ModelName;
  return {
    metadata,
    tensors,
    inputShape,
    inputName,
    description: {
      model,
      frames: inputShape[0],
      height: inputShape[2],
      width: inputShape[3],
      classes: Number(metadata.classes),
      shifted: new Set(standardShift(model)),
      shiftDivisor: 8,
      padding: metadata.padding as "same" | "symmetric",
      folded: false,
      transformer: metadata.sizes ? transformerOf(model, inputShape[0], metadata.sizes) : null,
    },
  };
}

/** The network of a golden transformer: its sizes are metadata in PyTorch's names for them. */
function transformerOf(model: ModelName, frames: number, sizes: string): TransformerShape {
  const { temporal_depth, temporal_heads, temporal_hidden, ...spatial } = JSON.parse(sizes);
  return {
    ...spatial,
    frames: model === "stam" ? frames : null,
    temporalDepth: temporal_depth ?? 0,
    temporalHeads: temporal_heads ?? 0,
    temporalHidden: temporal_hidden ?? 0,
    qkvBias: true,
    epsilon: model === "stam" ? 1e-5 : 1e-6,
  };
}

/** An engine tensor [N, H, W, C] (or [N, C]) as the golden file stores it: channels first, every k-th value. */
export function asGolden(data: Float32Array, spec: TensorSpec, golden: Golden, name: string): Float32Array {
  const plane =
    spec.shape.length === 4
      ? ([extent(spec, 0), extent(spec, 1), extent(spec, 2), channels(spec)] as const)
      : ([rows(spec), 1, 1, channels(spec)] as const);
  const ordered = toChannelsFirst(data, plane);
  const stride = Number(golden.metadata[`stride:${name}`] ?? 1);
  return stride === 1 ? ordered : ordered.filter((_, i) => i % stride === 0);
}

/** Largest absolute difference, and the cosine of the two. */
export function compare(
  got: ArrayLike<number>,
  want: ArrayLike<number>,
): { max: number; cosine: number; largest: number } {
  if (got.length !== want.length) throw new Error(`${got.length} values, ${want.length} wanted`);
  let [max, dot, a, b, largest] = [0, 0, 0, 0, 0];
  for (let i = 0; i < got.length; i++) {
    const [g, w] = [got[i]!, want[i]!];
    const difference = Math.abs(g - w);
    if (!(difference <= max)) max = difference; // keeps NaN
    dot += g * w;
    a += g * g;
    b += w * w;
    largest = Math.max(largest, Math.abs(w));
  }
  return { max, cosine: dot / Math.sqrt(a * b), largest };
}
