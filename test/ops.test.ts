// Every op case on the device against its f64 reference, through a real graph, plan and session.
import { beforeAll, describe, expect, it } from "vitest";
import { type Graph, GraphBuilder } from "../src/core/graph.ts";
import { flat } from "../src/core/kernel.ts";
import type { OpDef } from "../src/core/op.ts";
import { plan } from "../src/core/plan.ts";
import { padChannels, tensor } from "../src/core/tensor.ts";
import type { Gpu } from "../src/gpu/device.ts";
import { compile } from "../src/gpu/pipelines.ts";
import { unit } from "../src/models/layers.ts";
import * as ops from "../src/ops/index.ts";
import { createSession, type Session } from "../src/session.ts";
import type { Feeds, OpCase } from "./cases/case.ts";
import { CASES } from "./cases/index.ts";
import { Random } from "./cases/random.ts";
import { mismatch } from "./close.ts";
import { poison, readState, readStored, useGpu, writeState } from "./gpu.ts";

const fixture = useGpu();

const stateName = (graph: Graph) => graph.values.find((value) => value.kind === "state")?.name;

/** One run out of poisoned memory: outputs in logical shape, the state after it, and outputs as they are stored. */
async function runOnce(session: Session, feeds: Feeds) {
  const { graph } = session.plan;
  const state = stateName(graph);
  poison(session);
  if (state) await writeState(session, feeds[state]!);
  const inputs = Object.fromEntries(Object.entries(feeds).filter(([name]) => name !== state));
  const got: Record<string, Float32Array<ArrayBuffer>> = await session.run(inputs);
  const stored: Record<string, Float32Array> = {};
  for (const name of Object.keys(graph.outputs)) {
    stored[name] = await readStored(session.gpu.device, session.range(name));
  }
  return { got: state ? { ...got, [state]: await readState(session) } : got, stored };
}

/** Two inputs, and the first again: what a run leaves behind must not reach the next. */
async function check(gpu: Gpu, { graph, weights, feeds, expected }: OpCase): Promise<void> {
  using session = await createSession(gpu, graph, weights);
  const runs: unknown[] = [];
  for (const seed of [11, 23, 11]) {
    const given = feeds(seed);
    const { got, stored } = await runOnce(session, given);
    for (const [name, want] of Object.entries(expected(given))) {
      const wrong = mismatch(name, got[name]!, want);
      if (wrong) expect.fail(`${graph.name}: ${wrong} on a ${gpu.caps.kind} variant, run ${runs.length + 1}`);
    }
    for (const [name, { spec }] of Object.entries(graph.outputs)) {
      const padded = padChannels(got[name]!, spec);
      expect(stored[name], `${graph.name}: channels that pad ${name} to four are zero`).toEqual(padded);
    }
    runs.push(got);
  }
  expect(runs[2], `${graph.name}: the first input again`).toEqual(runs[0]);
}

/** Tiles by what chooses them: the adapter, its subgroups, and how large a graph is. */
const TILES = {
  "on a processor": { kind: "cpu", subgroups: true },
  "on a processor, of a large graph": { kind: "cpu", subgroups: true, macs: 1e9 },
  "on a processor, of a huge graph": { kind: "cpu", subgroups: true, macs: 1e10 },
  "on a processor without subgroups": { kind: "cpu", subgroups: false },
  "on a GPU": { kind: "gpu", subgroups: false },
} as const;
type Tiles = (typeof TILES)[keyof typeof TILES];

/** The device as an adapter that has such tiles; what it lacks, it has not. */
const adapterOf = (tiles: Tiles): Gpu =>
  fixture.as(tiles.kind, { ...tiles, subgroups: tiles.subgroups && fixture.gpu.caps.subgroups });

/** Kernel variants and dispatch sizes that a graph lowers to. */
function lowered(graph: Graph, tiles: Tiles): string {
  const caps = { f16: false, timestamps: false, ...tiles };
  return JSON.stringify(plan(graph, caps).steps.map(({ dispatch: { consts, groups } }) => [consts, groups]));
}

const named = (cases: readonly OpCase[]) => cases.map((c): [string, OpCase] => [`${c.op} ${c.title}`, c]);
const tested = CASES.filter(({ bench }) => !bench);
/** Cases that are not computed the same way on an adapter before it in the list. */
const newTo = (i: number): OpCase[] =>
  tested.filter(({ graph }) => {
    const ways = Object.values(TILES).map((tiles) => lowered(graph, tiles));
    return ways.indexOf(ways[i]!) === i;
  });

// Every variant compiles on all cores before the first test asks for one.
beforeAll(async () => {
  const plans = Object.values(TILES).flatMap((tiles) => tested.map(({ graph }) => plan(graph, adapterOf(tiles).caps)));
  const dispatches = plans.flatMap(({ steps }) => steps.map((step) => step.dispatch));
  await Promise.all(dispatches.map((d) => compile(fixture.gpu.device, d.kernel, d.consts)));
}, 180_000);

