// The augmentation network against PyTorch (tools/train/augment_model.py): what its layers make of latents, and the change that comes out.
import { existsSync, readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { Augmenter, augmenterOf, openAugmenter } from "../src/augmenter.ts";
import { compareTensors, stridesOf } from "../src/compare.ts";
import { quantiserHash } from "../src/compressor.ts";
import { fileSource } from "../src/host/file_source.ts";
import { described, resampled, type Transform, transformOf } from "../src/latent_transform.ts";
import { readTensors } from "../src/run.ts";
import { createSession } from "../src/session.ts";
import { recogniseAugmenter } from "../src/weights/augmenter.ts";
import { fromBytes } from "../src/weights/byte_source.ts";
import { type Checkpoint, openCheckpoint } from "../src/weights/checkpoint.ts";
import type { AugmenterShape } from "../src/weights/types.ts";
import { augmenterFile } from "./augmenter_file.ts";
import { useGpu } from "./gpu.ts";
import { syntheticTensor } from "./synthetic.ts";

const fixture = useGpu();

const file = (...of: Parameters<typeof augmenterFile>): Promise<Checkpoint> =>
  openCheckpoint(fromBytes(augmenterFile(...of), "augment.safetensors"));

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
    weights = await file(shape, { network: golden.metadata.network! });
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
    tensors.set("out", { shape: [steps, sites, latent], data: got.changed! });
    const want = await readTensors(golden);
    const strides = stridesOf(golden.metadata);
    expect([...want.keys()].sort()).toEqual([...tensors.keys()].sort());
    for (const { name, ok, max } of compareTensors(tensors, want, strides)) {
      expect(ok, name).toBe(true);
      expect(max, name).toBeLessThanOrEqual(1e-3);
    }
  }, 60_000);
});

describe("changes of pictures", () => {
  it("are one map, in their order: flipped, turned, cut", () => {
    const { matrix, shift, brightness, saturation } = transformOf({
      flip: true,
      rotate: 90,
      crop: 0.5,
      brightness: 0.1,
    });
    // The upper edge of the result shows the right edge of the flipped picture, which is the left one of the source.
    expect(matrix.map((v) => v + 0)).toEqual([0, 0.5, 0.5, 0]);
    expect([shift, brightness, saturation]).toEqual([[0, 0], 0.1, 1]);
    expect(transformOf({ rotate: -90 }).matrix.map((v) => v + 0)).toEqual([0, -1, 1, 0]);
  });

  it.each([
    [{ rotate: 45 }, /^rotate 45 is beyond what the network was trained on, -20 to 20 degrees from a quarter turn$/],
    [{ crop: 0.4 }, /^crop 0.4 is beyond .* 0.5 to 1$/],
    [{ crop: Number.NaN }, /^crop NaN/],
    [{ brightness: 0.3 }, /^brightness 0.3/],
    [{ saturation: 0 }, /^saturation 0/],
  ])("%o is refused", (changes, message) => {
    expect(() => transformOf(changes)).toThrow(message);
  });
});

