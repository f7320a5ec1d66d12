// session.profile() and the report made of it: what is counted, what is left alone, what is refused.
import { describe, expect, it } from "vitest";
import { bestOf, type Ceilings, countLoads, measureCeilings } from "../src/ceilings.ts";
import { profileTable } from "../src/cli/profile_table.ts";
import { countMacs, type Graph, GraphBuilder } from "../src/core/graph.ts";
import type { WeightForm } from "../src/core/kept.ts";
import { variantName } from "../src/core/kernel.ts";
import { plan, printPlan } from "../src/core/plan.ts";
import { elements, tensor } from "../src/core/tensor.ts";
import type { Gpu } from "../src/gpu/device.ts";
import { type Profile, untimed } from "../src/gpu/profile.ts";
import { buildModel, MODEL_NAMES } from "../src/models/index.ts";
import { unit } from "../src/models/layers.ts";
import { attention, conv2d, depthwise, LINEAR, matmul, maxPool, mean, pad } from "../src/ops/index.ts";
import type { BodyName } from "../src/ops/matmul_body.ts";
import { type ProfileReport, profileModel, reportOf, standardModel } from "../src/profile.ts";
import { createSession, type Session } from "../src/session.ts";
import { choosing } from "./cases/body.ts";
import type { OpCase } from "./cases/case.ts";
import { embedCases } from "./cases/embed.ts";
import { Random } from "./cases/random.ts";
import { vqCases } from "./cases/vq.ts";
import { recordCreations } from "./creations.ts";
import { describeModel } from "./describe_model.ts";
import { useGpu } from "./gpu.ts";
import { smallModels } from "./small_models.ts";
import { syntheticTensors } from "./synthetic_model.ts";

const fixture = useGpu();

const open = (graph: Graph, gpu: Gpu = fixture.as("gpu")) => createSession(gpu, graph, syntheticTensors(graph));
const feedsOf = ({ plan: { graph } }: Session) =>
  Object.fromEntries(
    Object.entries(graph.inputs).map(([name, { spec }]) => [name, new Random(3).normal(elements(spec))]),
  );

const SIZE = { height: 33, width: 47, classes: 5 };
const online = () => buildModel(describeModel("tsm-mobilenetv2-online", { ...SIZE, frames: 1 }));

/** A convolution, summed into its input, and a pooling: one node multiplies, one does not. */
function smallGraph(): Graph {
  const g = new GraphBuilder("small");
  const x = g.input("x", tensor(2, 9, 7, 8));
  const weights = unit(g, "stem", { out: 8, input: 8, kernel: 3, batchNorm: false, bias: true });
  const attrs = { out: 8, kernel: 3, stride: 1, padding: pad(1), activation: LINEAR };
  const conv = g.apply(conv2d, "conv", { x, ...weights }, attrs).y!;
  const again = unit(g, "last", { out: 8, input: 8, kernel: 1, batchNorm: false, bias: true });
  const sum = {
    x: g.apply(maxPool, "pool", { x: conv }, { kernel: 3, stride: 1, pad: 1 }).y!,
    ...again,
    residual: conv,
  };
  const plain = { out: 8, kernel: 1, stride: 1, padding: pad(0), activation: LINEAR };
  g.output("y", g.apply(conv2d, "sum", sum, plain).y!);
  return g.build();
}

function checkSteps({ steps, ms }: Profile, session: Session): void {
  const { graph, steps: planned } = session.plan;
  expect(steps.map(({ node, kernel }) => [node, kernel])).toEqual(
    planned.map(({ node, dispatch: d }) => [node.name, variantName(d.kernel, d.consts, d.retype)]),
  );
  expect(steps.reduce((sum, { macs }) => sum + macs, 0)).toBe(countMacs(graph));
  for (const { ms, leastMs, bytes } of steps) {
    expect(ms).toBeGreaterThanOrEqual(leastMs);
    expect(leastMs).toBeGreaterThanOrEqual(0);
    expect(bytes).toBeGreaterThan(0);
  }
  expect(Math.min(ms.plain, ms.profiled)).toBeGreaterThan(0);
}

