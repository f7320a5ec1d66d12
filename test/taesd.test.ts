// Latent auto-encoders against PyTorch (tools/reference/taesd.py), layer by layer, as streams, and with their real weights.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { describeModel, loadSession, openModel } from "../src/classifier.ts";
import { countMacs } from "../src/core/graph.ts";
import { halfBits } from "../src/core/half.ts";
import { plan } from "../src/core/plan.ts";
import { elements, extent, toChannelsLast } from "../src/core/tensor.ts";
import { fileSource } from "../src/host/file_source.ts";
import { buildModel, type LatentHalf, standardLatents } from "../src/models/index.ts";
import { inputName, type NamedTensor, runModel } from "../src/run.ts";
import type { Session } from "../src/session.ts";
import { fromBytes } from "../src/weights/byte_source.ts";
import { type Checkpoint, openCheckpoint } from "../src/weights/checkpoint.ts";
import { recognise } from "../src/weights/recognise.ts";
import { clipImages, squares } from "../tools/reference/clip_frames.ts";
import { Random } from "./cases/random.ts";
import { dataFile, hasData } from "./data.ts";
import { compare } from "./golden.ts";
import { useGpu } from "./gpu.ts";
import { describeHalf, half, latentFile, type Tensors, tensorsOf } from "./latent_model.ts";
import { syntheticTensor } from "./synthetic.ts";

const fixture = useGpu();

type Shape4 = readonly [number, number, number, number];

const synthetic = (name: string, shape: Shape4): Map<string, NamedTensor> =>
  new Map([[name, { shape, data: Float32Array.from(syntheticTensor(name, shape)) }]]);

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
      const input = synthetic(name!, JSON.parse(shape!));
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

/** A half with memory and its input as the engine orders it. */
interface Stream {
  readonly latents: LatentHalf;
  readonly checkpoint: Checkpoint;
  readonly size: { readonly height: number; readonly width: number };
  readonly frame: number;
  readonly data: Float32Array<ArrayBuffer>;
}

const VIDEO = half("taesdv-decoder", { widths: [12], memory: true });
const GROWS = half("taehv-decoder", { latent: 5, widths: [12, 8, 8, 4], memory: true, time: [1, 2, 2] });
const POOLS = half("taehv-encoder", { latent: 5, widths: [8], memory: true, time: [2, 2, 1] });

async function stream(latents: LatentHalf, frames: number): Promise<Stream> {
  const [tall, wide] = latents.half === "decoder" ? [2, 3] : [16, 24];
  const shape = [frames, latents.half === "decoder" ? latents.latent : 3, tall, wide] as const;
  const name = inputName(latents.model);
  const data = toChannelsLast(syntheticTensor(name, shape), shape);
  const frame = data.length / frames;
  return { latents, checkpoint: await latentFile(tensorsOf(latents)), size: { height: 16, width: 24 }, frame, data };
}

/** Runs frames [from, to) of a stream in pieces of the given lengths, the states handed from session to session. */
async function inPieces(s: Stream, from: number, pieces: readonly number[]): Promise<Float32Array> {
  const sessions = new Map<number, Session>();
  const out: Float32Array[] = [];
  let states: Uint8Array<ArrayBuffer> | null = null;
  let at = from;
  try {
    for (const frames of pieces) {
      const session = sessions.get(frames) ?? (await loadSession(fixture.gpu, s.checkpoint, { ...s.size, frames }));
      sessions.set(frames, session);
      if (states) session.restore(states);
      else session.reset();
      const [input] = Object.keys(session.plan.graph.inputs);
      const part = s.data.slice(at * s.frame, (at + frames) * s.frame);
      out.push(Object.values(await session.run({ [input!]: part }))[0]!);
      states = await session.snapshot();
      at += frames;
    }
  } finally {
    for (const session of sessions.values()) session.dispose();
  }
  return Float32Array.from(out.flatMap((part) => [...part]));
}

/** Random lengths, each a multiple of `step`, that add up to `total`. */
function chunks(random: Random, total: number, step: number): number[] {
  const lengths: number[] = [];
  for (let left = total / step; left > 0; left -= lengths.at(-1)! / step)
    lengths.push((1 + random.below(Math.min(3, left))) * step);
  return lengths;
}

