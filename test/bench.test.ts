// The bench: its cases, what it refuses, what it writes and compares. What it measures is no test.
import { readFileSync } from "node:fs";
import { describe, expect, it, vi } from "vitest";
import { bodiesOf } from "../bench/bodies.ts";
import { type Answer, KERNEL_CASES, type KernelCase } from "../bench/cases.ts";
import { benchCommand, joinReport } from "../bench/command.ts";
import { modelFile, percentile, readModel, timeNetwork } from "../bench/models.ts";
import { logTicks } from "../bench/page/bar_chart.ts";
import { randomFile } from "../bench/random_file.ts";
import { compareReports, printReport, type Report, readReport, refusedOf } from "../bench/report.ts";
import { CASE_NAMES, chooseCases, runBench, timeKernels } from "../bench/run.ts";
import { tunedFor } from "../bench/tuned.ts";
import { countMacs, type Value, wantedTensors } from "../src/core/graph.ts";
import type { Caps, OpDef } from "../src/core/op.ts";
import { plan } from "../src/core/plan.ts";
import { elements, unpadChannels } from "../src/core/tensor.ts";
import { buildModel, MODEL_NAMES } from "../src/models/index.ts";
import type { BodyName } from "../src/ops/matmul_body.ts";
import { createSession } from "../src/session.ts";
import { openCheckpoint } from "../src/weights/checkpoint.ts";
import { CEILINGS, report, result, rivalResult } from "./bench_report.ts";
import { choosing } from "./cases/body.ts";
import { halfRoundings } from "./cases/kept.ts";
import { Workspace } from "./cli/workspace.ts";
import { readStored, useGpu } from "./gpu.ts";

const fixture = useGpu();
/** What Dawn reports of an NVIDIA GPU. */
const GPU: Caps = { kind: "gpu", f16: true, subgroups: true, timestamps: false };
const MATRICES = { matrices: [{ component: "f16", m: 16, n: 16, k: 16 }], subgroupSize: 32 } as const;

const kernelCase = (name: string): KernelCase => KERNEL_CASES.find((c) => c.name === name)!;