/** Buffers and query sets that `work` makes and does not destroy. */
async function leftBy(work: () => Promise<unknown>): Promise<Set<unknown>> {
  const { device } = fixture.gpu;
  const alive = new Set<unknown>();
  for (const name of ["createBuffer", "createQuerySet"] as const) {
    const make = device[name].bind(device) as (d: never) => { destroy(): undefined };
    (device as unknown as Record<string, unknown>)[name] = (descriptor: never) => {
      const object = make(descriptor);
      const destroy = object.destroy.bind(object);
      object.destroy = () => {
        alive.delete(object);
        return destroy();
      };
      alive.add(object);
      return object;
    };
  }
  await work();
  for (const name of ["createBuffer", "createQuerySet"]) delete (device as unknown as Record<string, unknown>)[name];
  return alive;
}

describe.each(["timestamps", "submits"] as const)("a profile by %s", (clock) => {
  it("times every step, counts every product, and leaves plan, states and results as they were", async () => {
    using session = await open(online());
    const feeds = feedsOf(session);
    const text = printPlan(session.plan);
    const want = [await session.run(feeds), await session.run(feeds)];
    session.reset();
    const first = await session.run(feeds);
    const state = await session.snapshot();
    const profile = await session.profile(feeds, { runs: 2, clock });
    expect(profile).toMatchObject({ clock, runs: 2 });
    checkSteps(profile, session);
    expect(profile.steps.reduce((sum, { ms }) => sum + ms, 0)).toBeGreaterThan(0);
    expect(await session.snapshot()).toEqual(state);
    expect([first, await session.run(feeds)]).toEqual(want);
    expect(printPlan(session.plan)).toBe(text);
    const made = recordCreations(fixture.gpu.device);
    await session.run(feeds);
    made.stop();
    expect(made.counts).toEqual({});
  });

  it("frees what it made", async () => {
    using session = await open(smallGraph());
    const report: number[] = [];
    const left = await leftBy(() =>
      session.profile(feedsOf(session), { runs: 3, clock, onProgress: (fraction) => report.push(fraction) }),
    );
    expect(left).toEqual(new Set());
    expect(report).toEqual([0.25, 0.5, 0.75, 1]);
  });

  it("frees what it made when the first look at the clock fails", async () => {
    using session = await open(smallGraph());
    let fills = 0;
    const x = () => {
      if (++fills === 2) throw new Error("no frame");
    };
    const left = await leftBy(() => expect(session.profile({ x }, { runs: 1, clock })).rejects.toThrow("no frame"));
    expect([fills, left]).toEqual([2, new Set()]);
  });
});

