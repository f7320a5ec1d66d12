// What a stream remembers, and the temporal shift in whole networks.
import { describe, expect, it } from "vitest";
import { type Graph, GraphBuilder } from "../src/core/graph.ts";
import { tensor } from "../src/core/tensor.ts";
import type { Gpu } from "../src/gpu/device.ts";
import { unit } from "../src/models/layers.ts";
import { conv2d, LINEAR, pad, temporalShift } from "../src/ops/index.ts";
import { createSession } from "../src/session.ts";
import { Random } from "./cases/random.ts";
import { convolve, shiftFrames } from "./cases/reference.ts";
import { linear } from "./close.ts";
import { fixture, frame, modelGraph, open, openTiny, PIXELS, push, SIZE, TINY, tinyNet } from "./session_fixture.ts";
import { syntheticTensors } from "./synthetic_model.ts";

/** Pushes nine frames through a stream and the clip of them through the same network offline. */
async function sameOnline(online: Graph, offline: Graph, length: number, gpu: Gpu): Promise<number[]> {
  const clip = new Float32Array(9 * length);
  for (let t = 0; t < 9; t++) clip.set(frame(t, length), t * length);
  using whole = await open(offline, gpu);
  const { logits } = await whole.run({ video: clip });
  using stream = await open(online, gpu);
  const pushed: number[] = [];
  for (let t = 0; t < 9; t++) pushed.push(...(await stream.run({ video: frame(t, length) })).logits!);
  expect([...logits!]).toEqual(pushed);
  expect(new Set(pushed).size, "the frames differ").toBeGreaterThan(40);
  return pushed;
}

describe("a stream", () => {
  it("equals the network over a clip, bit for bit, in tiles of either kind, which agree but for rounding", async () => {
    const cpu = await sameOnline(tinyNet(1), tinyNet(9), TINY, fixture.as("cpu"));
    const gpu = await sameOnline(tinyNet(1), tinyNet(9), TINY, fixture.as("gpu"));
    // On GPUs the four products of a block are added one after another: at most 18 terms a sum, four sums deep.
    const largest = Math.max(...cpu.map(Math.abs));
    const off = Math.max(...cpu.map((v, i) => Math.abs(v - gpu[i]!)));
    expect(off).toBeLessThan(4 * 18 * 2 ** -23 * largest);
  });

  it("tsm-mobilenetv2-online equals its network over a clip, frame by frame, bit for bit", async () => {
    const online = modelGraph("tsm-mobilenetv2-online", { frames: 1 });
    await sameOnline(online, modelGraph("tsm-mobilenetv2-online", { frames: 9 }), PIXELS, fixture.as("gpu"));
  });

  it("forgets with reset(), and remembers without", async () => {
    using session = await openTiny();
    const first = [await push(session, 7), await push(session, 8)];
    expect(await push(session, 7)).not.toEqual(first[0]);
    session.reset();
    expect([await push(session, 7), await push(session, 8)]).toEqual(first);
  });

  it("continues from a snapshot, in this session and in another", async () => {
    using session = await openTiny();
    await push(session, 1);
    await push(session, 2);
    const snapshot = await session.snapshot();
    const want = [await push(session, 3), await push(session, 4)];
    session.restore(snapshot);
    expect([await push(session, 3), await push(session, 4)]).toEqual(want);
    using other = await openTiny();
    await push(other, 9);
    other.restore(snapshot);
    expect([await push(other, 3), await push(other, 4)]).toEqual(want);
    expect(await session.snapshot()).toEqual(await other.snapshot());
    expect(() => session.restore(snapshot.slice(4))).toThrow("a snapshot of tiny has");
  });

  it("is not disturbed by another on the same device", async () => {
    const graph = tinyNet(1);
    const alone: Float32Array[] = [];
    using a = await open(graph);
    for (let t = 0; t < 4; t++) alone.push(await push(a, t));
    a.reset();
    const weights = syntheticTensors(graph);
    weights.set("blocks.0.expand.bias", new Float32Array(18).fill(2));
    using b = await createSession(fixture.as("gpu"), graph, weights);
    const mixed: Promise<Float32Array>[] = [];
    const others: Promise<Float32Array>[] = [];
    for (let t = 0; t < 4; t++) {
      mixed.push(push(a, t));
      others.push(push(b, 10 - t));
    }
    expect(await Promise.all(mixed)).toEqual(alone);
    expect((await Promise.all(others)).every((logits) => logits.every(Number.isFinite))).toBe(true);
  });
});

