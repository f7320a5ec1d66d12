// What a run of a session makes and gives, and which feeds it refuses.
import { describe, expect, it, vi } from "vitest";
import type { Session } from "../src/session.ts";
import { Random } from "./cases/random.ts";
import { poison } from "./gpu.ts";
import {
  fixture,
  frame,
  made,
  modelGraph,
  open,
  openTiny,
  PIXELS,
  push,
  SMALL,
  smallGraph,
  submitted,
  TINY,
} from "./session_fixture.ts";

describe("a run", () => {
  it("makes no GPU object after warm-up", async () => {
    const { device } = fixture.gpu;
    const graph = modelGraph("tsm-mobilenetv2-online", { frames: 1 });
    let session: Session | undefined;
    const before = await made(device, async () => {
      session = await open(graph);
    });
    expect(before.createBuffer, "the counters count").toBeGreaterThan(3);
    expect(before.createBindGroup).toBe(session!.plan.steps.length);
    await session!.run({ video: frame(0, PIXELS) });
    const during = await made(device, async () => {
      for (let t = 0; t < 10; t++) await session!.run({ video: frame(t, PIXELS) });
      session!.reset();
      const encoder = device.createCommandEncoder();
      session!.encode(encoder);
      device.queue.submit([encoder.finish()]);
    });
    expect(during).toEqual({});
    session!.dispose();
  });

  it("keeps the order of calls, awaited or not", async () => {
    using session = await openTiny();
    const one: Float32Array[] = [];
    for (let t = 0; t < 5; t++) one.push(await push(session, t));
    session.reset();
    const all = await Promise.all([0, 1, 2, 3, 4].map((t) => push(session, t)));
    expect(all).toEqual(one);
    session.reset();
    const first = push(session, 0);
    const second = push(session, 1);
    const taken = session.snapshot();
    const third = push(session, 2);
    session.reset();
    const again = push(session, 0);
    expect([await first, await second, await third, await again]).toEqual([one[0], one[1], one[2], one[0]]);
    session.restore(await taken);
    expect(await push(session, 2)).toEqual(one[2]);
  });

  it("is submitted while two before it wait to be read back, and answers in order, whichever can be read first", async () => {
    using session = await openTiny();
    const one: Float32Array[] = [];
    for (let t = 0; t < 7; t++) one.push(await push(session, t));
    session.reset();
    const { queue } = session.gpu.device;
    const submit = vi.spyOn(queue, "submit");
    const { mapAsync } = GPUBuffer.prototype;
    const late = vi.spyOn(GPUBuffer.prototype, "mapAsync").mockImplementationOnce(async function (
      this: GPUBuffer,
      ...range
    ) {
      await mapAsync.apply(this, range);
      await new Promise((done) => setTimeout(done, 50));
    });
    try {
      const order: number[] = [];
      const all = [0, 1, 2, 3, 4, 5, 6].map(async (t) => {
        const logits = await push(session, t);
        order.push(t);
        return logits;
      });
      await submitted();
      expect(submit).toHaveBeenCalledTimes(3);
      expect(await Promise.all(all)).toEqual(one);
      expect(order).toEqual([0, 1, 2, 3, 4, 5, 6]);
      expect(submit).toHaveBeenCalledTimes(7);
      expect(late).toHaveBeenCalledTimes(7);
    } finally {
      vi.restoreAllMocks();
    }
  });

  it("gives the same with taps as without, and the taps what they name", async () => {
    using session = await openTiny();
    const plain = await push(session, 1);
    session.reset();
    const names = ["blocks.0.expand", "blocks.0.project", "blocks.1.project"];
    const tapped = await session.run({ video: frame(1) }, { tap: names });
    expect(tapped.logits).toEqual(plain);
    expect(Object.keys(tapped).sort()).toEqual([...names, "logits"].sort());
    // All but the last are gone by the end of the run: the sums are made in place.
    expect(tapped["blocks.0.expand"]!.every((v) => v >= 0 && v <= 6)).toBe(true);
    expect(tapped["blocks.0.project"]).toHaveLength(TINY);
    expect(tapped["blocks.0.project"]).not.toEqual(tapped["blocks.1.project"]);
  });

  it("refuses to tap what no step makes", async () => {
    using session = await openTiny();
    for (const name of ["video", "blocks.0.past", "blocks.0.expand.weight", "nothing"]) {
      await expect(session.run({ video: frame(1) }, { tap: [name] }), name).rejects.toMatchObject({
        code: "bad-input",
      });
    }
  });

  it("takes an input that commands write, and can be part of the caller's commands", async () => {
    const { device } = fixture.gpu;
    using session = await open(smallGraph());
    const x = new Random(4).normal(SMALL);
    const want = (await session.run({ x })).y!;
    const { COPY_SRC, COPY_DST } = GPUBufferUsage;
    const source = device.createBuffer({ size: x.byteLength, usage: COPY_SRC | COPY_DST });
    device.queue.writeBuffer(source, 0, x);
    const write = (encoder: GPUCommandEncoder, target: { buffer: GPUBuffer; offset: number; size: number }) => {
      expect(target.size).toBe(x.byteLength);
      encoder.copyBufferToBuffer(source, 0, target.buffer, target.offset, target.size);
    };
    poison(session);
    expect((await session.run({ x: write })).y).toEqual(want);
    poison(session);
    const encoder = device.createCommandEncoder();
    write(encoder, session.range("x"));
    session.encode(encoder);
    const y = session.range("y");
    const staging = device.createBuffer({ size: y.size, usage: COPY_DST | GPUBufferUsage.MAP_READ });
    encoder.copyBufferToBuffer(y.buffer, y.offset, staging, 0, y.size);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const stored = new Float32Array(staging.getMappedRange().slice(0));
    expect(stored.filter((_, i) => i % 8 < 6)).toEqual(want);
  });
});

describe("bad feeds", () => {
  it.each([
    ["none", {}, 'small needs the input "x" [2, 3, 5, 4]'],
    [
      "too few numbers",
      { x: new Float32Array(SMALL - 1) },
      'the input "x" of small is [2, 3, 5, 4], 120 numbers; got 119',
    ],
    ["an unknown name", { x: new Float32Array(SMALL), z: new Float32Array(1) }, 'small has no input "z"; it has x'],
    ["an output's name", { x: new Float32Array(SMALL), y: new Float32Array(1) }, 'small has no input "y"; it has x'],
    ["doubles", { x: new Float64Array(SMALL) }, 'the input "x" of small'],
    ["a list", { x: Array(SMALL).fill(0) }, 'the input "x" of small'],
  ])("%s: bad-input in one line, and the session lives on", async (_what, feeds, message) => {
    using session = await open(smallGraph());
    const wrong = await session.run(feeds as never).catch((error) => error);
    expect(wrong).toMatchObject({ name: "KinemaError", code: "bad-input" });
    expect(wrong.message).toContain(message);
    expect(wrong.message).not.toContain("\n");
    expect((await session.run({ x: new Random(1).normal(SMALL) })).y).toHaveLength(2 * 3 * 5 * 6);
  });
});