describe("a profile", () => {
  it("takes the clock that there is", async () => {
    const without: Gpu = { ...fixture.as("gpu"), caps: { ...fixture.as("gpu").caps, timestamps: false } };
    using session = await open(smallGraph(), without);
    const profile = await session.profile(feedsOf(session), { runs: 1 });
    expect(profile.clock).toBe("submits");
    checkSteps(profile, session);
    await expect(session.profile(feedsOf(session), { clock: "timestamps" })).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(/ has no timestamps; leave the clock to the profiler$/),
    });
    using other = await open(smallGraph());
    const { timestamps } = other.gpu.caps;
    expect((await other.profile(feedsOf(other), { runs: 1 })).clock).toBe(timestamps ? "timestamps" : "submits");
  });

  it("by submits goes by the clock that it is given, and takes off what an empty submit takes", async () => {
    using session = await open(smallGraph());
    let time = 0;
    const now = () => (time += 6); // from one look to the next, whatever is done between them
    const { ms, steps } = await session.profile(feedsOf(session), { runs: 1, clock: "submits", now });
    expect(ms.plain).toBe(6);
    expect(steps.map((step) => step.ms)).toEqual(steps.map(() => 0));
  });

  it("counts the bytes of what a step binds, and a sum in place twice", async () => {
    using session = await open(smallGraph());
    const { steps } = await session.profile(feedsOf(session), { runs: 1 });
    const x = 2 * 9 * 7 * 8 * 4;
    expect(steps.map(({ node, macs, bytes }) => ({ node, macs, bytes }))).toEqual([
      { node: "conv", macs: 2 * 9 * 7 * 8 * 8 * 9, bytes: 2 * x + 8 * 8 * 9 * 4 + 8 * 4 },
      { node: "pool", macs: 0, bytes: 2 * x },
      { node: "sum", macs: 2 * 9 * 7 * 8 * 8, bytes: 3 * x + 8 * 8 * 4 + 8 * 4 },
    ]);
  });

  it("times more steps than a query set holds", async () => {
    const g = new GraphBuilder("long");
    let x = g.input("x", tensor(1, 40));
    for (let i = 0; i < 2050; i++) x = g.apply(mean, `mean.${i}`, { x }, { groups: 1 }).y!;
    g.output("y", x);
    using session = await open(g.build());
    const profile = await session.profile(feedsOf(session), { runs: 1 });
    checkSteps(profile, session);
    // One workgroup each: the last steps, which a second set times, take what the first ones do.
    const sum = (list: typeof profile.steps) => list.reduce((total, { ms }) => total + ms, 0);
    expect(sum(profile.steps.slice(-2))).toBeGreaterThan(0);
    expect(sum(profile.steps.slice(-2))).toBeLessThan(sum(profile.steps));
  });

  it("refuses bad feeds and counts in one line, and the session lives on", async () => {
    using session = await open(smallGraph());
    const feeds = feedsOf(session);
    for (const runs of [0, -1, 1.5, Number.NaN, 1001])
      await expect(session.profile(feeds, { runs })).rejects.toMatchObject({
        code: "bad-input",
        message: `a profile is of 1 to 1000 runs, not ${runs}`,
      });
    await expect(session.profile({})).rejects.toMatchObject({ code: "bad-input" });
    await expect(session.profile(feeds, { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: "AbortError" });
    expect((await session.run(feeds)).y!.every(Number.isFinite)).toBe(true);
  });

  it("ends with the session", async () => {
    const session = await open(smallGraph());
    let reports = 0;
    const onProgress = () => {
      if (reports++ === 1) session.dispose();
    };
    await expect(session.profile(feedsOf(session), { runs: 9, onProgress })).rejects.toMatchObject({ code: "closed" });
    expect(reports).toBe(2);
    await expect(session.profile({})).rejects.toMatchObject({ code: "closed" });
  });

  it("takes its turn among runs", async () => {
    using session = await open(online());
    const feeds = feedsOf(session);
    const want = [await session.run(feeds), await session.run(feeds)];
    session.reset();
    const got = [session.run(feeds), session.profile(feeds, { runs: 1 }), session.run(feeds)];
    expect([await got[0], await got[2]]).toEqual(want);
    checkSteps((await got[1]) as Profile, session);
  });
});

const CEILINGS = { flops: 1e9, bytes: 1e8, loads: 1e6 };

