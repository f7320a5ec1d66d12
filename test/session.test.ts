// A session from outside: what a run makes, remembers, refuses and survives.
import { describe, expect, it } from "vitest";
import { fail } from "../src/core/fail.ts";
import { type Graph, GraphBuilder, wantedTensors } from "../src/core/graph.ts";
import type { Kernel } from "../src/core/kernel.ts";
import type { OpDef } from "../src/core/op.ts";
import { tensor } from "../src/core/tensor.ts";
import { type Gpu, openGpu } from "../src/gpu/device.ts";
import { buildModel, type ModelDescription, type ModelName } from "../src/models/index.ts";
import { unit } from "../src/models/layers.ts";
import { conv2d, LINEAR, mean, pad, RELU6, stateSpec, temporalShift } from "../src/ops/index.ts";
import { createSession, type Session } from "../src/session.ts";
import { Random } from "./cases/random.ts";
import { convolve, shiftFrames } from "./cases/reference.ts";
import { linear } from "./close.ts";
import { recordCreations } from "./creations.ts";
import { describeModel } from "./describe_model.ts";
import { poison, useGpu } from "./gpu.ts";
import { syntheticTensor } from "./synthetic.ts";

const fixture = useGpu();

const weightsOf = (graph: Graph) =>
  new Map([...wantedTensors(graph)].map(([name, shape]) => [name, syntheticTensor(name, shape)]));
const open = (graph: Graph, gpu: Gpu = fixture.as("gpu")) => createSession(gpu, graph, weightsOf(graph));

/** A network in little: two blocks with a shift from the past. One frame at a time it is a stream, else a clip. */
function tinyNet(frames: number): Graph {
  const g = new GraphBuilder("tiny");
  let x = g.input("video", tensor(frames, 3, 5, 12));
  const plain = { kernel: 1, stride: 1, padding: pad(0) };
  for (const [i, fold] of [3, 4].entries()) {
    const name = `blocks.${i}`;
    const shift = { mode: "past", fold } as const;
    const past = frames === 1 ? g.state(`${name}.past`, stateSpec(x.spec, fold)) : undefined;
    const common = { kernel: 1, batchNorm: false, bias: true };
    const expand = unit(g, `${name}.expand`, { out: 18, input: 12, ...common, shift });
    const wide = g.apply(
      conv2d,
      `${name}.expand`,
      { x, ...expand, past },
      { out: 18, ...plain, activation: RELU6, shift },
    ).y!;
    const project = unit(g, `${name}.project`, { out: 12, input: 18, ...common });
    const values = { x: wide, ...project, residual: x, carry: past };
    x = g.apply(conv2d, `${name}.project`, values, { out: 12, ...plain, activation: LINEAR }).y!;
  }
  g.output("logits", g.apply(mean, "pool", { x }, { groups: frames }).y!);
  return g.build();
}
const TINY = 3 * 5 * 12;
const openTiny = (gpu?: Gpu) => open(tinyNet(1), gpu);

const frame = (seed: number, length = TINY) => new Random(seed).normal(length);
const push = async (session: Session, seed: number) => (await session.run({ video: frame(seed) })).logits!;

/** Long enough for a run to be submitted, too short for it to be read back. */
const submitted = async () => {
  for (let i = 0; i < 20; i++) await null;
};

/** The real networks, odd and unequal in size, small enough that the last feature maps are 2x2. */
const SIZE = { height: 33, width: 47, classes: 5 };
const PIXELS = SIZE.height * SIZE.width * 3;
const modelGraph = (model: ModelName, changes: Partial<ModelDescription> = {}) =>
  buildModel(describeModel(model, { ...SIZE, ...changes }));

/** One 1x1 convolution: for what has nothing to do with models. */
function smallGraph(frames = 2): Graph {
  const g = new GraphBuilder("small");
  const x = g.input("x", tensor(frames, 3, 5, 4));
  const weights = unit(g, "stem", { out: 6, input: 4, kernel: 1, batchNorm: false, bias: true });
  const attrs = { out: 6, kernel: 1, stride: 1, padding: pad(0), activation: LINEAR };
  g.output("y", g.apply(conv2d, "conv", { x, ...weights }, attrs).y!);
  return g.build();
}
const SMALL = 2 * 3 * 5 * 4;

/** A device of its own, for tests that harm it. */
async function ownGpu(): Promise<Gpu> {
  return openGpu({ gpu: fixture.dawn.gpu });
}

