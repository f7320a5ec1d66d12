// The bench: its cases, what it refuses, what it writes and compares. What it measures is no test.
import { readFileSync } from "node:fs";
import { describe, expect, it, vi } from "vitest";
import { type Answer, KERNEL_CASES, type KernelCase } from "../bench/cases.ts";
import { benchCommand, joinReport } from "../bench/command.ts";
import { modelFile, percentile, readModel } from "../bench/models.ts";
import { logTicks } from "../bench/page/bar_chart.ts";
import { randomFile } from "../bench/random_file.ts";
import { compareReports, printReport, type Report, readReport, refusedOf } from "../bench/report.ts";
import { CASE_NAMES, chooseCases, runBench, timeKernels } from "../bench/run.ts";
import { tunedFor } from "../bench/tuned.ts";
import { countMacs, type Value, wantedTensors } from "../src/core/graph.ts";
import { elements } from "../src/core/tensor.ts";
import { buildModel, MODEL_NAMES } from "../src/models/index.ts";
import { openCheckpoint } from "../src/weights/checkpoint.ts";
import { CEILINGS, report, result, rivalResult } from "./bench_report.ts";
import { Workspace } from "./cli/workspace.ts";
import { useGpu } from "./gpu.ts";

const fixture = useGpu();
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
    expect(chooseCases(["matmul"], false)).toEqual(["matmul-256", "matmul-512", "matmul-1024"]);
    expect(chooseCases(["tsm-mobilenetv2"], false)).toEqual(["tsm-mobilenetv2"]);
    expect(chooseCases([], false)).toEqual(CASE_NAMES);
    expect(chooseCases([], true)).toEqual(CASE_NAMES.filter((name) => name !== "stam" && name !== "vit"));
    expect(() => chooseCases(["matmull"], false)).toThrow(/no case is called matmull; there are matmul-256/);
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

  it("takes an export from before there were rivals and tunings", () => {
    const { rivals: _, tuned: __, ...old } = report([result("a", 2)]);
    expect(readReport(JSON.stringify(old), "x.json")).toMatchObject({ rivals: [], tuned: false });
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
