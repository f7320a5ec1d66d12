// Latent auto-encoders against PyTorch (tools/reference/taesd.py), layer by layer; what they multiply and need.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { countMacs } from "../src/core/graph.ts";
import { plan } from "../src/core/plan.ts";
import { buildModel, type LatentHalf, standardLatents } from "../src/models/index.ts";
import { runModel } from "../src/run.ts";
import { fromBytes } from "../src/weights/byte_source.ts";
import { openCheckpoint } from "../src/weights/checkpoint.ts";
import { recognise } from "../src/weights/recognise.ts";
import { compare } from "./golden.ts";
import { useGpu } from "./gpu.ts";
import { describeHalf, half, latentFile, latentInput, type Tensors, tensorsOf } from "./latent_model.ts";

const fixture = useGpu();

describe("against PyTorch, layer by layer", () => {
  it.each([
    ["taesd-encoder", true],
    ["taesd-decoder", true],
    ["taesd-encoder-pools", true],
    ["taesd-decoder-pools", false],
    ["taesdv-decoder", false],
    ["taehv-encoder", false],
    ["taehv-decoder", false],
    ["taehv-decoder-plain", true],
  ] as const)(
    "%s",
    async (file, bare) => {
      const bytes = readFileSync(new URL(`./golden/models/${file}.safetensors`, import.meta.url));
      const golden = await openCheckpoint(fromBytes(new Uint8Array(bytes), file));
      const latents = JSON.parse(golden.metadata.latents!) as LatentHalf;
      const checkpoint = await latentFile(tensorsOf(latents), file, bare);
      expect(recognise(checkpoint)).toMatchObject({ model: latents.model, latents: { [latents.half]: latents } });
      const [, name, shape] = /^(\w+) (\[.*?\])/.exec(golden.metadata.input!)!;
      const names = [...golden.tensors.keys()];
      const input = latentInput(name!, JSON.parse(shape!));
      const { tensors } = await runModel(fixture.gpu, checkpoint, input, { taps: names });
      expect(names.length).toBeGreaterThan(30);
      const wrong: string[] = [];
      for (const key of names) {
        const [got, want] = [tensors.get(key), await golden.readF32(key)];
        const stride = Number(golden.metadata[`stride:${key}`] ?? 1);
        const { max, cosine } = compare(
          (got?.data ?? new Float32Array()).filter((_, i) => i % stride === 0),
          want,
        );
        // f32 against f64: numbers of order 1 through some forty convolutions of at most 1,152 terms.
        if (!(max <= 2e-5) || !(cosine >= 0.999999)) wrong.push(`${key}: off by ${max}, cosine ${cosine}`);
      }
      expect(wrong).toEqual([]);
    },
    120_000,
  );
});

/** A TAESDV decoder that does what a TAESD decoder does: it gives the frame before no weight. */
function withMemory(tensors: Tensors): Tensors {
  return new Map(
    [...tensors].map(([name, { shape, data }]) => {
      if (!name.endsWith(".conv.0.weight")) return [name, { shape, data }];
      const [out, input, ...taps] = shape as [number, number, number, number];
      const row = data.length / out;
      const wide = new Float32Array(2 * data.length);
      for (let o = 0; o < out; o++) wide.set(data.subarray(o * row, (o + 1) * row), 2 * o * row);
      return [name, { shape: [out, 2 * input, ...taps], data: wide }];
    }),
  );
}

describe("memory that holds nothing", () => {
  it("makes of TAESDV the TAESD decoder, bit for bit", async () => {
    const tensors = tensorsOf(half("taesd-decoder", { widths: [20] }));
    const input = latentInput("latent", [3, 4, 2, 3]);
    const still = await runModel(fixture.gpu, await latentFile(tensors), input);
    const video = await runModel(fixture.gpu, await latentFile(withMemory(tensors)), input);
    expect([still.model, video.model]).toEqual(["taesd-decoder", "taesdv-decoder"]);
    expect(video.tensors.get("video")).toEqual(still.tensors.get("image"));
  });
});

describe("a picture of 256x256", () => {
  const size = { height: 256, width: 256 };
  it.each([
    ["taesd-encoder", 15.3],
    ["taesd-decoder", 15.9], // 17.7 without the phases
    ["taesdv-decoder", 20.7], // 22.5
    ["taehv-encoder", null],
    ["taehv-decoder", null],
  ] as const)("fits %s into 80 MB and WebGPU's default limits", (model, gmac) => {
    const graph = buildModel(describeHalf(standardLatents(model), size));
    const { planned, lowerBound } = plan(graph, fixture.gpu.caps).bytes;
    expect(planned).toBeLessThanOrEqual(80e6);
    expect(planned).toBe(lowerBound);
    expect(Math.max(...graph.values.map(({ bytes }) => bytes))).toBeLessThanOrEqual(128 * 2 ** 20);
    if (gmac !== null) expect(countMacs(graph) / 1e9).toBeCloseTo(gmac, 1);
  });
});