describe("cases", () => {
  it("are kernels and every model, each once", () => {
    expect(new Set(CASE_NAMES).size).toBe(CASE_NAMES.length);
    expect(CASE_NAMES).toEqual(expect.arrayContaining(["matmul-1024", "conv3x3", "attention", "shifted"]));
    const added = ["conv3d", "conv-transpose", "group-norm", "relu", "soft-clamp", "vq", "fsq", "embed"];
    expect(CASE_NAMES).toEqual(expect.arrayContaining(added));
    expect(CASE_NAMES).toEqual(expect.arrayContaining([...MODEL_NAMES]));
  });

  it("have small twins with extents that no tile divides", () => {
    for (const { name, twin } of KERNEL_CASES) {
      const { graph, flops } = twin();
      const [{ spec }] = Object.values(graph.outputs) as [Value];
      expect(elements(spec), name).toBeLessThan(4096); // so that every element is checked
      expect(elements(spec) % 8, name).not.toBe(0);
      expect(flops, name).toBeGreaterThan(0);
    }
  });

  it("are chosen by name or by how they begin", () => {
    expect(chooseCases(["matmul"])).toEqual(["matmul-256", "matmul-512", "matmul-1024", "matmul-2048"]);
    expect(chooseCases(["tsm-mobilenetv2"])).toEqual(["tsm-mobilenetv2"]);
    expect(chooseCases([])).toEqual(CASE_NAMES);
    expect(chooseCases([], { quick: true })).toEqual(CASE_NAMES.filter((name) => name !== "stam" && name !== "vit"));
    expect(chooseCases([], { bodies: true })).toEqual(["matmul-1024", "matmul-2048", "conv3x3", "conv3x3-clip"]);
    expect(chooseCases(["conv3x3"], { bodies: true })).toEqual(["conv3x3"]);
    const able = ["tsm-resnet50", "tsm-resnet101", "tsm-mobilenetv2", "mobilenetv2"];
    expect(chooseCases([], { batch: 2 })).toEqual([...able, "vit"]);
    expect(chooseCases([], { batch: 2, quick: true })).toEqual(able);
    expect(chooseCases(["stam"])).toEqual(["stam"]);
    expect(() => chooseCases(["stam"], { batch: 2 })).toThrow(
      /^stam takes one clip a run; --batch is for tsm-resnet50,/,
    );
    expect(() => chooseCases(["matmull"])).toThrow(/no case is called matmull; there are matmul-256/);
  });

  it.each(MODEL_NAMES)("%s is recognised from its random weights, as it was described", async (model) => {
    for (const quick of [false, true]) {
      const { clip, file } = modelFile(model, quick);
      const { graph, weights } = await readModel(file, clip);
      const described = buildModel(clip);
      expect(countMacs(graph)).toBe(countMacs(described));
      expect(new Set(weights.keys())).toEqual(new Set(wantedTensors(described).keys()));
      const pixels = Object.values(graph.inputs)[0]!.spec.shape[1]! * (model.endsWith("-decoder") ? 8 : 1);
      expect(pixels).toBe(quick && !/stam|vit/.test(model) ? 64 : 224);
    }
  });

  it("describe several clips, or images, as one run", async () => {
    for (const [model, shape, logits] of [
      ["tsm-mobilenetv2", [6, 64, 64, 3], [3, 400]],
      ["mobilenetv2", [3, 64, 64, 3], [3, 1000]],
    ] as const) {
      const { clip, file } = modelFile(model, true, 3);
      const { graph } = await readModel(file, clip);
      expect(Object.values(graph.inputs)[0]!.spec.shape).toEqual(shape);
      expect(graph.outputs.logits!.spec.shape).toEqual(logits);
    }
  });

  it("take random weights from a file that opens, whole or in pieces", async () => {
    const shapes = new Map([
      ["stem.weight", [6, 3, 3, 3]],
      ["stem.bn.running_var", [6]],
    ]);
    const file = randomFile("random.safetensors", shapes, { model: "mobilenetv2" });
    const checkpoint = await openCheckpoint(file);
    expect(checkpoint.metadata.model).toBe("mobilenetv2");
    expect(Array.from(await checkpoint.readF32("stem.bn.running_var"))).toEqual([1, 1, 1, 1, 1, 1]);
    const weight = await checkpoint.readF32("stem.weight");
    expect(new Set(weight).size).toBe(6 * 27);
    expect(Math.max(...weight.map(Math.abs))).toBeLessThanOrEqual(Math.sqrt(3 / 27));
    const tail = await file.read(file.size - 28, 28);
    expect(new Float32Array(tail.slice().buffer)).toEqual(Float32Array.of(weight.at(-1)!, 1, 1, 1, 1, 1, 1));
  });
});

describe("a wrong kernel", () => {
  const small = kernelCase("conv1x1-project");
  /** The same kernel beside a reference that wants one element to be another. */
  const against = (wrong: number): KernelCase => {
    const twin = small.twin();
    const at = (index: number): Answer => {
      const { want, allowed } = twin.at(index);
      return { want: index === wrong ? want + 3 * allowed : want, allowed };
    };
    const lie = () => ({ ...twin, at });
    return { ...small, timed: lie, twin: () => small.twin() };
  };

  it("is refused for a single element, and the others are timed", async () => {
    const good = { ...small, timed: small.twin };
    const results = await timeKernels(fixture.gpu, [against(17), good], async () => CEILINGS, { rounds: 2 });
    expect(results[0]).toMatchObject({ timing: null, refused: expect.stringMatching(/^element 17 is .*f64 says/) });
    expect(results[1]).toMatchObject({ refused: null, timing: { rounds: 2 } });
    expect(printReport(report(results))).toMatch(/conv1x1-project .* refused: element 17/);
  });

  it("is refused for its twin alone", async () => {
    const liar = { ...against(5), timed: small.twin };
    const [refused] = await timeKernels(fixture.gpu, [{ ...liar, twin: against(5).timed }], async () => CEILINGS, {
      rounds: 2,
    });
    expect(refused).toMatchObject({ timing: null, refused: expect.stringMatching(/^small: element 5 is /) });
  });
});