describe("codes of changed pictures", () => {
  const shape: AugmenterShape = { steps: 2, sites: 16, latent: 16, half: 8, heads: 2, layers: 1, hidden: 12 };
  const network = JSON.stringify({ heads: shape.heads, aligned: true });
  let compressor: Checkpoint;
  let book: Float32Array;
  const open = async (idle: boolean, metadata: Record<string, string> = {}) => {
    const quantiser = await quantiserHash(compressor);
    const weights = await file(shape, { network, quantiser, ...metadata }, idle);
    return Augmenter.create(fixture.gpu, weights, compressor);
  };
  /** Codes [steps, 2, rows, columns], hard to guess. */
  const made = (steps: number, rows: number, columns: number) =>
    Uint8Array.from({ length: steps * 2 * rows * columns }, (_, i) => (i * 37 + (i >> 3) * 11 + 5) % 251);
  beforeAll(async () => {
    compressor = await openCheckpoint(await fileSource("weights/kinema-compressor-192.safetensors"));
    book = await compressor.readF32("quantiser.codebook");
  });

  it("a network that changes nothing leaves them where they are, or where a flip or a quarter turn puts them", async () => {
    using augmenter = await open(true);
    const [steps, rows, columns] = [3, 8, 12];
    const codes = made(steps, rows, columns);
    expect(await augmenter.augment(codes, [rows, columns], transformOf({}))).toEqual(codes);
    const mirrored = codes.map((_, i) => codes[i - (i % columns) + columns - 1 - (i % columns)]!);
    expect(mirrored).not.toEqual(codes);
    expect(await augmenter.augment(codes, [rows, columns], transformOf({ flip: true }))).toEqual(mirrored);
    const square = made(2, 8, 8);
    const turned = square.map((_, i) => square[i - (i % 64) + (i % 8) * 8 + 7 - ((i % 64) >> 3)]!);
    expect(await augmenter.augment(square, [8, 8], transformOf({ rotate: 90 }))).toEqual(turned);
  }, 60_000);

  it("between sites they are the codes nearest to what lies there", async () => {
    using augmenter = await open(true);
    const [rows, columns] = [8, 12];
    const codes = made(2, rows, columns);
    const transform: Transform = { ...transformOf({ rotate: 7, crop: 0.8 }), shift: [5, -9] };
    const found = await augmenter.augment(codes, [rows, columns], transform);
    const [a, b, c, d] = transform.matrix;
    let told = 0;
    for (let step = 0; step < 2; step++)
      for (let row = 0; row < rows; row++)
        for (let column = 0; column < columns; column++)
          for (let part = 0; part < 2; part++) {
            const plane = codes.subarray((step * 2 + part) * rows * columns);
            // Pixels from the centre, then rows and columns of sites of 8 pixels.
            const [y, x] = [8 * (row + 0.5) - 4 * rows, 8 * (column + 0.5) - 4 * columns];
            const r = Math.min(Math.max((a * y + b * x + 5 + 4 * rows) / 8 - 0.5, 0), rows - 1);
            const s = Math.min(Math.max((c * y + d * x - 9 + 4 * columns) / 8 - 0.5, 0), columns - 1);
            const vector = Array.from({ length: 8 }, (_, i) => {
              let sum = 0;
              for (let p = 0; p < rows; p++)
                for (let q = 0; q < columns; q++)
                  sum +=
                    Math.max(0, 1 - Math.abs(r - p)) *
                    Math.max(0, 1 - Math.abs(s - q)) *
                    book[(part * 256 + plane[p * columns + q]!) * 8 + i]!;
              return sum;
            });
            const far = Array.from({ length: 256 }, (_, code) =>
              vector.reduce((sum, v, i) => sum + (v - book[(part * 256 + code) * 8 + i]!) ** 2, 0),
            );
            const order = far.map((_, code) => code).sort((m, n) => far[m]! - far[n]!);
            if (far[order[1]!]! - far[order[0]!]! < 1e-4) continue; // f32 may take either
            told++;
            expect(found[((step * 2 + part) * rows + row) * columns + column]).toBe(order[0]);
          }
    expect(told).toBeGreaterThan(350);
  }, 60_000);

  it("windows do not see each other, pairs of steps neither, and a last step alone stands for two", async () => {
    using augmenter = await open(false);
    const window = made(2, 4, 4);
    const once = await augmenter.augment(window, [4, 4], transformOf({ brightness: 0.1 }));
    expect(once.filter((code, i) => code !== window[i]).length).toBeGreaterThan(8);
    // Beside itself, and a second time behind itself; then its last step without the other.
    const beside = new Uint8Array(128).map((_, i) => window[(i >> 3) * 4 + (i % 4)]!);
    const twice = Uint8Array.from([...beside, ...beside]);
    const both = await augmenter.augment(twice, [4, 8], transformOf({ brightness: 0.1 }));
    expect(both).toEqual(twice.map((_, i) => once[((i % 128) >> 3) * 4 + (i % 4)]!));
    const last = window.subarray(32);
    const alone = await augmenter.augment(last, [4, 4], transformOf({ brightness: 0.1 }));
    const paired = await augmenter.augment(
      Uint8Array.from([...last, ...last]),
      [4, 4],
      transformOf({ brightness: 0.1 }),
    );
    expect(alone).toEqual(paired.subarray(0, 32));
  }, 60_000);

  it("of another compressor, or on a grid that is no multiple of a window, are refused", async () => {
    await expect(open(true, { quantiser: "0".repeat(64), compressor: "another-1" })).rejects.toThrow(
      /changes the codes of another-1, not those of .*kinema-compressor-192/,
    );
    using augmenter = await open(true);
    await expect(augmenter.augment(made(1, 6, 8), [6, 8], transformOf({}))).rejects.toThrow(
      /do not divide into windows of 4 x 4.* multiple of 32 pixels/,
    );
    await expect(augmenter.augment(made(1, 4, 4).subarray(1), [4, 4], transformOf({}))).rejects.toThrow(/whole steps/);
  }, 60_000);
});

