// Halves of latent auto-encoders with synthetic weights, as the files that hold them.
import { wantedTensors } from "../src/core/graph.ts";
import { buildModel, type LatentHalf, type ModelDescription } from "../src/models/index.ts";
import type { NamedTensor } from "../src/run.ts";
import { fromBytes } from "../src/weights/byte_source.ts";
import { type Checkpoint, openCheckpoint } from "../src/weights/checkpoint.ts";
import { writeSafetensors } from "../src/weights/safetensors.ts";
import { framesPerRun, pixelsPerLatent } from "../src/weights/taesd.ts";
import { describeModel } from "./describe_model.ts";
import { syntheticTensor } from "./synthetic.ts";

/** What a half is where nothing else is said: TAESD, 4 channels a latent. */
export function half(model: LatentHalf["model"], more: Partial<LatentHalf> = {}): LatentHalf {
  const plain = { latent: 4, widths: [64], pools: false, memory: false, time: [1, 1, 1], shuffle: 1, faults: [] };
  return { model, half: model.endsWith("-encoder") ? "encoder" : "decoder", ...plain, ...more };
}

/** A half on the smallest picture; `frames` as its graph counts them. */
export function describeHalf(latents: LatentHalf, more: Partial<ModelDescription> = {}): ModelDescription {
  const side = pixelsPerLatent(latents);
  const size = { frames: framesPerRun(latents), height: side, width: side };
  return describeModel(latents.model, { ...size, classes: null, latents, ...more });
}

export type Tensors = Map<string, { shape: readonly number[]; data: Float32Array }>;

/** The tensors of a half by canonical name. */
export const tensorsOf = (latents: LatentHalf): Tensors =>
  new Map(
    [...wantedTensors(buildModel(describeHalf(latents)))].map(([name, shape]) => [
      name,
      { shape, data: syntheticTensor(name, shape) },
    ]),
  );

/** A file of tensors; `bare`: without the half in front of the names. */
export function latentFile(tensors: Tensors, name = "latents.safetensors", bare = false): Promise<Checkpoint> {
  const entries = [...tensors].map(
    ([key, { shape, data }]) =>
      [bare ? key.replace(/^\w+\./, "") : key, { dtype: "F32" as const, shape: [...shape], data }] as const,
  );
  return openCheckpoint(fromBytes(writeSafetensors(Object.fromEntries(entries)), name));
}

export type Shape4 = readonly [number, number, number, number];

/** The synthetic input of that name. */
export const latentInput = (name: string, shape: Shape4): Map<string, NamedTensor> =>
  new Map([[name, { shape, data: Float32Array.from(syntheticTensor(name, shape)) }]]);
