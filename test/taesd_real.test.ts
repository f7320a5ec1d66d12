// Latent auto-encoders with their authors' weights, against PyTorch (tools/reference/taesd.py).
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { fileSource } from "../src/host/file_source.ts";
import { type NamedTensor, runModel } from "../src/run.ts";
import { fromBytes } from "../src/weights/byte_source.ts";
import { type Checkpoint, openCheckpoint } from "../src/weights/checkpoint.ts";
import { clipImages, squares } from "../tools/reference/clip_frames.ts";
import { dataFile, hasData } from "./data.ts";
import { compare } from "./golden.ts";
import { useGpu } from "./gpu.ts";

const fixture = useGpu();

/** Fixed values of the fixed picture R = x / 63, G = y / 63, B = a board of squares of 8: check_taesd.py, in f64. */
const REAL = {
  taesdxl: {
    latent: 4,
    corner: [-0.58954, 0.85476, -0.28159, 1.96694],
    mean: 0.39964,
    deviation: 0.92534,
    pixel: [0.93717, 0.57482, 0.78219],
    means: [0.52295, 0.51159, 0.47842],
    clip: 0,
  },
  taef1: {
    latent: 16,
    corner: [0.33088, -1.65491, 0.0309, -0.29932],
    mean: -0.17694,
    deviation: 0.85011,
    pixel: [0.3894, 0.30924, 0.99635],
    means: [0.49875, 0.52571, 0.48429],
    clip: 1,
  },
} as const;
const NAMES = ["taesdxl", "taef1"] as const;
const CLIPS = ["clips/intel-bottle-detection.mp4", "clips/asl/book.mp4"];
const WEIGHTS = NAMES.flatMap((name) => ["encoder", "decoder"].map((part) => `weights/${name}_${part}.safetensors`));
const SIDE = 64;

const average = (values: Float32Array): number => values.reduce((a, b) => a + b, 0) / values.length;

/** dB, over 8-bit levels. */
function psnr(a: Float32Array, b: Float32Array): number {
  const level = (v: number) => Math.round(255 * Math.min(1, Math.max(0, v)));
  return 20 * Math.log10(255) - 10 * Math.log10(average(a.map((v, i) => (level(v) - level(b[i]!)) ** 2)));
}

describe.skipIf(!hasData(...WEIGHTS))("real weights", () => {
  const goldenOf = async (name: string): Promise<Checkpoint> => {
    const bytes = readFileSync(new URL(`./golden/models/${name}.safetensors`, import.meta.url));
    return openCheckpoint(fromBytes(new Uint8Array(bytes), name));
  };
  const run = async (name: string, part: "encoder" | "decoder", input: NamedTensor, taps: readonly string[] = []) => {
    const checkpoint = await openCheckpoint(await fileSource(dataFile(`weights/${name}_${part}.safetensors`)));
    const inputs = new Map([[part === "encoder" ? "image" : "latent", input]]);
    const result = await runModel(fixture.gpu, checkpoint, inputs, { taps });
    expect(result.model).toBe(`taesd-${part}`);
    return result.tensors;
  };
  const picture = Float32Array.from({ length: 3 * SIDE * SIDE }, (_, i) => {
    const [x, y, c] = [i % SIDE, Math.floor(i / SIDE) % SIDE, Math.floor(i / (SIDE * SIDE))];
    return c === 0 ? x / 63 : c === 1 ? y / 63 : ((y >> 3) + (x >> 3)) & 1;
  });
  const close = (got: readonly number[], want: readonly number[]) =>
    expect(Math.max(...want.map((v, i) => Math.abs(got[i]! - v)))).toBeLessThanOrEqual(5e-5);

  it.each(NAMES)(
    "%s gives PyTorch's values, layer by layer",
    async (name) => {
      const want = REAL[name];
      const golden = await goldenOf(name);
      const names = [...golden.tensors.keys()];
      const shape = [1, want.latent, SIDE / 8, SIDE / 8];
      const encoded = await run(name, "encoder", { shape: [1, 3, SIDE, SIDE], data: picture }, names);
      const latents = { shape, data: Float32Array.from(await golden.readF32("latent")) };
      const decoded = await run(name, "decoder", latents, names);
      const wrong: string[] = [];
      for (const key of names) {
        const got = (encoded.get(key) ?? decoded.get(key))!;
        const stride = Number(golden.metadata[`stride:${key}`] ?? 1);
        const { max, cosine } = compare(
          got.data.filter((_, i) => i % stride === 0),
          await golden.readF32(key),
        );
        if (!(max <= 2e-3) || !(cosine >= 0.999999)) wrong.push(`${key}: off by ${max}, cosine ${cosine}`);
      }
      expect(wrong).toEqual([]);
      expect(names.length).toBeGreaterThan(70);
      const z = encoded.get("latent")!;
      expect(z.shape).toEqual(shape);
      const mean = average(z.data);
      const deviation = Math.sqrt(z.data.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (z.data.length - 1));
      close(
        [0, 1, 2, 3].map((c) => z.data[64 * c]!),
        want.corner,
      );
      close([mean, deviation], [want.mean, want.deviation]);
      const y = decoded.get("image")!;
      const plane = (c: number) => y.data.slice(c * SIDE * SIDE, (c + 1) * SIDE * SIDE);
      expect(y.shape).toEqual([1, 3, SIDE, SIDE]);
      close(
        [0, 1, 2].map((c) => plane(c)[10 * SIDE + 20]!),
        want.pixel,
      );
      close(
        [0, 1, 2].map((c) => average(plane(c))),
        want.means,
      );
    },
    180_000,
  );

  it.skipIf(!hasData(...CLIPS)).each(NAMES)(
    "%s brings a frame of a real clip back as PyTorch does",
    async (name) => {
      const golden = await goldenOf(name);
      const frames = JSON.parse(golden.metadata.frames!) as [string, number[]][];
      const { clip } = REAL[name];
      const indices = frames[clip]![1];
      const image = await clipImages([{ path: dataFile(CLIPS[clip]!), indices }], squares(128));
      const latent = (await run(name, "encoder", image)).get("latent")!;
      const back = (await run(name, "decoder", latent)).get("image")!;
      const wanted = (JSON.parse(golden.metadata.psnr!) as number[])[clip]!;
      expect(Math.abs(psnr(back.data, image.data) - wanted)).toBeLessThanOrEqual(0.05);
    },
    240_000,
  );
});