describe("weights that are not f32", () => {
  const kernel = kernelCase("conv1x1-project");
  const small = { ...kernel, timed: kernel.twin };

  it.each(["unpacked", "int8"] as const)("are checked as they are kept, as closely as f32: %s", async (weights) => {
    // The same layer against the weights as they were before.
    const given = () => {
      const twin = kernel.twin();
      return { ...twin, at: (index: number) => twin.at(index) };
    };
    const cases = [small, { ...small, twin: given }];
    const gpu = fixture.as("cpu", { weights });
    const [kept, before] = await timeKernels(gpu, cases, async () => CEILINGS, { rounds: 1 });
    expect(kept).toMatchObject({ refused: null, timing: { rounds: 1 } });
    expect(before).toMatchObject({ timing: null, refused: expect.stringMatching(/^small: element/) });
  });

  it("are f32 where packed weights are sums, and the line says so", async () => {
    const upsampled = kernelCase("conv-transpose");
    const gpu = fixture.as("cpu", { weights: "int8" });
    const cases = [{ ...upsampled, timed: upsampled.twin }];
    const [made] = await timeKernels(gpu, cases, async () => CEILINGS, { rounds: 1 });
    expect(made).toMatchObject({ refused: null, about: expect.stringMatching(/ relu, f32$/) });
  });

  it("may be off by as many roundings to f16 as the body has", () => {
    const { graph } = kernelCase("conv3x3").timed();
    const roundings = (caps: Partial<Caps>, body: BodyName) => {
      const { steps } = plan(graph, choosing({ ...GPU, ...caps }, graph, body)!);
      return steps.map(({ dispatch }) => halfRoundings(dispatch));
    };
    for (const weights of ["f32", "native", "unpacked", "int8"] as const)
      for (const body of ["registers", "tile 64x64"] as const) expect(roundings({ weights }, body)).toEqual([0]);
    for (const body of ["registers", "tile 64x64"] as const)
      expect(roundings({ weights: "arithmetic" }, body)).toEqual([17]);
    expect(roundings({ ...MATRICES, weights: "native" }, "matrix 64x64")).toEqual([1]);
    const inF32 = { ...MATRICES, matrices: [{ component: "f32", m: 8, n: 8, k: 8 }] } as const;
    expect(roundings({ ...inF32, weights: "native" }, "matrix 64x64")).toEqual([0]);
  });
});

describe("bodies", () => {
  const kernel = kernelCase("conv3x3");
  const named = (caps: Caps, graph = kernel.timed().graph) =>
    bodiesOf({ ...fixture.gpu, caps }, graph).map(({ about }) => about);

  it("are all that the adapter can run, with f32 weights and with those that are asked for", () => {
    const registers = ["registers", "registers 1x4", "registers 2x8", "registers 4x8", "registers 8x16"];
    expect(named({ ...GPU, kind: "cpu" })).toEqual(registers.map((body) => `${body}, f32`));
    const all = named({ ...GPU, ...MATRICES, weights: "native" });
    expect(all).toEqual(expect.arrayContaining(["registers, f32", "tile 64x64, f32", "tile 64x64, native"]));
    expect(all).toContain("matrix 64x64, native");
    expect(all).not.toContain("matrix 64x64, f32"); // these matrices are of f16
    expect(named(GPU, kernelCase("layer-norm").twin().graph)).toEqual([]);
    for (const name of ["conv3d", "conv-transpose"])
      expect(named(GPU, kernelCase(name).timed().graph), name).toContain("tile 32x64, f32");
  });

  it("are what each is called, in a case and in its twin", () => {
    const gpu = { ...fixture.gpu, caps: { ...GPU, ...MATRICES, weights: "native" } as const };
    const used = new Map(
      bodiesOf(gpu, kernel.timed().graph).map(({ about, on }) => [
        about,
        [kernel.timed(), kernel.twin()].map(
          ({ graph }) => plan(graph, on(graph).caps).steps.map(({ dispatch }) => dispatch.kernel.name)[0],
        ),
      ]),
    );
    expect(used.get("matrix 64x64, native")).toEqual(["matmulSubgroupMatrix", "matmulSubgroupMatrix"]);
    expect(used.get("tile 128x64, f32")).toEqual(["matmulTile", "matmulTile"]);
    expect(used.get("registers 4x8, native")).toEqual(["matmul", "matmul"]);
  });

  it("are each checked and timed in the same rounds, and what does not compile is refused", async () => {
    const product = kernelCase("conv1x1-project");
    const broken = product.twin();
    const nodes = broken.graph.nodes.map((node) => ({ ...node, op: { ...node.op, lower: damaged(node.op.lower) } }));
    const cases = [
      { ...product, timed: product.twin },
      { ...product, timed: () => ({ ...broken, graph: { ...broken.graph, nodes } }) },
    ];
    const rounds = { rounds: 2, bodies: true };
    const made = await timeKernels(fixture.as("cpu"), cases.slice(0, 1), async () => CEILINGS, rounds);
    expect(made.map(({ about }) => about)).toContain("[1, 14, 14, 384] -> 64, registers 2x8, f32");
    expect(made.every(({ timing, refused }) => timing?.rounds === 2 && refused === null)).toBe(true);
    const [refused] = await timeKernels(fixture.as("cpu"), cases.slice(1), async () => CEILINGS, { rounds: 1 });
    expect(refused).toMatchObject({ timing: null, refused: expect.stringMatching(/does not compile on this adapter/) });
  });
});