/** Counts what is made on a device while `work` runs. */
async function made(device: GPUDevice, work: () => Promise<unknown>): Promise<Readonly<Record<string, number>>> {
  const { counts, stop } = recordCreations(device);
  try {
    await work();
  } finally {
    stop();
  }
  return counts;
}

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
  it("equals the network over a clip, bit for bit, in tiles of either kind, which equal each other", async () => {
    const cpu = await sameOnline(tinyNet(1), tinyNet(9), TINY, fixture.as("cpu"));
    expect(await sameOnline(tinyNet(1), tinyNet(9), TINY, fixture.as("gpu"))).toEqual(cpu);
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
    const weights = weightsOf(graph);
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

describe("the device", () => {
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
      await expect(createSession(gpu, graph, weightsOf(graph), aborted)).rejects.toMatchObject({ name: "AbortError" });
    });
    expect(none).toEqual({});
    const alive = watchBuffers(gpu.device);
    const controller = new AbortController();
    const options = { signal: controller.signal, onProgress: () => controller.abort() };
    await expect(createSession(gpu, graph, weightsOf(graph), options)).rejects.toMatchObject({ name: "AbortError" });
    expect(alive.made()).toBeGreaterThan(3);
    expect(alive.left()).toBe(0);
    gpu.dispose();
  });
});

/** Counts buffers made and not destroyed on a device, from now on. */
function watchBuffers(device: GPUDevice): { made(): number; left(): number } {
  let [made, destroyed] = [0, 0];
  const create = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    made++;
    const buffer = create(descriptor);
    const destroy = buffer.destroy.bind(buffer);
    buffer.destroy = () => {
      destroyed++;
      buffer.destroy = () => undefined as never;
      return destroy();
    };
    return buffer;
  };
  return { made: () => made, left: () => made - destroyed };
}

