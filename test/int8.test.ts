// Weights of matrix products in signed bytes with a scale for each output channel.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { loadSession } from "../src/classifier.ts";
import { halfBits } from "../src/core/half.ts";
import { toInt8 } from "../src/core/int8.ts";
import { keep, keptBytes } from "../src/core/kept.ts";
import { variantName } from "../src/core/kernel.ts";
import type { Caps } from "../src/core/op.ts";
import { plan } from "../src/core/plan.ts";
import { toChannelsLast } from "../src/core/tensor.ts";
import { argmax, softmax } from "../src/labels/top.ts";
import { buildModel } from "../src/models/index.ts";
import { productOf } from "../src/ops/matmul_body.ts";
import { standardModel } from "../src/profile.ts";
import { readTensors, runModel } from "../src/run.ts";
import { createSession } from "../src/session.ts";
import { fromBytes } from "../src/weights/byte_source.ts";
import { openCheckpoint } from "../src/weights/checkpoint.ts";
import { choosing, inBody } from "./cases/body.ts";
import type { OpCase } from "./cases/case.ts";
import { checkCase, TESTED } from "./cases/check.ts";
import { keeps } from "./cases/kept.ts";
import { Random } from "./cases/random.ts";
import { useGpu } from "./gpu.ts";
import { tinyNet } from "./session_fixture.ts";
import { syntheticTensors } from "./synthetic_model.ts";

const fixture = useGpu();

/** The numbers that bytes and scales stand for, panel by panel, and the scale of each. */
function opened(kept: Int8Array<ArrayBuffer>, blocks: number): { value: number; byte: number; scale: number }[] {
  const panel = 16 * (1 + blocks);
  const scales = new Float32Array(kept.buffer);
  return [...kept].flatMap((byte, at) => {
    if (at % panel < 16) return [];
    const scale = scales[(at - (at % panel)) / 4 + (at % 4)]! * 2 ** 24;
    return [{ value: byte * scale, byte, scale }];
  });
}

describe("the quantiser", () => {
  const random = new Random(3);

  it.each([1, 1e-25, 1e-3, 1e4, 1e35])("is off by half a scale at most, numbers near %d", (size) => {
    for (const [panels, blocks] of [
      [1, 1],
      [3, 5],
      [2, 48],
    ] as const) {
      const values = random.normal(panels * blocks * 16).map((v) => v * size);
      const numbers = opened(toInt8("w", values, blocks), blocks);
      expect(numbers.length).toBe(values.length);
      for (const [i, { value, byte, scale }] of numbers.entries()) {
        expect(Math.abs(byte)).toBeLessThanOrEqual(127);
        expect(Math.abs(value - values[i]!)).toBeLessThanOrEqual((scale / 2) * (1 + 1e-6));
      }
      for (let at = 0; at < values.length; at += blocks * 16)
        for (let channel = 0; channel < 4; channel++) {
          const own = numbers.slice(at, at + blocks * 16).filter((_, i) => i % 4 === channel);
          expect(Math.max(...own.map(({ byte }) => Math.abs(byte))), "the largest takes the whole range").toBe(127);
        }
    }
  });

  it("has a scale of its own for each channel, 1 where there is nothing to scale", () => {
    const values = new Float32Array(32);
    values.set([508, 0, 2 ** -149, -1e-3], 0);
    values.set([-4, 0, -1e-30, 0], 28);
    const numbers = opened(toInt8("w", values, 2), 2);
    expect(numbers.slice(0, 4).map(({ scale }) => scale)).toEqual([4, 1, 1, Math.fround(Math.fround(1e-3) / 127)]);
    expect(numbers.slice(0, 4).map(({ byte }) => byte)).toEqual([127, 0, 0, -127]);
    expect(numbers.slice(28).map(({ byte }) => Math.abs(byte))).toEqual([1, 0, 0, 0]);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])("refuses %d by name", (value) => {
    const values = random.normal(64);
    values[37] = value;
    expect(() => toInt8("head.weight", values, 2)).toThrow(
      /^NaN or infinity in "head\.weight", which int8 cannot keep/,
    );
  });

  it("takes the bytes that were planned", () => {
    const values = random.normal(3 * 7 * 16);
    for (const form of ["native", "int8"] as const) {
      const kept = { form, blocks: 7 };
      expect(keep("w", values, kept).byteLength).toBe(keptBytes(values.byteLength, kept));
    }
    expect(keptBytes(values.byteLength, { form: "int8", blocks: 7 })).toBe(3 * (16 + 7 * 16));
    expect(keep("w", values)).toBe(values);
    expect(keep("w", values, { form: "unpacked", blocks: 7 })[5]).toBe(halfBits(values[5]!));
  });
});