type Lower = OpDef<unknown>["lower"];

/** A kernel with a line that no compiler takes. */
function damaged(lower: Lower): Lower {
  return (...given) =>
    lower(...given).map((d) => {
      const code = `${d.kernel.code}\nfn damaged() -> f32 { return 1u; }\n`;
      return { ...d, kernel: { ...d.kernel, name: "damaged", code } };
    });
}

it("times a network alone on numbers that are its input in every run", async () => {
  const { graph, weights, feeds } = kernelCase("conv1x1-project").twin();
  using session = await createSession(fixture.gpu, graph, weights);
  const { x, y } = { x: Float32Array.from(feeds.x!), y: (await session.run(feeds)).y! };
  await session.run({ x: new Float32Array(x.length) });
  expect(await timeNetwork(session, x, 2)).toBeGreaterThan(0);
  const got = await readStored(fixture.gpu.device, session.range("y"));
  expect(unpadChannels(Float32Array.from(got), graph.outputs.y!.spec)).toEqual(y);
});

it("runs several clips at once, and says so", { timeout: 60_000 }, async () => {
  const options = { cases: ["tsm-mobilenetv2"], quick: true, batch: 2, commit: "abc", browser: "Node" };
  const made = await runBench(fixture.gpu, options);
  expect(made).toMatchObject({ batch: 2, weights: "f32", kernels: [] });
  const { about, timing } = made.models[0]!;
  expect(about).toBe("2 x 2x64");
  expect((timing!.framesPerSecond * timing!.ms) / 4000).toBeCloseTo(1, 6);
  expect(printReport(made)).toMatch(/, quick, batch 2\n/);
});

it("measures which body suits a layer best, where that is asked for", { timeout: 60_000 }, async () => {
  const gpu = fixture.as("cpu");
  const { graph } = kernelCase("conv1x1-project").twin();
  expect(await tunedFor(gpu, graph, false)).toBe(gpu);
  const { tuned } = (await tunedFor(gpu, graph, true)).caps;
  expect(Object.values(tuned!)).toEqual([expect.stringMatching(/^registers/)]);
});

