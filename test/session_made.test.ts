// What making a session takes, asks for, reports and gives back.
import { describe, expect, it } from "vitest";
import { fail } from "../src/core/fail.ts";
import { type Graph, GraphBuilder } from "../src/core/graph.ts";
import { formOf } from "../src/core/kept.ts";
import type { Kernel } from "../src/core/kernel.ts";
import type { Caps, OpDef } from "../src/core/op.ts";
import { tensor } from "../src/core/tensor.ts";
import { buildModel } from "../src/models/index.ts";
import { createSession } from "../src/session.ts";
import { Random } from "./cases/random.ts";
import { describeModel } from "./describe_model.ts";
import {
  fixture,
  frame,
  made,
  open,
  ownGpu,
  SMALL,
  smallGraph,
  TINY,
  tinyNet,
  watchBuffers,
} from "./session_fixture.ts";
import { syntheticTensors } from "./synthetic_model.ts";

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
    const weights = syntheticTensors(smallGraph());
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
    const weights = syntheticTensors(graph);
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
    const weights = syntheticTensors(graph);
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
    const weights = syntheticTensors(graph);
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

  it("with f16 weights on an adapter without f16, as pairs in words", async () => {
    const gpu = { ...fixture.gpu, caps: { ...fixture.gpu.caps, f16: false } };
    const [graph, weights] = [smallGraph(), syntheticTensors(smallGraph())];
    using session = await createSession(gpu, graph, weights, { dtype: "f16" });
    using whole = await createSession(gpu, graph, weights);
    expect(session.plan.steps.some(({ dispatch }) => dispatch.consts.UNPACKED === true)).toBe(true);
    expect(session.plan.bytes.weights).toBeLessThan(whole.plan.bytes.weights);
  });

  it("with f16 weights in the form that was measured, or in words: that a device has f16 decides nothing", async () => {
    const [graph, weights] = [smallGraph(), syntheticTensors(smallGraph())];
    for (const measured of [{}, { weights: "unpacked" }, { weights: "int8" }] as const) {
      const caps: Caps = { ...fixture.gpu.caps, f16: true, ...measured };
      using session = await createSession({ ...fixture.gpu, caps }, graph, weights, { dtype: "f16" });
      expect([...session.plan.kept.values()].map(({ form }) => form)).toEqual(["unpacked"]);
    }
    expect([formOf("f16", "native"), formOf("f16", "arithmetic")]).toEqual(["native", "arithmetic"]);
    expect([formOf("f32", "native"), formOf("int8"), formOf(undefined, "native"), formOf(undefined)]).toEqual([
      "f32",
      "int8",
      "native",
      "f32",
    ]);
  });

  it("reports progress from 0 to 1 in each phase", async () => {
    const seen: Record<string, number[]> = { upload: [], compile: [] };
    const graph = smallGraph();
    const onProgress = (p: { phase: "upload" | "compile"; fraction: number }) => void seen[p.phase]!.push(p.fraction);
    using session = await createSession(fixture.as("gpu"), graph, syntheticTensors(graph), { onProgress });
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
      const failed = await createSession({ ...fixture.gpu, device: low }, graph, syntheticTensors(graph)).catch(
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