describe("products of bytes", () => {
  /** Of each variant one case, as an adapter of that kind computes it. */
  function casesOf(caps: Partial<Caps>): [string, OpCase][] {
    const on: Caps = { kind: "cpu", f16: false, subgroups: false, timestamps: false, ...caps };
    const found = new Map<string, OpCase>();
    for (const opCase of TESTED)
      if (keeps(opCase, on, "int8"))
        for (const { dispatch: d } of plan(opCase.graph, { ...on, weights: "int8" }).steps)
          if (productOf(d)) found.set(variantName(d.kernel, d.consts, d.retype), opCase);
    return [...found].sort(([a], [b]) => (a < b ? -1 : 1));
  }
  const adapters = {
    "a processor": { kind: "cpu", subgroups: true },
    "a GPU": { kind: "gpu", subgroups: false },
  } as const;

  it("are checked from every load, in quads and alone", () => {
    const names = Object.values(adapters).flatMap((caps) => casesOf(caps).map(([name]) => name));
    for (const load of [1, 2, 3, 4])
      expect(names.filter((name) => name.includes(`LOAD=${load}`)).length).toBeGreaterThan(1);
    for (const word of ["QUAD=true", "PHASES=true", "REFLECT=true", "PAST=true", "CARRY=true", "ROWS=1 "])
      expect(names.filter((name) => name.includes(word)).length, word).toBeGreaterThan(0);
    expect(names.every((name) => name.includes("INT8=true"))).toBe(true);
  });

  describe.each(Object.entries(adapters))("%s", (_kind, caps) => {
    it.each(casesOf(caps))("%s", async (_name, opCase) => {
      const able = caps.subgroups && fixture.gpu.caps.subgroups;
      expect(await checkCase(fixture.as(caps.kind, { ...caps, subgroups: able }), opCase, "int8")).toEqual([]);
    });
  });

  const tiled = ["conv2d 3x3 pad 1,1,1,1 residual [2, 4, 5, 5] -> 18 linear", "conv2d 1x1 [1, 40, 33, 8] -> 17 linear"];
  it.each(tiled)("in tiles of workgroup memory: %s", { timeout: 240_000 }, async (title) => {
    const opCase = TESTED.find(({ graph }) => graph.name === title)!;
    const gpu = inBody(fixture.as("gpu"), opCase.graph, "tile 16x64")!;
    expect(await checkCase(gpu, opCase, "int8")).toEqual([]);
  });

  it("leave what is no matrix as it is, and are never multiplied as subgroup matrices", () => {
    const graph = buildModel(standardModel("mobilenetv2"));
    const caps = { kind: "gpu", f16: true, subgroups: true, timestamps: false, weights: "int8" } as const;
    const planned = plan(graph, caps);
    for (const { node, dispatch } of planned.steps)
      for (const value of Object.values(dispatch.bind))
        if (value?.kind === "weight")
          expect(planned.kept.has(value.id), value.name).toBe(
            node.op.name !== "depthwise" && value === dispatch.bind.w,
          );
    const matrices = [{ component: "f32", m: 8, n: 8, k: 8 }] as const;
    expect(choosing({ ...caps, matrices, subgroupSize: 32 }, graph, "matrix 64x64")).toBe(null);
  });
});

describe("models with weights in bytes", () => {
  it.each([
    ["vit", 0.254],
    ["stam", 0.254],
    ["tsm-resnet50", 0.253],
    ["mobilenetv2", 0.272], // depthwise filters are no matrices
  ] as const)("%s takes about a quarter of the memory", (model, share) => {
    const graph = buildModel(standardModel(model));
    const bytes = (weights: "f32" | "int8") =>
      plan(graph, { kind: "gpu", f16: false, subgroups: false, timestamps: false, weights }).bytes.weights;
    expect(bytes("int8") / bytes("f32")).toBeLessThan(share);
    expect(bytes("int8") / bytes("f32")).toBeGreaterThan(0.25);
  });

  it("are refused with NaN, by the weight's name", async () => {
    const graph = tinyNet(1);
    const weights = new Map(syntheticTensors(graph));
    const [name, data] = [...weights].find(([key]) => key.endsWith("weight"))!;
    weights.set(
      name,
      data.map((v, i) => (i === 1 ? Number.NaN : v)),
    );
    await expect(createSession(fixture.as("gpu"), graph, weights, { dtype: "int8" })).rejects.toMatchObject({
      code: "not-finite",
      message: expect.stringMatching(/^NaN or infinity in ".+", which int8 cannot keep/),
    });
  });

  it("the model that ships names what it names in f32, online and over the clip bit for bit the same", async () => {
    const open = (file: string) =>
      openCheckpoint(fromBytes(new Uint8Array(readFileSync(new URL(`../${file}`, import.meta.url))), file));
    const weights = await open("weights/kinema-motion.safetensors");
    const golden = await open("test/golden/models/kinema-motion.safetensors");
    const video = (await readTensors(golden, ["video"])).get("video")!;
    const [frames, , height, width] = video.shape as [number, number, number, number];
    const online = (await runModel(fixture.gpu, weights, new Map([["video", video]]), { dtype: "int8" })).tensors.get(
      "logits",
    )!;
    using clip = await loadSession(fixture.gpu, weights, { frames, height, width, dtype: "int8" });
    const { logits } = await clip.run({ video: toChannelsLast(video.data, [frames, 3, height, width]) });
    expect(logits).toEqual(online.data);
    const want = (await readTensors(golden, ["logits"])).get("logits")!;
    const classes = want.shape.at(-1)!;
    for (let frame = 0; frame < want.data.length / classes; frame++) {
      const part = (list: Float32Array) => list.slice(frame * classes, (frame + 1) * classes);
      const [a, b] = [softmax(part(online.data)), softmax(part(want.data))];
      expect(Math.max(...a.map((v, i) => Math.abs(v - b[i]!))), `frame ${frame}`).toBeLessThan(0.02);
      expect(argmax(part(online.data)), `frame ${frame}`).toBe(argmax(part(want.data)));
    }
  }, 60_000);
});