it("runs two cases and writes what it reads", { timeout: 60_000 }, async () => {
  const lines: string[] = [];
  const options = {
    cases: ["layer-norm", "conv1x1-project"],
    quick: true,
    tuned: true,
    commit: "abc+",
    browser: "Node",
  };
  const made = await runBench(fixture.gpu, options, (line) => lines.push(line));
  expect(made).toMatchObject({
    commit: "abc+",
    browser: "Node",
    adapter: fixture.gpu.adapter,
    models: [],
    tuned: true,
  });
  expect(made.kernels.map(({ name, refused }) => [name, refused])).toEqual([
    ["conv1x1-project", null],
    ["layer-norm", null],
  ]);
  for (const { timing } of made.kernels) {
    expect(timing).toMatchObject({ rounds: 3 });
    expect(timing!.ms).toBeGreaterThan(0);
    expect(timing!.leastMs).toBeLessThanOrEqual(timing!.ms);
    expect(timing!.reached).toBeGreaterThan(0);
  }
  // 2 * 14 * 14 * 384 * 64 operations in the time that is said.
  const { ms, gflops } = made.kernels[0]!.timing!;
  expect((gflops * ms) / ((2 * 14 * 14 * 384 * 64) / 1e6)).toBeCloseTo(1, 6);
  expect(lines).toContain("kernels: round 3 of 3");
  expect(readReport(JSON.stringify(made), "made.json")).toEqual(made);
});

