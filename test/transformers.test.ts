// ViT and STAM end to end on small networks: groups of frames, streams, attention maps, and files that do not fit.
import { describe, expect, it, vi } from "vitest";
import { Classifier, describeModel, loadSession } from "../src/classifier.ts";
import { wantedTensors } from "../src/core/graph.ts";
import { plan } from "../src/core/plan.ts";
import { toChannelsLast } from "../src/core/tensor.ts";
import { buildModel } from "../src/models/index.ts";
import { type NamedTensor, type RunModelOptions, runModel } from "../src/run.ts";
import { createSession, Session } from "../src/session.ts";
import { FrameIngest, type Pixels } from "../src/video/ingest.ts";
import { fromBytes } from "../src/weights/byte_source.ts";
import { type Checkpoint, openCheckpoint } from "../src/weights/checkpoint.ts";
import { compare, readGolden } from "./golden.ts";
import { useGpu } from "./gpu.ts";
import { syntheticTensor } from "./synthetic.ts";
import { SMALL_SIDE, SMALL_TRANSFORMERS, syntheticTensors, transformerFile } from "./synthetic_model.ts";

const fixture = useGpu();
const CLASSES = { vit: 7, stam: 6 } as const;
const FRAMES = SMALL_TRANSFORMERS.stam.frames!;

const open = (
  model: "vit" | "stam",
  metadata?: Parameters<typeof transformerFile>[2],
  change?: Parameters<typeof transformerFile>[3],
): Promise<Checkpoint> =>
  openCheckpoint(fromBytes(transformerFile(model, CLASSES[model], metadata, change), `${model}.safetensors`));

/** A synthetic input of so many frames; `seed` gives other numbers. */
function input(model: "vit" | "stam", frames: number, side = SMALL_SIDE): Map<string, NamedTensor> {
  const name = model === "vit" ? "image" : "video";
  const shape = [frames, 3, side, side] as const;
  return new Map([[name, { shape, data: Float32Array.from(syntheticTensor(name, shape)) }]]);
}

const run = (checkpoint: Checkpoint, model: "vit" | "stam", frames: number, options: RunModelOptions = {}) =>
  runModel(fixture.gpu, checkpoint, input(model, frames), options);

describe("groups of frames", () => {
  it.each([["vit", 5] as const, ["stam", FRAMES] as const])(
    "%s: give the same bits as all frames at once",
    async (model, frames) => {
      const checkpoint = await open(model);
      const taps = ["patch_embed", "blocks.0.qkv", "blocks.1.kv", "blocks.1.shares", "norm", "aggregate.1.shares"];
      const whole = await run(checkpoint, model, frames, { taps });
      const shape = { frames, height: SMALL_SIDE, width: SMALL_SIDE };
      const graph = buildModel(describeModel(checkpoint, shape).description);
      const { planned } = plan(graph, fixture.gpu.caps).bytes;
      const parts = await run(checkpoint, model, frames, { taps, activationBytes: 0.75 * planned });
      const split = buildModel({ ...describeModel(checkpoint, shape).description, activationBytes: 0.75 * planned });
      expect(split.nodes.filter(({ name }) => name.startsWith("blocks.0.qkv")).length).toBeGreaterThan(1);
      expect([...parts.tensors.keys()]).toEqual(expect.arrayContaining([...whole.tensors.keys()]));
      expect(whole.tensors.get("blocks.0.qkv")!.shape).toEqual([frames, 10, 3 * 48]);
      expect(whole.tensors.get("blocks.1.shares")!.shape).toEqual([frames, 4, 10]);
      expect(whole.tensors.get("logits")!.shape).toEqual(model === "vit" ? [frames, 7] : [6]);
      for (const [name, { shape, data }] of whole.tensors) {
        expect(parts.tensors.get(name)!.shape, name).toEqual(shape);
        expect(compare(parts.tensors.get(name)!.data, data).max, name).toBe(0);
      }
    },
    120_000,
  );

  it("with every token of the last layers computed, the class token's are the same", async () => {
    for (const model of ["vit", "stam"] as const) {
      const checkpoint = await open(model);
      const frames = model === "vit" ? 3 : FRAMES;
      const { description, recognised } = describeModel(checkpoint, { frames });
      const [name, { data, shape }] = [...input(model, frames)][0]!;
      const feeds = { [name]: toChannelsLast(data, shape as [number, number, number, number]) };
      const logits: Float32Array[] = [];
      for (const everyToken of [false, true]) {
        const graph = buildModel({ ...description, everyToken });
        const names = [...wantedTensors(graph).keys()];
        const weights = new Map<string, Float32Array>();
        for (const key of names) weights.set(key, await checkpoint.readF32(recognised.tensors.get(key)!));
        using session = await createSession(fixture.gpu, graph, weights);
        logits.push((await session.run(feeds)).logits!);
      }
      expect(compare(logits[0]!, logits[1]!).max).toBeLessThanOrEqual(1e-5);
    }
  }, 120_000);
});