describe("a report", () => {
  it("sets every step against the nearest ceiling, and sums by kernel variant", async () => {
    using session = await open(smallGraph());
    const profile = await session.profile(feedsOf(session), { runs: 1 });
    const steps = profile.steps.map((step, i) => ({ ...step, ms: [6, 3, 1][i]! }));
    const { total, variants, ...report } = reportOf(session, { ...profile, steps }, CEILINGS);
    expect(report.steps.map(({ ms, share }) => [ms, share])).toEqual([
      [6, 0.6],
      [3, 0.3],
      [1, 0.1],
    ]);
    for (const { macs, bytes, loads, ms, bound, reached, loadAware } of report.steps) {
      const seconds = { fma: (2 * macs) / 1e9, copy: bytes / 1e8, load: loads / 1e6 };
      const most = Math.max(...Object.values(seconds));
      expect(seconds[bound!]).toBe(most);
      expect(reached).toBeCloseTo((1000 * most) / ms, 9);
      expect(loadAware).toBeCloseTo((1000 * Math.max(seconds.fma + seconds.load, seconds.copy)) / ms, 9);
    }
    expect(total.loadAware).toBeCloseTo(
      report.steps.reduce((sum, step) => sum + step.loadAware! * step.share, 0),
      9,
    );
    expect(report.steps[1]!.loads).toBe(report.steps[1]!.bytes / 16);
    expect(variants.map(({ kernel }) => kernel)).toEqual(steps.map(({ kernel }) => kernel));
    expect(total).toMatchObject({ ms: 10, share: 1, macs: countMacs(session.plan.graph) });
    expect(report.ms.steps).toBe(10);
  });

  it("knows how many loads a tile issues", () => {
    const g = new GraphBuilder("loads");
    const x = g.input("x", tensor(1, 10, 9, 24));
    const weights = unit(g, "u", { out: 40, input: 24, kernel: 1, batchNorm: false, bias: true });
    g.apply(conv2d, "conv", { x, ...weights }, { out: 40, kernel: 1, stride: 1, padding: pad(0), activation: LINEAR });
    const filter = unit(g, "f", { out: 24, input: 1, kernel: 3, batchNorm: false, bias: true }, true);
    g.apply(depthwise, "filter", { x, ...filter }, { stride: 1, padding: pad(1), activation: LINEAR });
    g.apply(attention, "look", { qkv: g.input("qkv", tensor(2, 7, 48)) }, { heads: 2 });
    const loads = (weights: WeightForm, kind: "cpu" | "gpu" = "gpu", subgroups = false, body?: BodyName) => {
      const caps = { kind, f16: true, subgroups, timestamps: false, weights };
      const chosen = choosing(caps, g.build(), body ?? (kind === "gpu" ? "registers 4x8" : "registers"))!;
      return plan(g.build(), chosen).steps.map(({ dispatch }) => ({ dispatch, loads: countLoads(dispatch, 160) }));
    };
    // 90 rows in tiles of 4, 10 fours of channels in tiles of 2; for each of 6 fours of inputs 4 loads of x and 2 blocks of w.
    const threads = 23 * 5;
    expect(loads("f32")[0]!.loads).toBe(threads * 6 * (4 + 2 * 4));
    expect(loads("native")[0]!.loads).toBe(threads * 6 * (4 + 2 * 2));
    expect(loads("int8")[0]!.loads).toBe(threads * 6 * (4 + 2));
    // In workgroups 6 tiles of 16 rows and 16 fours of channels, of each block once; what their threads share does not count.
    expect(loads("f32", "gpu", false, "tile 16x64")[0]!.loads).toBe(6 * 6 * (16 + 4 * 16));
    expect(loads("int8", "gpu", false, "tile 16x64")[0]!.loads).toBe(6 * 6 * (16 + 16));
    // 2 sequences of 2 heads, whose 7 queries are fewer than a workgroup, which loads 64; a chunk of 16 keys and values; 2 fours a head.
    expect(loads("f32")[2]!.loads).toBe(2 * 2 * 2 * (64 + 2 * 16));
    // In quads 24 tiles of 4 rows, 3 of 4 fours of channels; a column of each block.
    expect(loads("f32", "cpu", true)[0]!.loads).toBe(24 * 3 * 6 * (4 + 4));
    // A strip's lines and one more above and below, of 4 pixels and one more on each side; nine weights and a bias.
    const { dispatch, loads: filtered } = loads("f32")[1]!;
    const { strip } = dispatch.params as { strip: number };
    // 2 sequences of 2 heads, 8 channels each; 7 queries and as many keys are one tile, of which the last key is loaded again.
    const { dispatch: look, loads: seen } = loads("f32", "cpu")[2]!;
    const { ROWS: r, KEYS4: k } = { ...look.kernel.consts, ...look.consts } as { ROWS: number; KEYS4: number };
    const tile = 2 * (4 * k + r);
    expect(seen).toBe(2 * 2 * Math.ceil(7 / r) * Math.ceil(7 / (4 * k)) * 2 * tile);
    const strips = Math.ceil(10 / strip);
    expect(filtered).toBe(6 * 3 * ((10 + 2 * strips) * (4 + 2) + 10 * strips));
  });

  it("gives no share of a ceiling that was not measured", async () => {
    const g = new GraphBuilder("matrices");
    const weights = unit(g, "u", { out: 64, input: 24, kernel: 1, linear: true, batchNorm: false, bias: true });
    const x = g.input("x", tensor(100, 24));
    g.output("y", g.apply(matmul, "product", { x, ...weights }, { out: 64, activation: LINEAR }).y!);
    const graph = g.build();
    const shape = { component: "f16", m: 16, n: 16, k: 16 } as const;
    const caps = {
      kind: "gpu",
      f16: true,
      subgroups: true,
      timestamps: false,
      matrices: [shape],
      subgroupSize: 32,
    } as const;
    const report = (weights: WeightForm, body: BodyName, ceilings: Ceilings) => {
      const planned = plan(graph, choosing({ ...caps, weights }, graph, body)!);
      const [step] = planned.steps;
      const timed = { ...untimed(planned, 0), ms: 1, leastMs: 1, repeats: 1 };
      const profile = {
        clock: "timestamps",
        grainMs: 0,
        runs: 1,
        ms: { plain: 1, profiled: 1 },
        steps: [timed],
      } as const;
      return { step: step!.dispatch, ...reportOf({ plan: planned }, profile, ceilings) };
    };
    const none = { bound: null, reached: null, loadAware: null };
    // 4 tiles of 32 rows and one of 64 channels, of 6 blocks; a block of f16 is two loads.
    const matrices = report("native", "matrix 32x64", { ...CEILINGS, halfFlops: 2e9 });
    expect(matrices.step.kernel.name).toBe("matmulSubgroupMatrix");
    expect(matrices.steps[0]).toMatchObject({ ...none, loads: 4 * 6 * (32 + 2 * 16) });
    expect(matrices.total).toMatchObject({ ...none, ms: 1, macs: 100 * 24 * 64 });
    const about = { model: "m", adapter: "a", input: [1], dtype: "f16", random: true } as const;
    expect(profileTable({ ...about, ...matrices })).toMatch(/^product +matmulSubgroupMatrix\S* .* +- +- +-$/m);
    // f16 arithmetic has a ceiling of its own, which an older report lacks; f16 that is multiplied in f32 has that of f32.
    const fast = { flops: 1e9, bytes: 1e15, loads: 1e15 };
    const share = (form: WeightForm, ceilings: Ceilings) => report(form, "tile 32x64", ceilings).total.reached;
    expect(share("native", { ...fast, halfFlops: 4e9 })).toBeCloseTo((2 * 100 * 24 * 64) / 1e6, 9);
    expect(share("arithmetic", { ...fast, halfFlops: 4e9 })).toBeCloseTo((2 * 100 * 24 * 64) / 4e6, 9);
    expect(share("arithmetic", fast)).toBeNull();
    expect(bestOf(CEILINGS, { flops: 1, bytes: 1e9, loads: 2e6, halfFlops: 3 })).toEqual({
      flops: 1e9,
      bytes: 1e9,
      loads: 2e6,
      halfFlops: 3,
    });
  });

  it("knows how many loads codes take", () => {
    const { caps } = fixture.as("cpu");
    const loads = ([first]: readonly OpCase[]) => countLoads(plan(first!.graph, caps).steps[0]!.dispatch, 0);
    // 15 vectors in tiles of 4; of each of 64 fours of codes a four of norms, and for 2 fours of channels a block and the vectors.
    expect(loads(vqCases)).toBe(4 * 64 * (1 + 2 * (4 + 4)));
    expect(loads(embedCases)).toBe(15 * 4 * 3);
  });

  it("is drawn as a table that fits its numbers", async () => {
    using session = await open(smallGraph());
    const profile = await session.profile(feedsOf(session), { runs: 1 });
    const steps = profile.steps.map((step, i) => ({ ...step, ms: [6, 3, 0][i]! }));
    const text = profileTable({
      model: "small",
      adapter: "some adapter",
      input: [2, 9, 7, 8],
      dtype: "f32",
      random: true,
      ...reportOf(session, { ...profile, clock: "submits", steps }, CEILINGS),
    });
    const lines = text.split("\n");
    expect(lines[0]).toBe("small [2, 9, 7, 8] f32, random weights, on some adapter");
    expect(lines[2]).toMatch(/^node +kernel +ms +share +GFLOP\/s +GB\/s +bound +reached +load-aware$/);
    expect(lines[3]).toMatch(/^conv +matmul\(.*\) +6\.000 +66\.7% +█{16} +0\.02 +0\.00 +load +\d+\.\d% +\d+\.\d%$/);
    expect(lines[4]).toMatch(/^pool +maxPool +3\.000 +33\.3% +█{8} +- +0\.00 +(copy|load) +\d+\.\d% +\d+\.\d%$/);
    expect(lines[5]).toMatch(/^sum +matmul\(.*\) +0\.000 +0\.0% +- +- +\w+ +0\.0% +0\.0%$/);
    expect(lines[6]).toMatch(/^sum +9\.000 +100\.0% /);
    expect(text).toContain("times    wall time of a submit a step, less an empty submit's, median of 1\n");
    const longest = "a.name.that.nobody.would.give.to.a.node.of.a.graph.anywhere";
    const report = reportOf(session, { ...profile, steps: steps.map((s) => ({ ...s, node: longest })) }, CEILINGS);
    const cut = profileTable({ ...(JSON.parse(JSON.stringify(report)) as ProfileReport), input: [1] });
    expect(cut).toContain("a.name.that.nobody.wo..e.of.a.graph.anywhere ");
  });
});