describe("the temporal shift", () => {
  it("leaves a clip without motion as the network without shift sees it, away from the ends", async () => {
    // Every shifted block lets the zeros beyond the clip's ends one frame farther in: ten of them, then three frames to compare.
    const frames = 23;
    const clip = new Float32Array(frames * PIXELS);
    for (let t = 0; t < frames; t++) clip.set(frame(1, PIXELS), t * PIXELS);
    // Half of the channels from each side: all folds are multiples of 4, and the sums run in the same order.
    const head = async (shifted: boolean) => {
      const changes = { frames, shiftDivisor: 2, ...(shifted ? {} : { shifted: new Set<string>() }) };
      using session = await open(modelGraph("tsm-mobilenetv2", changes));
      const { head } = await session.run({ video: clip }, { tap: ["head"] });
      return Array.from({ length: frames }, (_, t) => [...head!.subarray(t * SIZE.classes, (t + 1) * SIZE.classes)]);
    };
    const [shifted, plain] = [await head(true), await head(false)];
    for (const t of [10, 11, 12]) expect(shifted[t]).toEqual(plain[t]);
    for (const t of [0, 1, 21, 22]) expect(shifted[t]).not.toEqual(plain[t]);
  });

  it.each([
    ["both", 4, 4],
    ["both", 8, 3],
    ["past", 4, 5],
    ["both", 3, 5],
    ["past", 3, 4],
  ] as const)(
    "fused into the convolution equals the stand-alone one (%s, %d channels, %d frames)",
    async (mode, fold, frames) => {
      const shape = [frames, 3, 5, 22] as const;
      const out = 18;
      const build = (fused: boolean) => {
        const g = new GraphBuilder(fused ? "fused" : "apart");
        let x = g.input("x", tensor(...shape));
        const shift = { mode, fold };
        const weights = unit(g, "u", {
          out,
          input: 22,
          kernel: 1,
          batchNorm: false,
          bias: true,
          ...(fused ? { shift } : {}),
        });
        if (!fused) x = g.apply(temporalShift, "shift", { x }, { ...shift, frames }).y!;
        const attrs = { out, kernel: 1, stride: 1, padding: pad(0), activation: LINEAR, ...(fused ? { shift } : {}) };
        g.output("y", g.apply(conv2d, "conv", { x, ...weights }, attrs).y!);
        return g.build();
      };
      const random = new Random(6);
      const weights = new Map([
        ["u.weight", random.normal(out, 22, 1, 1)],
        ["u.bias", random.normal(out)],
      ]);
      const x = random.normal(...shape);
      const answers: Float32Array[] = [];
      for (const fused of [true, false]) {
        using session = await createSession(fixture.as("gpu"), build(fused), weights);
        answers.push((await session.run({ x })).y!);
      }
      // Where a range ends inside a group of four, that group is added in two parts, each within the bound of the sum.
      const window = { kernel: 1, stride: 1, padding: pad(0) };
      const data = shiftFrames(x, shape, frames, { mode, fold });
      const sums = convolve({ shape, data }, weights.get("u.weight")!, weights.get("u.bias")!, out, window);
      const { allowed } = linear(sums.shape, sums.want, sums.magnitude, 22);
      const off = answers[0]!.map((v, i) => Math.abs(v - answers[1]![i]!));
      if (fold % 4 === 0) expect(off.every((v) => v === 0)).toBe(true);
      else expect(off.every((v, i) => v <= 2 * allowed[i]!)).toBe(true);
    },
  );
});
