// What a session survives: being closed, a lost device, an abort.
import { describe, expect, it, vi } from "vitest";
import { openGpu } from "../src/gpu/device.ts";
import { createSession } from "../src/session.ts";
import {
  fixture,
  frame,
  made,
  open,
  openTiny,
  ownGpu,
  push,
  SMALL,
  smallGraph,
  submitted,
  watchBuffers,
} from "./session_fixture.ts";
import { syntheticTensors } from "./synthetic_model.ts";

describe("a closed session", () => {
  it("refuses everything with code closed; dispose() is idempotent", async () => {
    const session = await open(smallGraph());
    const queued = session.run({ x: new Float32Array(SMALL) });
    session.dispose();
    session.dispose();
    await expect(queued).rejects.toMatchObject({ code: "closed" });
    await expect(session.run({ x: new Float32Array(SMALL) })).rejects.toMatchObject({ code: "closed" });
    await expect(session.snapshot()).rejects.toMatchObject({ code: "closed" });
    const encoder = fixture.gpu.device.createCommandEncoder();
    const calls = [
      () => session.reset(),
      () => session.encode(encoder),
      () => session.range("x"),
      () => session.restore(new Uint8Array(256)),
    ];
    for (const call of calls) expect(call).toThrow("was disposed of; make another");
  });

  it("drops a run that is under way with code closed", async () => {
    const session = await openTiny();
    await push(session, 0);
    const under = push(session, 1);
    const answer = expect(under).rejects.toMatchObject({ code: "closed" });
    await submitted();
    session.dispose();
    await answer;
  });
});

describe("runs that nobody has awaited", () => {
  it("reject with code closed when the session is, tapped, waiting for a turn or between map and read, and leave no buffer", async () => {
    const gpu = await ownGpu();
    const alive = watchBuffers(gpu.device);
    const session = await openTiny(gpu);
    await push(session, 0);
    const under = [1, 2, 3, 4].map((t) =>
      session.run({ video: frame(t) }, t === 2 ? { tap: ["blocks.0.expand"] } : {}),
    );
    const { mapAsync } = GPUBuffer.prototype;
    const answers = Promise.allSettled(under);
    await submitted();
    session.dispose();
    const closed = { status: "rejected", reason: { code: "closed" } };
    expect(await answers).toMatchObject([closed, closed, closed, closed]);
    const other = await openTiny(gpu);
    // Closed by who hears first that the answer is there.
    GPUBuffer.prototype.mapAsync = function (...range) {
      const map = mapAsync.apply(this, range);
      map.then(() => other.dispose());
      return map;
    };
    try {
      await expect(push(other, 1)).rejects.toMatchObject({ code: "closed" });
    } finally {
      GPUBuffer.prototype.mapAsync = mapAsync;
    }
    expect([alive.made() > 6, alive.left()]).toEqual([true, 0]);
    gpu.dispose();
  });

  it("reject with what aborts them, and those beside them answer", async () => {
    using session = await openTiny();
    const want = [await push(session, 1), await push(session, 2), await push(session, 3)];
    session.reset();
    const controller = new AbortController();
    const { signal } = controller;
    const runs = [1, 2, 3].map((t) => session.run({ video: frame(t) }, t === 2 ? { signal } : {}));
    const answers = Promise.allSettled(runs);
    await submitted();
    controller.abort();
    expect(await answers).toMatchObject([
      { status: "fulfilled", value: { logits: want[0] } },
      { status: "rejected", reason: { name: "AbortError" } },
      { status: "fulfilled", value: { logits: want[2] } },
    ]);
  });
});

describe("the device", () => {
  it("is told once who waits for it, not at every run: what waits for a promise that lives on is never freed", async () => {
    using gpu = await ownGpu();
    using session = await openTiny(gpu);
    await push(session, 0);
    const then = vi.spyOn(gpu.lost, "then");
    for (let t = 1; t < 6; t++) await push(session, t);
    expect(then).not.toHaveBeenCalled();
  });

  it("of the caller is never destroyed", async () => {
    const adapter = (await fixture.dawn.gpu.requestAdapter())!;
    const device = await adapter.requestDevice();
    const gpu = await openGpu({ device });
    const session = await open(smallGraph(), gpu);
    await session.run({ x: new Float32Array(SMALL) });
    session.dispose();
    gpu.dispose();
    const lost = await Promise.race([
      device.lost.then(() => true),
      new Promise((resolve) => setTimeout(resolve, 50, false)),
    ]);
    expect(lost).toBe(false);
    using again = await open(smallGraph(), await openGpu({ device }));
    expect((await again.run({ x: new Float32Array(SMALL) })).y!.every(Number.isFinite)).toBe(true);
    device.destroy();
  });

  it("lost in the middle of a stream: device-lost, at once and ever after, and nothing hangs", async () => {
    const gpu = await ownGpu();
    const session = await openTiny(gpu);
    await push(session, 0);
    const under = [push(session, 1), push(session, 2)];
    const answers = Promise.allSettled(under);
    await submitted();
    gpu.device.destroy();
    const lost = { status: "rejected", reason: { code: "device-lost" } };
    expect(await answers).toMatchObject([lost, lost]);
    await expect(push(session, 3)).rejects.toMatchObject({ code: "device-lost" });
    await expect(session.snapshot()).rejects.toMatchObject({ code: "device-lost" });
    await expect(open(smallGraph(), gpu)).rejects.toMatchObject({ code: "device-lost" });
    session.dispose();
    await expect(push(session, 3)).rejects.toMatchObject({ code: "closed" });
  });
});

describe("AbortSignal", () => {
  it("before a run: nothing runs and the state stays", async () => {
    using session = await openTiny();
    const want = await push(session, 1);
    session.reset();
    await expect(session.run({ video: frame(5) }, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: "AbortError",
    });
    expect(await push(session, 1)).toEqual(want);
  });

  it("during a run: the frame is finished, its result dropped, and the next one follows it", async () => {
    using session = await openTiny();
    await push(session, 1);
    const want = await push(session, 2);
    session.reset();
    const controller = new AbortController();
    const aborted = session.run({ video: frame(1) }, { signal: controller.signal });
    const answer = expect(aborted).rejects.toMatchObject({ name: "AbortError" });
    const next = push(session, 2);
    await submitted();
    controller.abort();
    await answer;
    expect(await next).toEqual(want);
  });

  it("before and while a session is made: every buffer is destroyed", async () => {
    const gpu = await ownGpu();
    const graph = smallGraph();
    const aborted = { signal: AbortSignal.abort() };
    const none = await made(gpu.device, async () => {
      await expect(createSession(gpu, graph, syntheticTensors(graph), aborted)).rejects.toMatchObject({
        name: "AbortError",
      });
    });
    expect(none).toEqual({});
    const alive = watchBuffers(gpu.device);
    const controller = new AbortController();
    const options = { signal: controller.signal, onProgress: () => controller.abort() };
    await expect(createSession(gpu, graph, syntheticTensors(graph), options)).rejects.toMatchObject({
      name: "AbortError",
    });
    expect(alive.made()).toBeGreaterThan(3);
    expect(alive.left()).toBe(0);
    gpu.dispose();
  });
});
