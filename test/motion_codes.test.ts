// Networks on codes against PyTorch (tools/train/codes_model.py), layer by layer, as clip and as stream; the shipped ones too, where they are there.
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { embeddingOf, openMotionCodes } from "../src/codes_classifier.ts";
import { compareTensors, stridesOf } from "../src/compare.ts";
import { runCodes } from "../src/compressor.ts";
import { countMacs } from "../src/core/graph.ts";
import { channels, extent, product, rows, toChannelsFirst } from "../src/core/tensor.ts";
import { codesPerSite } from "../src/models/motion_codes.ts";
import { readTensors } from "../src/run.ts";
import { createSession, type Session } from "../src/session.ts";
import { fromBytes } from "../src/weights/byte_source.ts";
import { type Checkpoint, openCheckpoint } from "../src/weights/checkpoint.ts";
import { recogniseMotionCodes } from "../src/weights/motion_codes.ts";
import type { MotionCodesShape } from "../src/weights/types.ts";
import { useGpu } from "./gpu.ts";
import { madeCodes, motionCodesFile } from "./motion_codes_file.ts";

const file = (path: string) => new URL(`../${path}.safetensors`, import.meta.url);
const open = (path: string): Promise<Checkpoint> =>
  openCheckpoint(fromBytes(new Uint8Array(readFileSync(file(path))), path));

const fixture = useGpu();

type Extents = readonly [steps: number, rows: number, columns: number, books: number];

/** A network, codes, and what PyTorch makes of them. */
interface Case {
  readonly weights: Checkpoint;
  readonly codes: Float32Array<ArrayBuffer>;
  /** Of the codes. */
  readonly extents: Extents;
  readonly golden: Checkpoint;
}

/** Synthetic weights and codes, as tools/reference/export_motion_codes.py makes them. */
async function synthetic(name: string): Promise<Case> {
  const golden = await open(`test/golden/models/${name}`);
  const { backbone, network, classes, codes } = golden.metadata;
  const { widths, blocks, parts: quantiser } = JSON.parse(network!);
  const fine = name.endsWith("-fine") ? 16 : null;
  const shape = { backbone, widths, blocks, quantiser, classes: Number(classes), fine } as MotionCodesShape;
  const weights = await openCheckpoint(fromBytes(motionCodesFile(shape), name));
  expect(recogniseMotionCodes(weights)).toEqual(shape);
  const extents = JSON.parse(codes!) as Extents;
  return { weights, codes: madeCodes(quantiser, product(extents)), extents, golden };
}

/** A network that ships; the codes are the golden file's, [steps, codebooks, rows, columns]. */
async function shipped(name: string): Promise<Case> {
  const [weights, golden] = await Promise.all([open(`weights/${name}`), open(`test/golden/models/${name}`)]);
  const [steps, books, rows, columns] = golden.tensors.get("codes")!.shape as [number, number, number, number];
  const stored = Uint32Array.from(await golden.readF32("codes"));
  const codes = runCodes(stored, books, rows * columns);
  return { weights, codes, extents: [steps, rows, columns, books], golden };
}

const SYNTHETIC = ["motion-codes-s3d", "motion-codes-tsm", "motion-codes-s3d-fine"];
const SHIPPED = ["30", "192", "192-tsm", "384"].map((name) => `kinema-motion-codes-${name}`);
const CASES = [
  ...SYNTHETIC.map((name) => [name, synthetic, true] as const),
  ...SHIPPED.map((name) => [name, shipped, existsSync(file(`weights/${name}`))] as const),
];

/** A session on `steps` of the case's steps. */
async function session({ weights, extents }: Case, steps: number, stream: boolean): Promise<Session> {
  const [, rows, columns] = extents;
  const { graph, weights: tensors } = openMotionCodes(weights, { steps, rows, columns, stream });
  return createSession(fixture.gpu, graph, tensors);
}

/** Steps of the network in a case. */
const stepsOf = ({ weights, extents }: Case): number => extents[0] / codesPerSite(recogniseMotionCodes(weights)!);

const OUTPUTS = ["logits", "appearance", "motion"] as const;