describe("making a session", () => {
  it("needs no more buffers than it destroys", async () => {
    const gpu = await ownGpu();
    const alive = watchBuffers(gpu.device);
    const session = await open(smallGraph(), gpu);
    await session.run({ x: new Float32Array(SMALL) }, { tap: ["conv"] });
    await session.snapshot();
    expect(alive.left()).toBeGreaterThan(0);
    session.dispose();
    expect(alive.left()).toBe(0);
    gpu.dispose();
  });

  it("without a weight it asks for: weights-mismatch, and every buffer is destroyed", async () => {
    const gpu = await ownGpu();
    const alive = watchBuffers(gpu.device);
    const weights = weightsOf(smallGraph());
    weights.delete("stem.bias");
    const failed = createSession(gpu, smallGraph(), weights);
    await expect(failed).rejects.toMatchObject({
      code: "weights-mismatch",
      message: 'the tensor "stem.bias" was not loaded',
    });
    expect(alive.made()).toBeGreaterThan(0);
    expect(alive.left()).toBe(0);
    gpu.dispose();
  });

  it("asks for tensors one after another, in the order that the source prefers, and for none twice", async () => {
    const graph = tinyNet(2);
    const weights = weightsOf(graph);
    const keys = [...weights.keys()].reverse();
    const asked: string[] = [];
    let waiting = 0;
    const get = async (name: string) => {
      expect(++waiting).toBe(1);
      asked.push(name);
      await new Promise((done) => setTimeout(done, 1));
      waiting--;
      return weights.get(name);
    };
    using session = await createSession(fixture.as("gpu"), graph, { keys: () => keys, get });
    expect(asked).toEqual(keys);
    using plain = await open(graph);
    const video = frame(5, 2 * TINY);
    expect(await session.run({ video })).toEqual(await plain.run({ video }));
  });

  it("while a tensor cannot be read: its error, nothing is asked for after it, and every buffer is destroyed", async () => {
    const gpu = await ownGpu();
    const alive = watchBuffers(gpu.device);
    const graph = tinyNet(1);
    const weights = weightsOf(graph);
    const asked: string[] = [];
    const get = async (name: string) => {
      asked.push(name);
      if (asked.length === 3) fail("truncated", "the connection broke");
      return weights.get(name);
    };
    const failed = createSession(gpu, graph, { keys: () => weights.keys(), get });
    await expect(failed).rejects.toMatchObject({ code: "truncated", message: "the connection broke" });
    expect(asked.length).toBe(3);
    expect([alive.made() > 3, alive.left()]).toEqual([true, 0]);
    gpu.dispose();
  });

  it("aborted while a tensor is read: nothing is asked for after it, and every buffer is destroyed", async () => {
    const gpu = await ownGpu();
    const alive = watchBuffers(gpu.device);
    const graph = tinyNet(1);
    const weights = weightsOf(graph);
    const controller = new AbortController();
    let asked = 0;
    const get = async (name: string) => {
      if (++asked === 3) controller.abort();
      return weights.get(name);
    };
    const failed = createSession(gpu, graph, { keys: () => weights.keys(), get }, { signal: controller.signal });
    await expect(failed).rejects.toMatchObject({ name: "AbortError" });
    expect(asked).toBe(3);
    expect(alive.left()).toBe(0);
    gpu.dispose();
  });

  it("on an adapter without f16: unsupported", async () => {
    const gpu = { ...fixture.gpu, caps: { ...fixture.gpu.caps, f16: false } };
    const failed = createSession(gpu, smallGraph(), weightsOf(smallGraph()), { dtype: "f16" });
    await expect(failed).rejects.toMatchObject({ code: "unsupported" });
  });

  it("reports progress from 0 to 1 in each phase", async () => {
    const seen: Record<string, number[]> = { upload: [], compile: [] };
    const graph = smallGraph();
    const onProgress = (p: { phase: "upload" | "compile"; fraction: number }) => void seen[p.phase]!.push(p.fraction);
    using session = await createSession(fixture.as("gpu"), graph, weightsOf(graph), { onProgress });
    expect(session.counts).toEqual({ macs: 2 * 3 * 5 * 4 * 6, parameters: 4 * 6 + 6, dispatches: 1 });
    for (const fractions of Object.values(seen)) {
      expect(fractions.at(-1)).toBe(1);
      expect(fractions).toEqual([...fractions].sort((a, b) => a - b));
    }
  });

  it("while the caller makes a mistake on the same device: it stays the caller's", async () => {
    const gpu = await ownGpu(); // with everything still to compile
    gpu.device.pushErrorScope("validation");
    const pending = open(smallGraph(), gpu);
    await null;
    gpu.device.createBuffer({ size: 4, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.MAP_WRITE });
    const own = gpu.device.popErrorScope();
    using session = await pending;
    expect((await own)?.message).toContain("MapRead");
    expect((await session.run({ x: new Random(3).normal(SMALL) })).y!.every(Number.isFinite)).toBe(true);
    gpu.dispose();
  });

  it("beside another on one device: each works, and an error is reported where it belongs", async () => {
    const gpu = await ownGpu(); // nothing is compiled yet: the broken one fails while the others wait for the compiler
    const graph = smallGraph();
    const x = new Random(3).normal(SMALL);
    const [good, bad, second] = await Promise.allSettled([
      open(graph, gpu),
      open(brokenGraph(), gpu),
      open(graph, gpu),
    ]);
    const message = expect.stringMatching(/^session broken: .*uniform/i);
    expect(bad).toMatchObject({ status: "rejected", reason: { name: "KinemaError", message } });
    const answers: unknown[] = [];
    for (const result of [good, second]) {
      if (result.status === "rejected") throw result.reason;
      answers.push((await result.value.run({ x })).y);
    }
    expect(answers[0]).toEqual(answers[1]);
    gpu.dispose();
  });

  it.each([
    [
      "a tensor larger than a binding",
      { maxStorageBufferBindingSize: 2 ** 21, maxBufferSize: 2 ** 28 },
      /: "blocks\.2\.expand" takes 4\.6 MiB, this device binds at most 2\.0 MiB; use fewer frames/,
    ],
    [
      "activations larger than a buffer",
      { maxStorageBufferBindingSize: 2 ** 27, maxBufferSize: 65536 },
      /needs .* MiB of activations in a buffer, this device allows 0\.1 MiB/,
    ],
  ])("%s: limit-exceeded before anything is made", async (_what, limits, message) => {
    const { device } = fixture.gpu;
    const low = new Proxy(device, {
      get: (target, key) => {
        if (key === "limits") return { ...limits };
        const value = Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const graph = buildModel(describeModel("tsm-mobilenetv2-online", { frames: 1 }));
    const counts = await made(device, async () => {
      const failed = await createSession({ ...fixture.gpu, device: low }, graph, weightsOf(graph)).catch(
        (error) => error,
      );
      expect(failed).toMatchObject({ code: "limit-exceeded" });
      expect(failed.message).toMatch(message);
    });
    expect(counts).toEqual({});
  });

  it("for a clip that no device holds: limit-exceeded before anything is made", async () => {
    const graph = buildModel(describeModel("tsm-resnet50", { frames: 100_000 }));
    const counts = await made(fixture.gpu.device, async () => {
      await expect(createSession(fixture.gpu, graph, new Map())).rejects.toMatchObject({ code: "limit-exceeded" });
    });
    expect(counts).toEqual({});
  });
});

/** A graph whose bind group WebGPU refuses: it binds weights where the kernel declares a uniform. */
function brokenGraph(): Graph {
  const g = new GraphBuilder("broken");
  const scale = g.weight("scale", { tensors: {}, length: 4, pack: () => new Float32Array(4) });
  const code = `struct P { n: u32 }
@group(0) @binding(0) var<uniform> scale: vec4f;
@group(0) @binding(1) var<storage, read_write> y: vec4f;
@group(0) @binding(2) var<uniform> params: P;
@compute @workgroup_size(1) fn main() { y = scale * f32(params.n); }`;
  const kernel: Kernel = {
    name: "broken",
    code,
    bindings: {
      scale: { index: 0, kind: "uniform" },
      y: { index: 1, kind: "read_write" },
      params: { index: 2, kind: "uniform" },
    },
    params: { n: { offset: 0, type: "u32" } },
    paramsBytes: 4,
    consts: {},
  };
  const op: OpDef<object> = {
    name: "broken",
    takes: ["scale"],
    infer: () => ({ y: tensor(1, 4) }),
    lower: ({ scale: weight, y }) => [
      { kernel, consts: {}, params: { n: 1 }, bind: { scale: weight!, y: y! }, groups: [1, 1, 1] },
    ],
  };
  g.output("y", g.apply(op, "node", { scale }, {}).y!);
  return g.build();
}