describe("a stream", () => {
  it.each([
    [VIDEO, 7, 1],
    [GROWS, 5, 1],
    [POOLS, 20, 4],
  ] as const)(
    "of $model gives the bits of the whole clip, however it is cut",
    async (latents, frames, step) => {
      const s = await stream(latents, frames);
      const whole = await inPieces(s, 0, [frames]);
      const random = new Random(5);
      for (let round = 0; round < 3; round++) {
        const cut = chunks(random, frames, step);
        expect(compare(await inPieces(s, 0, cut), whole).max, cut.join("+")).toBe(0);
      }
      // Frames do see those before them.
      const last = await inPieces(s, frames - step, [step]);
      expect(compare(last, whole.slice(-last.length)).max).toBeGreaterThan(1e-3);
    },
    120_000,
  );

  it.each([
    { latents: VIDEO, model: VIDEO.model, warm: 10 },
    { latents: GROWS, model: GROWS.model, warm: 8 },
  ])(
    "of $model goes on anywhere after a warm-up of $warm latents",
    async ({ latents, warm }) => {
      const frames = warm + 5;
      const s = await stream(latents, frames);
      const each = Array.from({ length: frames }, () => 1);
      const whole = await inPieces(s, 0, each);
      const seek = async (latents: number) => {
        const got = await inPieces(s, frames - 2 - latents, [latents + 2]);
        const wanted = (2 * whole.length) / frames;
        return compare(got.slice(-wanted), whole.slice(-wanted)).max;
      };
      expect(await seek(warm)).toBe(0);
      expect(await seek(2)).toBeGreaterThan(1e-4); // too short
    },
    120_000,
  );

  it("runs in pieces that fit, padded at the end, with the frames of nothing dropped", async () => {
    for (const [latents, frames, want] of [
      [GROWS, 5, [17, 3, 16, 24]],
      [POOLS, 14, [4, 5, 2, 3]],
      [VIDEO, 5, [5, 3, 16, 24]],
      [half("taesd-encoder", { widths: [8] }), 5, [5, 4, 2, 3]],
    ] as const) {
      const checkpoint = await latentFile(tensorsOf(latents));
      const name = inputName(latents.model);
      const shape = [
        frames,
        name === "latent" ? latents.latent : 3,
        ...(name === "latent" ? [2, 3] : [16, 24]),
      ] as unknown as Shape4;
      const input = synthetic(name, shape);
      const tap = `${latents.half}.4.conv.4`;
      const whole = await runModel(fixture.gpu, checkpoint, input, { taps: [tap] });
      const { graph } = openModel(checkpoint, { height: 16, width: 24 });
      const one = graph.values.reduce((most, { kind, bytes }) => (kind === "temp" ? Math.max(most, bytes) : most), 0);
      const parts = await runModel(fixture.gpu, checkpoint, input, { taps: [tap], activationBytes: 8 * one });
      const [key, { shape: got, data }] = [...whole.tensors].at(-1)!;
      expect(got, latents.model).toEqual(want);
      expect(compare(parts.tensors.get(key)!.data, data).max, latents.model).toBe(0);
      expect(parts.tensors.get(tap), latents.model).toEqual(whole.tensors.get(tap));
      await expect(runModel(fixture.gpu, checkpoint, input, { activationBytes: 1000 })).rejects.toThrow(
        /^\S+ takes \d+\.\d MB of activations at least, and 0\.0 are allowed; allow more$/,
      );
    }
  }, 180_000);
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
    const input = synthetic("latent", [3, 4, 2, 3]);
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

describe("files and inputs", () => {
  const refused = async (work: Promise<unknown> | (() => unknown)): Promise<string> => {
    const message = await Promise.resolve(typeof work === "function" ? Promise.resolve().then(work) : work).then(
      () => "accepted",
      (error: Error) => error.message,
    );
    expect(message).not.toContain("\n");
    return message;
  };

  it("a zip of torch.save in f16 is read bit for bit", async () => {
    const bytes = readFileSync(new URL("./golden/models/taesd-half.pth", import.meta.url));
    const file = await openCheckpoint(fromBytes(new Uint8Array(bytes), "taesd-half.pth"));
    expect([file.container, file.tensors.size]).toEqual(["torch-zip", 67]);
    const latents = half("taesd-decoder", { widths: [4] });
    const { model, latents: found, tensors: names } = recognise(file);
    expect([model, found]).toEqual(["taesd-decoder", { decoder: latents }]);
    for (const [name, { data }] of tensorsOf(latents)) {
      const stored = await file.readF32(names.get(name)!);
      expect(Uint16Array.from(stored, halfBits), name).toEqual(Uint16Array.from(data, halfBits));
    }
    const { tensors } = await runModel(fixture.gpu, file, synthetic("latent", [1, 4, 1, 2]));
    expect(tensors.get("image")!.shape).toEqual([1, 3, 8, 16]);
  });

  it("a file of both halves gives either", async () => {
    const [encoder, decoder] = [half("taesd-encoder", { widths: [8] }), VIDEO];
    const both = await latentFile(new Map([...tensorsOf(encoder), ...tensorsOf(decoder)]), "taesdv.safetensors");
    expect(recognise(both)).toMatchObject({ model: "taesdv-decoder", latents: { encoder, decoder }, unknown: [] });
    const image = synthetic("image", [1, 3, 8, 16]);
    const { tensors } = await runModel(fixture.gpu, both, image, { model: "taesd-encoder" });
    expect(tensors.get("latent")!.shape).toEqual([1, 4, 1, 2]);
    expect(await refused(() => describeModel(both, { model: "taehv-decoder" }))).toBe(
      "taesdv.safetensors holds taesd-encoder and taesdv-decoder, not taehv-decoder; give the model's own file",
    );
    const session = await loadSession(fixture.gpu, both, { height: 8, width: 8 });
    const { video } = session.plan.graph.outputs;
    expect([extent(video!.spec, 0), elements(video!.spec)]).toEqual([1, 192]);
    session.dispose();
  });

  it("what does not fit is refused in one line", async () => {
    const encoder = await latentFile(tensorsOf(half("taesd-encoder", { widths: [8] })), "e.safetensors");
    const run = (file: Checkpoint, name: string, shape: Shape4) => runModel(fixture.gpu, file, synthetic(name, shape));
    expect(await refused(run(encoder, "image", [1, 3, 20, 16]))).toBe(
      "e.safetensors: a picture of 16x20 pixels does not divide into latents of 8x8; crop or pad it to multiples of 8",
    );
    expect(await refused(run(encoder, "latent", [1, 4, 2, 2]))).toMatch(
      /^taesd-encoder needs a tensor named "image" \[N, 3, H, W\]; the input file has latent$/,
    );
    const decoder = await latentFile(tensorsOf(VIDEO), "d.safetensors");
    expect(await refused(run(decoder, "latent", [1, 16, 2, 2]))).toMatch(
      /^taesdv-decoder takes "latent" as \[frames, 4, height, width\], got \[1, 16, 2, 2\]$/,
    );
    const shuffled = half("taehv-encoder", { widths: [8], memory: true, time: [2, 2, 1], shuffle: 2 });
    const wide = await latentFile(tensorsOf(shuffled), "w.safetensors");
    expect(await refused(run(wide, "video", [4, 3, 16, 24]))).toMatch(/24x16 pixels .* latents of 16x16; crop or pad/);
    expect(await refused(() => describeModel(wide, { frames: 6 }))).toMatch(/^w.*: 6 frames .* latents of 4; repeat/);
  });

  it("members that Kinema does not build are named", async () => {
    const filled = (shapes: Record<string, number[]>): Tensors =>
      new Map(
        Object.entries(shapes).map(([name, shape]) => [
          name,
          { shape, data: new Float32Array(shape.reduce((a, b) => a * b)) },
        ]),
      );
    const sana = await latentFile(
      filled({
        ...{ "0.weight": [32, 3, 3, 3], "2.weight": [64, 32, 3, 3], "4.conv.0.weight": [64, 64, 3, 3] },
        ...{ "5.weight": [64, 64, 3, 3], "17.weight": [32, 64, 3, 3] },
      }),
      "taesana_encoder.pth",
    );
    expect(await refused(() => describeModel(sana))).toBe(
      "taesana_encoder.pth is no taesd-encoder that Kinema can run: it is the SANA member of the family (32 pixels a latent), which Kinema does not build",
    );
    const wide = await latentFile(
      filled({ "1.weight": [256, 32, 3, 3], "3.conv.0.weight": [256, 256, 3, 3], "7.weight": [128, 256, 3, 3] }),
    );
    expect(await refused(() => describeModel(wide))).toMatch(/is no taesd-decoder .* SANA member/);
    const deep = await latentFile(
      filled({ "decoder.0.weight": [512, 48, 1, 1], "decoder.1.conv.0.weight": [1024, 1, 7, 7] }),
    );
    expect(await refused(() => describeModel(deep))).toMatch(
      /is no taehv-decoder .* “super” decoder \(depthwise 7x7\)/,
    );
    const tensors = tensorsOf(half("taesd-decoder", { widths: [8] }));
    tensors.delete("decoder.9.conv.2.bias");
    tensors.set("decoder.12.weight", { shape: [8, 9, 3, 3], data: new Float32Array(648) });
    tensors.set("decoder.40.weight", { shape: [1], data: new Float32Array(1) });
    const damaged = await latentFile(tensors, "damaged.safetensors");
    expect(await refused(() => openModel(damaged, { height: 16, width: 16 }))).toMatch(
      /1 missing: decoder\.9\.conv\.2\.bias; 1 unused: decoder\.40\.weight; 1 wrong shape: decoder\.12\.weight is \[8,9,3,3\]/,
    );
    const torn = tensorsOf(half("taehv-decoder", { widths: [12, 8, 8, 4], memory: true, time: [1, 2, 2] }));
    torn.delete("decoder.13.conv.weight");
    expect(await refused(async () => describeModel(await latentFile(torn)))).toMatch(/contradict each other/);
  });
});

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