describe("reports", () => {
  it("refuses what is no report, in one line", () => {
    const whole = report([result("a", 2)]);
    expect(readReport(JSON.stringify(whole), "x.json")).toEqual(whole);
    expect(() => readReport("nonsense", "x.json")).toThrow("x.json is not JSON");
    expect(() => readReport("null", "x.json")).toThrow("x.json is not of the bench");
    expect(() => readReport(JSON.stringify({ ...whole, format: "2" }), "x.json")).toThrow("not of the bench");
    const broken = [
      { ...whole, adapter: 1 },
      ...["date", "commit", "adapter", "driver", "browser"].map((key) => ({ ...whole, [key]: "" })),
      { ...whole, date: "yesterday" },
      { ...whole, ceilings: undefined },
      { ...whole, weights: "f8" },
      { ...whole, batch: 0.5 },
      { ...whole, kernels: [{ ...result("a", 2), timing: {} }] },
      { ...whole, models: [{ ...result("a", 2), refused: "both timed and refused" }] },
    ];
    for (const one of broken) expect(() => readReport(JSON.stringify(one), "x.json")).toThrow("lacks parts");
  });

  it("compares cases of the same name and sizes, and says what it cannot", () => {
    const before = report([
      result("a", 6),
      result("gone", 1),
      result("bad", null),
      { ...result("b", 1), about: "[5]" },
    ]);
    const after = report([result("a", 2), result("bad", 3), result("b", 1)], { adapter: "another", quick: false });
    const { changes, notes } = compareReports(before, after);
    expect(changes).toEqual([{ name: "a", about: "[4, 4]", before: 6, after: 2, ratio: 3 }]);
    expect(notes).toEqual([
      "adapter: a before, another after",
      "quick: true before, false after",
      "bad [4, 4]: element 0 is 1",
      "b [4, 4]: not in both",
      "gone [4, 4]: not in both",
      "b [5]: not in both",
    ]);
  });

  it("takes an export from before there were rivals, tunings, forms of weights and batches", () => {
    const { rivals: _, tuned: __, weights: ___, batch: ____, ...old } = report([result("a", 2)]);
    const read = readReport(JSON.stringify(old), "x.json");
    expect(read).toMatchObject({ rivals: [], tuned: false, weights: "f32", batch: 1 });
  });

  it("says in its first line what is not usual", () => {
    const first = (changes: Partial<Report>) => printReport(report([], changes)).split("\n")[0];
    expect(first({})).toMatch(/commit abc, quick$/);
    expect(first({ weights: "native", batch: 8 })).toMatch(/quick, f16 \(native\) weights, batch 8$/);
    expect(first({ weights: "int8", tuned: true })).toMatch(/quick, tuned, int8 weights$/);
  });

  it("prints rivals with their ratio, the honest line on a software adapter, and refusals", () => {
    const one = rivalResult("conv3x3", "tfjs", 3);
    const two = { ...one, rival: "jax", version: "", refused: "the rival: no device", timing: null };
    const made = report([], { rivals: [one, two], adapter: "x (software)" });
    expect(readReport(JSON.stringify(made), "x.json")).toEqual(made);
    const printed = printReport(made);
    expect(printed).toMatch(/conv3x3 \[9\] +tfjs 1\.2\.3 +30\.0 +10\.0 +3\.00 +3 \/ 3 +1\.0e-5 of 8\.00 +2 of 5/);
    expect(printed).toMatch(/jax +refused: the rival: no device/);
    expect(printed).toContain("one thread of WebAssembly is faster");
    expect(printReport({ ...made, adapter: "a GPU" })).not.toContain("WebAssembly");
    expect(refusedOf(made)).toEqual([two]);

    // A later comparison joins what is on file for the same adapter, place and commit, and replaces the rest.
    const later = { ...made, date: "2026-02-03T00:00:00Z", rivals: [{ ...one, version: "5" }] };
    const before = { ...made, kernels: [result("a", 2)] };
    expect(joinReport(before, later)).toEqual({
      ...{ ...before, date: later.date, rivals: [two, { ...one, version: "5" }] },
    });
    expect(joinReport({ ...before, commit: "abd" }, later)).toEqual(later);
    expect(joinReport({ ...before, weights: "int8" }, later)).toEqual(later);
    expect(joinReport(null, later)).toEqual(later);
  });

  it("keeps the rivals on file when kernels and models are timed again, and neither where a commit lies between", async () => {
    const files = new Workspace();
    const said = vi.spyOn(console, "log").mockImplementation(() => {});
    try {
      const rivals = [rivalResult("conv3x3", "tfjs", 3)];
      const [old, made] = [report([result("a", 2), result("gone", 1)], { rivals }), report([result("a", 1)])];
      const run = async (before: Report) => {
        const json = files.write("record.json", JSON.stringify(before));
        const hosts = { node: async () => made };
        await benchCommand(["--json", json], { called: "bench", commit: made.commit, hosts, beside: null });
        return readReport(readFileSync(json, "utf8"), json);
      };
      expect(await run(old)).toEqual({ ...made, rivals });
      expect(await run({ ...old, commit: "abd" })).toEqual(made);
      expect(process.exitCode).toBeUndefined();
    } finally {
      said.mockRestore();
      files.remove();
    }
  });

  it.each([
    [["--dtype", "f8"], "--dtype is one of f32, f16, int8, auto"],
    [["--batch", "0"], "--batch is a whole number from 1, not 0"],
    [["--batch", "2", "--case", "stam"], "stam takes one clip a run"],
    [["--bodies", "--tune"], "--bodies times what --tune chooses from"],
    [["--beside", "all", "--dtype", "f16"], "--beside takes f32 models as they are"],
  ])("refuses %j in one line", async (flags, line) => {
    const said = vi.spyOn(console, "error").mockImplementation(() => {});
    try {
      const beside = async () => report([]);
      await benchCommand(flags, { called: "bench", commit: "abc", hosts: { chromium: beside }, beside });
      expect(process.exitCode).toBe(2);
      expect(said.mock.calls[0]![0]).toContain(line);
    } finally {
      process.exitCode = undefined;
      said.mockRestore();
    }
  });

  it("prints columns that line up", () => {
    const lines = printReport(report([result("a", 6), result("longer", 2000)])).split("\n");
    const [head, first, second] = lines.slice(-3) as [string, string, string];
    expect(head.indexOf("ms")).toBe(first.indexOf("6.000"));
    expect(second.indexOf("2000.000")).toBe(head.indexOf("ms"));
    expect(first).toMatch(/50 % of fma +60 %$/);
  });

  it("takes percentiles that were measured", () => {
    const values = Array.from({ length: 20 }, (_, i) => 20 - i);
    expect(percentile(values, 0.95)).toBe(19);
    expect(percentile([4], 0.95)).toBe(4);
    expect(percentile([1, 2, 3], 0.95)).toBe(3);
  });
});

it("marks logarithmic axes at round numbers within them", () => {
  expect(logTicks(31, 400)).toEqual([50, 100, 200]);
  expect(logTicks(0.4, 12)).toEqual([0.5, 1, 2, 5, 10]);
  expect(logTicks(0.02, 131_000)).toEqual([0.1, 1, 10, 100, 1000, 10_000, 100_000]);
});
