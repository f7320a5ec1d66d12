// The bench: its cases, what it refuses, what it writes and compares. What it measures is no test.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { type Answer, KERNEL_CASES, type KernelCase } from "../bench/cases.ts";
import { joinReport } from "../bench/command.ts";
import { modelFile, percentile, readModel } from "../bench/models.ts";
import { decades } from "../bench/page/bars.ts";
import { randomFile } from "../bench/random_file.ts";
import {
  compareReports,
  type KernelTiming,
  printReport,
  type Report,
  type Result,
  readReport,
  refusedOf,
} from "../bench/report.ts";
import { CASE_NAMES, chooseCases, runBench, timeKernels } from "../bench/run.ts";
import { countMacs, wantedTensors } from "../src/core/graph.ts";
import { elements } from "../src/core/tensor.ts";
import { buildModel, MODEL_NAMES } from "../src/models/index.ts";
import { openCheckpoint } from "../src/weights/checkpoint.ts";
import { useGpu } from "./gpu.ts";

const fixture = useGpu();
const CEILINGS = { flops: 1e10, bytes: 1e9, loads: 1e8 };
const kernelCase = (name: string): KernelCase => KERNEL_CASES.find((c) => c.name === name)!;

const timing = (ms: number): KernelTiming => ({
  ...{ ms, leastMs: ms, rounds: 3, runsARound: 1, gflops: 1, bound: "fma", reached: 0.5 },
});
const result = (name: string, ms: number | null): Result<KernelTiming> => ({
  ...{ name, about: "[4, 4]", refused: ms === null ? "element 0 is 1" : null, timing: ms === null ? null : timing(ms) },
});
const report = (kernels: readonly Result<KernelTiming>[], changes: Partial<Report> = {}): Report => ({
  ...{ format: "kinema-bench-1", date: "2026-01-02T03:04:05Z", commit: "abc", adapter: "a", driver: "d" },
  ...{ browser: "b", quick: true, ceilings: CEILINGS, kernels, models: [], rivals: [], ...changes },
});

describe("cases", () => {
  it("are kernels and every model, each once", () => {
    expect(new Set(CASE_NAMES).size).toBe(CASE_NAMES.length);
    expect(CASE_NAMES).toEqual(expect.arrayContaining(["matmul-1024", "conv3x3", "attention", "shifted"]));
    expect(CASE_NAMES).toEqual(expect.arrayContaining([...MODEL_NAMES]));
  });

  it("have small twins with extents that no tile divides", () => {
    for (const { name, twin } of KERNEL_CASES) {
      const { graph, flops } = twin();
      const { spec } = graph.outputs.y!;
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
    const results = await timeKernels(fixture.gpu, [against(17), good], async () => CEILINGS, 2);
    expect(results[0]).toMatchObject({ timing: null, refused: expect.stringMatching(/^element 17 is .*f64 says/) });
    expect(results[1]).toMatchObject({ refused: null, timing: { rounds: 2 } });
    expect(printReport(report(results))).toMatch(/conv1x1-project .* refused: element 17/);
  });

  it("is refused for its twin alone", async () => {
    const liar = { ...against(5), timed: small.twin };
    const [refused] = await timeKernels(fixture.gpu, [{ ...liar, twin: against(5).timed }], async () => CEILINGS, 2);
    expect(refused).toMatchObject({ timing: null, refused: expect.stringMatching(/^small: element 5 is /) });
  });
});

it("runs two cases and writes what it reads", { timeout: 60_000 }, async () => {
  const lines: string[] = [];
  const options = { cases: ["layer-norm", "conv1x1-project"], quick: true, commit: "abc+", browser: "Node" };
  const made = await runBench(fixture.gpu, options, (line) => lines.push(line));
  expect(made).toMatchObject({ commit: "abc+", browser: "Node", adapter: fixture.gpu.adapter, models: [] });
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

  it("takes an export from before there were rivals", () => {
    const { rivals: _, ...old } = report([result("a", 2)]);
    expect(readReport(JSON.stringify(old), "x.json").rivals).toEqual([]);
  });

  it("prints rivals with their ratio, the honest line on a software adapter, and refusals", () => {
    const side = (ms: number) => ({ prepareMs: 1, coldMs: 2, ms, all: [ms, ms] });
    const times = { ours: side(10), rival: side(30), ratio: 3, rounds: 5, maxDifference: 1e-5, maxOutput: 8 };
    const one = { name: "conv3x3", about: "[9]", rival: "tfjs", version: "4.22.0", refused: null, timing: times };
    const two = { ...one, rival: "jax", version: "", refused: "the rival: no device", timing: null };
    const made = report([], { rivals: [one, two], adapter: "x (software)" });
    expect(readReport(JSON.stringify(made), "x.json")).toEqual(made);
    const printed = printReport(made);
    expect(printed).toMatch(/conv3x3 \[9\] +tfjs 4\.22\.0 +30\.0 +10\.0 +3\.00 +3 \/ 3 +1\.0e-5 of 8\.00 +2 of 5/);
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

  it("prints columns that line up", () => {
    const lines = printReport(report([result("a", 6), result("longer", 2000)])).split("\n");
    const [head, first, second] = lines.slice(-3) as [string, string, string];
    expect(head.indexOf("ms")).toBe(first.indexOf("6.000"));
    expect(second.indexOf("2000.000")).toBe(head.indexOf("ms"));
    expect(first).toMatch(/50 % of fma$/);
  });

  it("takes percentiles that were measured", () => {
    const values = Array.from({ length: 20 }, (_, i) => 20 - i);
    expect(percentile(values, 0.95)).toBe(19);
    expect(percentile([4], 0.95)).toBe(4);
    expect(percentile([1, 2, 3], 0.95)).toBe(3);
  });
});

it("draws decades around what it is given", () => {
  expect(decades([31, 400])).toEqual({ low: 1, high: 3 });
  expect(decades([100])).toEqual({ low: 2, high: 3 });
  expect(decades([0.02, 131_000, Number.NaN])).toEqual({ low: -2, high: 6 });
});

it("serves its page and no other file", async () => {
  const { buildPage, servePage } = await import(pathToFileURL(resolve("tools/bench_page.mjs")).href);
  await buildPage();
  const { url, close } = await servePage({ port: 0 });
  try {
    expect(await (await fetch(url)).text()).toContain("<title>Kinema: bench</title>");
    expect(await (await fetch(`${url}page.js`)).text()).toContain("kinema-bench-1");
    for (const path of ["package.json", "rival/models/..%2fort.ts", "rival/models/", "rival/ort/../../package.json"])
      expect((await fetch(url + path)).status, path).toBe(404);
    // What is on record is what the page can read.
    for (const { file, text } of await (await fetch(`${url}results.json`)).json()) readReport(text, file);
  } finally {
    close();
  }
});
