// The augmentation network against PyTorch (tools/train/augment_model.py): what its layers make of latents, and the change that comes out.
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { augmenterOf, openAugmenter } from "../src/augmenter.ts";
import { compareTensors, stridesOf } from "../src/compare.ts";
import { buildAugmenter } from "../src/models/augment.ts";
import { readTensors } from "../src/run.ts";
import { createSession } from "../src/session.ts";
import { recogniseAugmenter } from "../src/weights/augmenter.ts";
import { fromBytes } from "../src/weights/byte_source.ts";
import { type Checkpoint, openCheckpoint } from "../src/weights/checkpoint.ts";
import { writeSafetensors } from "../src/weights/safetensors.ts";
import type { AugmenterShape } from "../src/weights/types.ts";
import { useGpu } from "./gpu.ts";
import { syntheticTensor } from "./synthetic.ts";
import { syntheticTensors } from "./synthetic_model.ts";

const fixture = useGpu();

/** A file of synthetic weights, as tools/reference/export_augmenter.py makes them. */
function file(shape: AugmenterShape, metadata: Readonly<Record<string, string>>): Promise<Checkpoint> {
  const graph = buildAugmenter(shape);
  const shapes = Object.assign({}, ...graph.values.map(({ source }) => source?.tensors));
  const entries = [...syntheticTensors(graph)].map(([name, data]) => [
    name,
    { dtype: "F32" as const, shape: shapes[name] as number[], data },
  ]);
  return openCheckpoint(fromBytes(writeSafetensors(Object.fromEntries(entries), metadata), "augment.safetensors"));
}

describe("the augmentation network", () => {
  let golden: Checkpoint;
  let shape: AugmenterShape;
  let weights: Checkpoint;
  beforeAll(async () => {
    const path = new URL("golden/models/augmenter.safetensors", import.meta.url);
    golden = await openCheckpoint(fromBytes(new Uint8Array(readFileSync(path)), "augmenter"));
    const { steps, side, channels, heads, layers, hidden } = JSON.parse(golden.metadata.network!);
    const latent = Number(golden.metadata.latent);
    shape = { steps, sites: side ** 2, latent, half: channels, heads, layers, hidden };
    weights = await file(shape, { model: "kinema-augment", network: golden.metadata.network! });
  });

  it("is known by its names, shapes and metadata, and nothing else is", async () => {
    expect(recogniseAugmenter(weights)).toEqual(shape);
    const without = (name: string) => new Map([...weights.tensors].filter(([key]) => key !== name));
    expect(recogniseAugmenter({ ...weights, tensors: without("leave.weight") })).toBeNull();
    expect(recogniseAugmenter({ ...weights, tensors: without("positions") })).toBeNull();
    const named = (metadata: Record<string, string>) => ({
      ...weights,
      metadata: { ...weights.metadata, ...metadata },
    });
    expect(recogniseAugmenter(named({ network: '{"heads": 5, "aligned": true}' }))).toBeNull();
    expect(recogniseAugmenter(named({ network: '{"heads": 2, "aligned": false}' }))).toBeNull();
    expect(() => augmenterOf(named({ model: "another" }))).toThrow(/holds no augmentation network/);
  });

  it("agrees with PyTorch in every layer", async () => {
    const { steps, sites, latent, half, layers } = shape;
    const { graph, weights: source } = openAugmenter(weights);
    using session = await createSession(fixture.gpu, graph, source);
    const z = syntheticTensor("latent", [1, steps, sites, latent]);
    const told = syntheticTensor("image", [1, sites, 8]);
    const description = Float32Array.from({ length: steps * told.length }, (_, i) => told[i % told.length]!);
    const names = new Map([
      ["enter", "tokens"],
      ...Array.from({ length: layers }, (_, i) => [`layers.${i}.down`, `layers.${i}`] as const),
    ]);
    const got = await session.run({ latent: Float32Array.from(z), description }, { tap: [...names.keys()] });
    const tensors = new Map(
      [...names].map(([ours, theirs]) => [theirs, { shape: [steps, sites, 2 * half], data: got[ours]! }]),
    );
    tensors.set("out", { shape: [steps, sites, latent], data: got.change!.map((change, i) => change + z[i]!) });
    const want = await readTensors(golden);
    const strides = stridesOf(golden.metadata);
    expect([...want.keys()].sort()).toEqual([...tensors.keys()].sort());
    for (const { name, ok, max } of compareTensors(tensors, want, strides)) {
      expect(ok, name).toBe(true);
      expect(max, name).toBeLessThanOrEqual(1e-3);
    }
  }, 60_000);
});