describe("ceilings", () => {
  it("are finite, and loads are no cheaper than multiply-adds", async () => {
    const ceilings = await measureCeilings(fixture.as("cpu"));
    for (const value of Object.values(ceilings)) {
      expect(value).toBeGreaterThan(1e5);
      expect(value).toBeLessThan(1e16);
    }
    // A load comes with an addition of four lanes; eight operations of four lanes' multiply-adds take no longer.
    expect(ceilings.flops).toBeGreaterThan(ceilings.loads);
  });
});

describe("profileModel", () => {
  it("profiles a model with random weights", async () => {
    const options = { model: "tsm-mobilenetv2", frames: 2, height: 40, width: 33, runs: 1 } as const;
    const report = await profileModel(fixture.as("cpu"), null, options);
    expect(report).toMatchObject({ model: "tsm-mobilenetv2", input: [2, 40, 33, 3], random: true, runs: 1 });
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
    const graph = buildModel(standardModel("tsm-mobilenetv2", options));
    expect(report.total.macs).toBe(countMacs(graph));
    expect(report.steps.length).toBe(report.variants.reduce((sum, { dispatches }) => sum + dispatches, 0));
    expect(report.steps.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 9);
  });

  it("knows every model as its authors trained it", () => {
    // Giga multiply-accumulates: ../shared/specs/tsm-stam.md and the papers' own figures.
    const want = { "tsm-resnet50": 32.9, "tsm-mobilenetv2": 2.5, mobilenetv2: 0.3, stam: 281.6, vit: 17.6 };
    for (const [model, macs] of Object.entries(want)) {
      const counted = countMacs(buildModel(standardModel(model as keyof typeof want))) / 1e9;
      expect(counted / macs, model).toBeGreaterThan(0.9);
      expect(counted / macs, model).toBeLessThan(1.05);
    }
    expect(smallModels().length).toBe(MODEL_NAMES.length);
    for (const model of MODEL_NAMES)
      expect(buildModel(standardModel(model, { height: 64, width: 64 })).name).toBe(model);
  });
});