describe("a stream of stam", () => {
  const slice = (video: Float32Array<ArrayBuffer>, frames: number, from: number, to: number) =>
    video.slice((from * video.length) / frames, (to * video.length) / frames);

  it("gives PyTorch's logits at every frame, the first one standing for those before it", async () => {
    const golden = await readGolden("stam");
    const [frames] = golden.inputShape;
    const graph = buildModel({ ...golden.description, frames: 1 });
    const weights = syntheticTensors(graph);
    using session = await createSession(fixture.gpu, graph, weights);
    const video = toChannelsLast(syntheticTensor("video", golden.inputShape), golden.inputShape);
    const push = async (t: number) => (await session.run({ video: slice(video, frames, t, t + 1) })).logits!;
    const expected = golden.tensors.get("stream")!;
    const logits = new Float32Array(expected.length);
    for (let t = 0; t < frames; t++) logits.set(await push(t), (t * expected.length) / frames);
    expect(compare(logits, expected).max).toBeLessThanOrEqual(1e-4);
    session.reset();
    const [first, alone] = [logits.subarray(0, expected.length / frames), await push(0)];
    expect(compare(alone, first).max).toBe(0);
    expect(compare(alone, expected.subarray(-alone.length)).max).toBeGreaterThan(1e-2);
  }, 120_000);

  it("equals recomputing the clip that ends with each frame, long after the ring is full", async () => {
    const checkpoint = await open("stam");
    const count = 2 * FRAMES + 3;
    const shape = [count, 3, SMALL_SIDE, SMALL_SIDE] as const;
    const video = toChannelsLast(syntheticTensor("video", shape), shape);
    using clip = await loadSession(fixture.gpu, checkpoint);
    using stream = await loadSession(fixture.gpu, checkpoint, { frames: 1 });
    let worst = 0;
    let moved = 0;
    for (let t = 0; t < count; t++) {
      const online = (await stream.run({ video: slice(video, count, t, t + 1) })).logits!;
      if (t < FRAMES - 1) continue;
      const whole = (await clip.run({ video: slice(video, count, t + 1 - FRAMES, t + 1) })).logits!;
      worst = Math.max(worst, compare(online, whole).max);
      const shuffled = (await clip.run({ video: slice(video, count, t + 1 - FRAMES, t + 1).reverse() })).logits!;
      moved = Math.max(moved, compare(online, shuffled).max);
    }
    expect(worst).toBeLessThanOrEqual(1e-5);
    expect(moved).toBeGreaterThan(1e-2); // the clip matters
  }, 120_000);

  it("runs in a classifier, one frame a push, as the clip does that is put frame by frame", async () => {
    const checkpoint = await open("stam");
    const frame = (seed: number): Pixels => {
      const data = Uint8Array.from({ length: 40 * 30 * 4 }, (_, i) => (Math.imul(i + seed, 2654435761) >>> 24) & 255);
      return { width: 40, height: 30, data };
    };
    const options = { form: "reference" } as const;
    using clip = await Classifier.create(fixture.gpu, checkpoint, { ...options, shares: true });
    using stream = await Classifier.create(fixture.gpu, checkpoint, { ...options, frames: 1 });
    expect([clip.frames, stream.frames]).toEqual([FRAMES, 1]);
    const frames = Array.from({ length: FRAMES }, (_, i) => frame(1 + 1000 * i));
    let online = new Float32Array();
    for (const one of frames) online = await stream.push(one);
    for (const [slot, one] of frames.entries()) clip.put(one, slot);
    const { logits, patches, frames: weights } = await clip.explain();
    expect(compare(online, logits).max).toBeLessThanOrEqual(1e-5);
    expect([patches.length, weights!.length]).toEqual([FRAMES * 9, FRAMES]);
    expect(weights!.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
    for (let t = 0; t < FRAMES; t++) {
      const share = patches.subarray(9 * t, 9 * t + 9).reduce((a, b) => a + b, 0);
      expect(share).toBeGreaterThan(0.2);
      expect(share).toBeLessThan(1);
    }
    for (const [slot, one] of frames.entries()) clip.put(one, slot);
    expect(compare(await clip.classify(), logits).max).toBe(0);
    await expect(stream.explain()).rejects.toThrow(/^stam makes no attention maps; make a stam or vit with/);
  }, 120_000);
});

describe("files and inputs", () => {
  it("a classifier whose ingest fails leaves no session behind", async () => {
    const checkpoint = await open("vit");
    const dispose = vi.spyOn(Session.prototype, "dispose");
    vi.spyOn(FrameIngest, "create").mockRejectedValueOnce(new Error("no ingest"));
    try {
      await expect(Classifier.create(fixture.gpu, checkpoint)).rejects.toThrow("no ingest");
      expect(dispose).toHaveBeenCalledTimes(1);
    } finally {
      vi.restoreAllMocks();
    }
  }, 120_000);

  it("no qkv.bias is zeros, and what the network has no use for is left alone", async () => {
    const bare = await open("vit", {}, (tensors) => {
      for (const name of [...tensors.keys()]) if (name.endsWith("qkv.bias")) tensors.delete(name);
      tensors.set("ema.decay", { shape: [1], data: Float32Array.of(0.5) });
    });
    const zeroed = await open("vit", {}, (tensors) => {
      for (const [name, { data }] of tensors) if (name.endsWith("qkv.bias")) data.fill(0);
    });
    const [a, b] = [await run(bare, "vit", 1), await run(zeroed, "vit", 1)];
    expect(a.tensors.get("logits")).toEqual(b.tensors.get("logits"));
    const whole = await run(await open("vit"), "vit", 1);
    expect(compare(a.tensors.get("logits")!.data, whole.tensors.get("logits")!.data).max).toBeGreaterThan(1e-2);
  }, 120_000);

  it("what does not fit is refused in one line", async () => {
    const stam = await open("stam");
    const refused = async (work: Promise<unknown>): Promise<string> => {
      const message = await work.then(
        () => "accepted",
        (error: Error) => error.message,
      );
      expect(message).not.toContain("\n");
      return message;
    };
    expect(await refused(run(stam, "stam", 5))).toMatch(/clips have 4 frames .* and 5 were asked for/);
    const large = runModel(fixture.gpu, stam, input("stam", FRAMES, 32));
    expect(await refused(large)).toMatch(/frames have 24x24 pixels \(pos_embed\) and 32x32 were asked for/);
    expect(await refused(run(stam, "stam", FRAMES, { model: "vit" }))).toMatch(/holds stam, not vit; give/);
    expect(await refused(run(await open("vit"), "vit", 1, { model: "stam" }))).toMatch(/holds vit, not stam; give/);
    const hole = await open("stam", {}, (tensors) => {
      for (const name of [...tensors.keys()]) if (name.startsWith("blocks.0.")) tensors.delete(name);
    });
    expect(await refused(run(hole, "stam", FRAMES))).toMatch(/1 of 2 blocks are missing: 0/);
    const wide = await open("vit", {}, (tensors) => {
      tensors.set("pos_embed", { shape: [1, 10, 52], data: new Float32Array(520) });
    });
    expect(await refused(run(wide, "vit", 1))).toMatch(
      /tokens have 52 channels \(pos_embed\) and these another number/,
    );
    const bad = new Map([["video", { shape: [4, 3, 24], data: new Float32Array(288) }]]);
    expect(await refused(runModel(fixture.gpu, stam, bad))).toMatch(
      /stam takes "video" as \[frames, 3, height, width\]/,
    );
    expect(await refused(runModel(fixture.gpu, stam, input("vit", 1)))).toMatch(/stam needs a tensor named "video"/);
    expect(await refused(run(stam, "stam", FRAMES, { activationBytes: 1000 }))).toMatch(
      / MB of activations at least, and 0\.0 are allowed/,
    );
  });
});