describe.each(CASES)("%s", (name, make, there) => {
  it.skipIf(!there)("agrees with PyTorch in every layer", async () => {
    const one = await make(name);
    const { golden } = one;
    using clip = await session(one, stepsOf(one), false);
    const { graph } = clip.plan;
    const tapped = graph.values.filter((value) => value.kind === "temp" && golden.tensors.has(value.name));
    const got = await clip.run({ codes: one.codes }, { tap: tapped.map((value) => value.name) });
    const tensors = new Map(
      tapped.map((value) => {
        const data = got[value.name] ?? got[Object.keys(graph.outputs).find((key) => graph.outputs[key] === value)!]!;
        const plane = value.spec.shape.length === 4 ? [extent(value.spec, 1), extent(value.spec, 2)] : [1, 1];
        const four = [rows(value.spec) / product(plane), ...plane, channels(value.spec)] as [
          number,
          number,
          number,
          number,
        ];
        const [steps, height, width, count] = four;
        const shape = value.spec.shape.length === 4 ? [steps, count, height, width] : [steps, count];
        return [value.name, { shape, data: toChannelsFirst(data, four) }] as const;
      }),
    );
    tensors.set("logits", { shape: [...graph.outputs.logits!.spec.shape], data: got.logits! });
    const [split, steps] = [channels(graph.outputs.appearance!.spec), stepsOf(one)];
    const features = Array.from({ length: steps }, (_, i) =>
      Float32Array.from([
        ...got.appearance!.subarray(i * split, (i + 1) * split),
        ...got.motion!.subarray((i * got.motion!.length) / steps, ((i + 1) * got.motion!.length) / steps),
      ]),
    );
    const [mean, scale] = await Promise.all(["mean", "scale"].map((part) => one.weights.readF32(`embedding.${part}`)));
    const data = embeddingOf(features, { mean: mean!, scale: scale!, split });
    expect(data.reduce((sum, value) => sum + value * value, 0)).toBeCloseTo(1, 5);
    tensors.set("embedding", { shape: [data.length], data });
    const want = await readTensors(golden);
    want.delete("codes");
    expect([...tensors.keys()].sort()).toEqual([...want.keys()].sort());
    expect(tensors.size).toBe(13);
    const of = stridesOf(golden.metadata);
    const compared = compareTensors(tensors, want, of);
    expect(compared.filter(({ ok, max }) => !ok || !(max <= 1e-3))).toEqual([]);
  });

  it.skipIf(!there)("gives as a stream, in pieces, what it gives as a clip, bit for bit", async () => {
    const one = await make(name);
    const steps = stepsOf(one);
    using clip = await session(one, steps, false);
    const whole = await clip.run({ codes: one.codes });
    const step = one.codes.length / steps;
    const pieces = recogniseMotionCodes(one.weights)!.backbone === "tsm" ? [1, 1, 1, 1] : [1, 2, 1];
    let [at, state] = [0, null as Uint8Array<ArrayBuffer> | null];
    for (const count of pieces) {
      using stream = await session(one, count, true);
      if (state) stream.restore(state);
      const got = await stream.run({ codes: one.codes.slice(at * step, (at + count) * step) });
      for (const key of OUTPUTS) {
        const each = whole[key]!.length / steps;
        expect(got[key], `${key} from step ${at}`).toEqual(whole[key]!.slice(at * each, (at + count) * each));
      }
      state = await stream.snapshot();
      at += count;
    }
    expect(at).toBe(steps);
    // The past counts: without it the second step is another.
    using fresh = await session(one, 1, true);
    const { logits } = await fresh.run({ codes: one.codes.slice(step, 2 * step) });
    expect(logits).not.toEqual(whole.logits!.slice(logits!.length, 2 * logits!.length));
  });
});

describe("a network on codes", () => {
  it("multiplies 53.5 M a step of 256 x 256, and keeps 229 kB of the past", async () => {
    const { weights } = await synthetic("motion-codes-s3d");
    const { graph } = openMotionCodes(weights, { steps: 1, rows: 32, columns: 32, stream: true });
    expect(countMacs(graph) / 1e6).toBeCloseTo(53.5, 1);
    const states = graph.values.filter(({ kind }) => kind === "state");
    expect(states.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(4 * (32 ** 3 + 16 * 16 * 64 + 8 * 8 * 128));
  });

  it("takes one step a run where a stream is shifted", async () => {
    const { weights } = await synthetic("motion-codes-tsm");
    expect(() => openMotionCodes(weights, { steps: 2, rows: 8, columns: 8, stream: true })).toThrow(/one step a run/);
  });
});