describe("ops against f64", () => {
  it("every op has cases, and every case has work to count", () => {
    const names = Object.values(ops).flatMap((op) => (typeof op === "object" && "infer" in op ? [op.name] : []));
    expect(new Set(tested.map(({ op }) => op))).toEqual(new Set(names));
    for (const { flops, bytes, op } of CASES) {
      expect(bytes).toBeGreaterThan(0);
      if (op !== "temporalShift") expect(flops).toBeGreaterThan(0);
    }
  });

  describe.each(Object.entries(TILES).map(([name, tiles], i) => ({ name, tiles, i })))("$name", ({ tiles, i }) => {
    it.each(named(newTo(i)))("%s", (_name, opCase) => check(adapterOf(tiles), opCase));
  });
});

/** The op with workgroups of one thread: as many workgroups as threads, so that small tensors reach the fold into y. */
function inOnes(op: OpDef<unknown>): OpDef<unknown> {
  return {
    ...op,
    lower: (values, attrs, caps) =>
      op.lower(values, attrs, caps).map((d) => {
        const groups = flat(d.groups[0] * d.groups[1] * (d.kernel.consts.WG as number), 1);
        expect(groups[1], "the case is large enough to fold").toBe(2);
        return { ...d, consts: { ...d.consts, WG: 1 }, groups };
      }),
  };
}

describe("more than 65,535 workgroups", () => {
  it("fold into two dimensions that cover every thread and hardly more", () => {
    expect(flat(0, 64)).toEqual([1, 1, 1]);
    expect(flat(65_535 * 64, 64)).toEqual([65_535, 1, 1]);
    expect(flat(65_535 * 64 + 1, 64)).toEqual([32_768, 2, 1]);
    const random = new Random(5);
    for (let i = 0; i < 1000; i++) {
      const count = 1 + random.below(2 ** 32 - 1);
      const [x, y, z] = flat(count, 64);
      expect(Math.max(x, y)).toBeLessThanOrEqual(65_535);
      expect(z).toBe(1);
      expect(x * y * 64).toBeGreaterThanOrEqual(count);
      expect((x * y - y) * 64).toBeLessThan(count);
    }
  });

  const { LINEAR, pad } = ops;
  const pixels = [3, 151, 149] as const; // 67,497 rows, a thread each
  const conv = { out: 16, kernel: 1, stride: 1, padding: pad(0), activation: LINEAR };
  const filter = { stride: 1, padding: pad(1), activation: LINEAR };
  it.each<[string, OpDef<never>, unknown, number[], number[]]>([
    ["conv2d", ops.conv2d, conv, [2, 257, 257, 3], [16, 3, 1, 1]],
    ["depthwise", ops.depthwise, filter, [1, 301, 3, 897], [897, 1, 3, 3]],
    ["maxPool", ops.maxPool, { kernel: 3, stride: 1, pad: 1 }, [...pixels, 3], []],
    ["mean", ops.mean, { groups: 3 * 151 * 149 }, [...pixels, 3], []],
    ["softmax", ops.softmax, {}, [...pixels, 3], []],
    ["takeRow", ops.takeRow, { row: 1 }, [67_000, 2, 3], []],
    ["temporalShift", ops.temporalShift, { frames: 3, mode: "both", fold: 1 }, [...pixels, 3], []],
    ["packOperand", ops.packOperand, { transposed: true }, [1039, 1041], []],
  ])("%s", async (name, op, attrs, shape, weight) => {
    const answers: Float32Array[] = [];
    for (const variant of [op as OpDef<unknown>, inOnes(op as OpDef<unknown>)]) {
      const g = new GraphBuilder(name);
      const [out, input, kernel] = weight as [number, number, number];
      const shapes = { out, input, kernel, batchNorm: false, bias: true };
      const weights = weight.length > 0 ? unit(g, "u", shapes, name === "depthwise") : {};
      const outputs = g.apply(variant, "node", { x: g.input("x", tensor(...shape)), ...weights }, attrs);
      g.output("out", Object.values(outputs)[0]!);
      const random = new Random(3);
      const given = new Map(
        weight.length > 0
          ? [
              ["u.weight", random.normal(...weight)],
              ["u.bias", random.normal(out)],
            ]
          : [],
      );
      using session = await createSession(fixture.as("gpu"), g.build(), given);
      poison(session);
      answers.push((await session.run({ x: random.normal(...shape) })).out!);
    }
    expect(answers[0]!.some(Number.isNaN)).toBe(false);
    expect(Buffer.compare(Buffer.from(answers[0]!.buffer), Buffer.from(answers[1]!.buffer))).toBe(0);
  });
});