const SHIPPED = new URL("../weights/kinema-augment-192.safetensors", import.meta.url);
describe.skipIf(!existsSync(SHIPPED))("the augmentation network that ships", () => {
  it("is told what training told it, and agrees with PyTorch in every layer", async () => {
    const bytes = (path: URL) => fromBytes(new Uint8Array(readFileSync(path)), path.pathname);
    const weights = await openCheckpoint(bytes(SHIPPED));
    const golden = await openCheckpoint(
      bytes(new URL("golden/models/kinema-augment-192.safetensors", import.meta.url)),
    );
    const want = await readTensors(golden);
    const compressor = await openCheckpoint(await fileSource("weights/kinema-compressor-192.safetensors"));
    const shape = augmenterOf(weights);
    const { steps, sites, latent, half, layers } = shape;
    const edge = Math.sqrt(sites);
    // As write_golden() of tools/train/augment_export.py has it.
    const transform = transformOf({ flip: true, crop: 0.8, brightness: 0.1, saturation: 0.7 });
    const grid = { rows: edge, columns: edge, side: 8 };
    const book = await compressor.readF32("quantiser.codebook");
    const codes = want.get("codes")!.data; // [steps, codebooks, sites]
    const z = Float32Array.from({ length: steps * sites * latent }, (_, i) => {
      const [step, site, channel] = [Math.floor(i / sites / latent), Math.floor(i / latent) % sites, i % latent];
      const part = channel >> 3;
      return book[(part * 256 + codes[(step * 2 + part) * sites + site]!) * 8 + (channel & 7)]!;
    });
    const step = sites * latent;
    const aligned = Float32Array.from(
      Array.from({ length: steps }, (_, t) => [
        ...resampled(z.subarray(t * step, (t + 1) * step), latent, grid, transform),
      ]).flat(),
    );
    const told = described(grid, transform);
    const near = (got: Float32Array, name: string, most: number) => {
      const data = want.get(name)!.data;
      expect(got.length, name).toBe(data.length);
      expect(Math.max(...got.map((v, i) => Math.abs(v - data[i]!))), name).toBeLessThanOrEqual(most);
    };
    near(aligned, "z", 1e-5);
    near(told, "description", 1e-5);
    const { graph, weights: source } = openAugmenter(weights, compressor);
    using session = await createSession(fixture.gpu, graph, source);
    const description = Float32Array.from({ length: steps * told.length }, (_, i) => told[i % told.length]!);
    const names = new Map([
      ["enter", "tokens"],
      ...Array.from({ length: layers }, (_, i) => [`layers.${i}.down`, `layers.${i}`] as const),
    ]);
    const got = await session.run({ latent: aligned, description }, { tap: [...names.keys()] });
    const tensors = new Map(
      [...names].map(([ours, theirs]) => [theirs, { shape: [steps, sites, 2 * half], data: got[ours]! }]),
    );
    tensors.set("out", { shape: [steps, sites, latent], data: got.changed! });
    const compared = new Map([...want].filter(([name]) => tensors.has(name)));
    expect(compared.size).toBe(layers + 2);
    for (const { name, ok, max } of compareTensors(tensors, compared, stridesOf(golden.metadata))) {
      expect(ok, name).toBe(true);
      expect(max, name).toBeLessThanOrEqual(1e-3);
    }
  }, 60_000);
});
