// Latent auto-encoders as streams: the bits of the whole clip, however it is cut.
import { describe, expect, it } from "vitest";
import { loadSession, openModel } from "../src/classifier.ts";
import { toChannelsLast } from "../src/core/tensor.ts";
import { fileSource } from "../src/host/file_source.ts";
import type { LatentHalf } from "../src/models/index.ts";
import { inputName, runModel } from "../src/run.ts";
import type { Session } from "../src/session.ts";
import { type Checkpoint, openCheckpoint } from "../src/weights/checkpoint.ts";
import { toFloat32 } from "../src/weights/dtype.ts";
import { Random } from "./cases/random.ts";
import { dataFile, hasData } from "./data.ts";
import { compare } from "./golden.ts";
import { useGpu } from "./gpu.ts";
import { half, latentFile, latentInput, type Shape4, type Tensors, tensorsOf } from "./latent_model.ts";
import { syntheticTensor } from "./synthetic.ts";

const fixture = useGpu();

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

const TAESDXL = "weights/taesdxl_decoder.safetensors";

/** A decoder with memory of the weights of one without, and `past` for what a block reads of the frame before. */
async function withMemory(image: Checkpoint, past: number): Promise<Checkpoint> {
  const tensors: Tensors = new Map();
  for (const [name, { dtype, shape }] of image.tensors) {
    const data = toFloat32(await image.read(name), dtype, name);
    if (!name.endsWith(".conv.0.weight")) {
      tensors.set(name, { shape, data });
      continue;
    }
    const [out, width, ...kernel] = shape as Shape4; // [out, width, 3, 3] -> [out, 2 width, 3, 3], the present first
    const filter = data.length / out;
    const both = new Float32Array(2 * data.length).fill(past);
    for (let o = 0; o < out; o++) both.set(data.subarray(o * filter, (o + 1) * filter), 2 * o * filter);
    tensors.set(name, { shape: [out, 2 * width, ...kernel], data: both });
  }
  return latentFile(tensors, "taesdv_decoder.safetensors");
}

it.skipIf(!hasData(TAESDXL))(
  "TAESDXL with a memory that is not looked at is TAESDXL, bit for bit",
  async () => {
    const image = await openCheckpoint(await fileSource(dataFile(TAESDXL)));
    const input = latentInput("latent", [3, 4, 2, 3]);
    const run = async (checkpoint: Checkpoint) => {
      const { model, tensors } = await runModel(fixture.gpu, checkpoint, input, { taps: [] });
      return { model, ...[...tensors.values()].at(-1)! };
    };
    const plain = await run(image);
    const blind = await run(await withMemory(image, 0));
    expect([plain.model, blind.model]).toEqual(["taesd-decoder", "taesdv-decoder"]);
    expect([plain.shape, blind.shape]).toEqual([
      [3, 3, 16, 24],
      [3, 3, 16, 24],
    ]);
    expect(compare(blind.data, plain.data).max).toBe(0);
    // The past half is read: the first frame has none.
    const seeing = await run(await withMemory(image, 1e-3));
    const [first, rest] = [plain.data.length / 3, plain.data.length];
    expect(compare(seeing.data.slice(0, first), plain.data.slice(0, first)).max).toBe(0);
    expect(compare(seeing.data.slice(first, rest), plain.data.slice(first, rest)).max).toBeGreaterThan(1e-3);
  },
  300_000,
);

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
      const input = latentInput(name, shape);
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
