// Clocks that browsers round: what is too short for one is repeated until it can be told, and nothing is decided by ties.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Ceilings, measureCeilings } from "../src/ceilings.ts";
import { profileTable } from "../src/cli/profile_table.ts";
import { type Graph, GraphBuilder } from "../src/core/graph.ts";
import { tensor } from "../src/core/tensor.ts";
import { type Gpu, openGpu } from "../src/gpu/device.ts";
import { commonDivisor, repeatsFor, type Timer } from "../src/gpu/grain.ts";
import { openDawn } from "../src/host/dawn.ts";
import { unit } from "../src/models/layers.ts";
import { history, LINEAR, matmul, relu } from "../src/ops/index.ts";
import { randomWeights, reportOf } from "../src/profile.ts";
import { createSession } from "../src/session.ts";
import { tune } from "../src/tune.ts";
import { Random } from "./cases/random.ts";
import { openRounded, ROUNDED_TO } from "./rounded.ts";

/** A clock that counts in `grain` ms, while pieces of work take `ms` each. */
function fakeTimer(grain: number, ms: readonly number[]) {
  const runs: (readonly number[])[] = [];
  let [time, ns] = [1234.5, 0];
  const stamp = () => Math.floor(time / grain) * Math.round(grain * 1e6);
  const first = stamp();
  const timer: Timer = {
    grain: () => ns / 1e6,
    async run(repeats) {
      runs.push([...repeats]);
      time += 1.7 + (runs.length % 7) * 0.31;
      return Float64Array.from(repeats, (count, i) => {
        const start = stamp();
        time += count * ms[i]!;
        const end = stamp();
        for (const told of [start, end]) ns = commonDivisor(ns, told - first);
        return (end - start) / 1e6;
      });
    },
  };
  return { timer, runs };
}

describe("repeats", () => {
  it.each([0.065536, 0.1, 1])("make the time of each piece clearly longer than a grain of %d ms", async (grain) => {
    const ms = [0.0008, 0.005, 0.03, 0.07, 1, 50];
    const { timer, runs } = fakeTimer(grain, ms);
    const repeats = (await repeatsFor(timer, ms.length))!;
    expect(timer.grain()).toBeCloseTo(grain, 9);
    for (const [i, count] of repeats.entries()) {
      expect(count * ms[i]!).toBeGreaterThan(30 * grain);
      // Nor much longer than it needs to be: it is raised step by step, never to the most there may be.
      for (const tried of runs) expect(tried[i] === 1 || tried[i]! * ms[i]! < 110 * grain).toBe(true);
      expect(count === 1 || count * ms[i]! < 110 * grain).toBe(true);
    }
  });

  it("are found for a single short piece, too", async () => {
    const { timer } = fakeTimer(0.1, [0.005]);
    const [count] = (await repeatsFor(timer, 1))!;
    expect(timer.grain()).toBeCloseTo(0.1, 9);
    expect(count).toBeGreaterThan(640);
    expect(count).toBeLessThan(2200);
  });

  it("are none by a clock that is fine", async () => {
    const { timer, runs } = fakeTimer(1e-6, [0.300017, 0.000731]);
    expect(await repeatsFor(timer, 2)).toEqual([1, 1]);
    const long = fakeTimer(1e-6, [99.000017]);
    expect(await repeatsFor(long.timer, 1)).toEqual([1]);
    expect(runs.length + long.runs.length).toBeLessThan(5);
  });

  it("are not to be had by a clock that stands still", async () => {
    let looks = 0;
    const run = async () => Float64Array.of(0 * ++looks);
    expect(await repeatsFor({ grain: () => 0, run }, 1)).toBeNull();
    expect(looks).toBeLessThan(20);
  });

  it("are looked for until the caller gives up", async () => {
    const controller = new AbortController();
    const { timer } = fakeTimer(0.1, [0.001]);
    const run = (repeats: readonly number[]) => {
      controller.abort();
      return timer.run(repeats);
    };
    const aborted = repeatsFor({ ...timer, run }, 1, controller.signal);
    await expect(aborted).rejects.toMatchObject({ name: "AbortError" });
  });
});

/** Steps of some microseconds: one makes, two sum in place, one keeps a state. */
function shortGraph(): Graph {
  const g = new GraphBuilder("short");
  const x = g.input("x", tensor(1, 1, 8));
  const product = (name: string, from: typeof x, residual?: typeof x) => {
    const weights = unit(g, name, { out: 8, input: 8, kernel: 1, linear: true, batchNorm: false, bias: true });
    return g.apply(matmul, `${name}.sum`, { x: from, ...weights, residual }, { out: 8, activation: LINEAR }).y!;
  };
  const first = g.apply(relu, "first", { x }, {}).y!;
  const sum = product("b", x, product("a", x, first));
  g.output("sum", sum);
  g.output("y", g.apply(history, "last", { x: sum, state: g.state("frames", tensor(4, 8)) }, {}).y!);
  return g.build();
}

describe("on a device that rounds its timestamps", () => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await openRounded();
  }, 60_000);
  afterAll(() => gpu.dispose());

  it("a profile repeats short steps, says so, and leaves what a run leaves", { timeout: 120_000 }, async () => {
    const graph = shortGraph();
    using session = await createSession(gpu, graph, randomWeights(graph));
    const feeds = { x: new Random(3).normal(8) };
    const want = [await session.run(feeds), await session.run(feeds)];
    session.reset();
    await session.run(feeds);
    const profile = await session.profile(feeds, { runs: 3 });
    expect(profile).toMatchObject({ clock: "timestamps", grainMs: ROUNDED_TO });
    for (const { ms, leastMs, repeats } of profile.steps) {
      expect(repeats).toBeGreaterThan(1);
      expect(leastMs).toBeGreaterThan(0);
      expect(ms).toBeLessThan(20 * ROUNDED_TO);
      // A share of a time that is many grains long.
      expect(ms * repeats).toBeGreaterThan(8 * ROUNDED_TO);
    }
    // The last profiled run's activations are still there: sums in place are those of a single run, however often they were repeated.
    const tapped = session.range("sum");
    expect(await read(gpu, tapped)).toEqual(want[1]!.sum);
    expect(await session.run(feeds)).toEqual(want[1]);
    const report = reportOf(session, profile, { flops: 1e9, bytes: 1e8, loads: 1e6 });
    const about = { model: "short", adapter: gpu.adapter, input: [1, 1, 8], dtype: "f32", random: true } as const;
    expect(profileTable({ ...about, ...report })).toMatch(
      /^times .*, median of 3; the clock counts in 65\.5 us, so 4 of 4 steps were repeated, up to \d+ times, for a time of one$/m,
    );
  });

  it("ceilings are finite, and near those by a fine clock", { timeout: 240_000 }, async () => {
    const dawn = await openDawn();
    using fine = await openGpu({ gpu: dawn.gpu });
    // The better of two, by turns: a busy machine is slow at times.
    const measured = [gpu, fine, gpu, fine].map((on) => () => measureCeilings(on));
    const all: Ceilings[] = [];
    for (const measure of measured) all.push(await measure());
    for (const key of ["flops", "bytes", "loads"] as const) {
      const [rounded, exact] = [0, 1].map((from) => Math.max(all[from]![key], all[from + 2]![key])) as [number, number];
      expect(rounded / exact, key).toBeGreaterThan(1 / 16);
      expect(rounded / exact, key).toBeLessThan(16);
    }
    dawn.close();
  });

  it("a body is not chosen by a tie", { timeout: 240_000 }, async () => {
    const g = new GraphBuilder("tie");
    const weights = unit(g, "a", { out: 8, input: 8, kernel: 1, linear: true, batchNorm: false, bias: true });
    g.output(
      "y",
      g.apply(matmul, "p", { x: g.input("x", tensor(8, 8)), ...weights }, { out: 8, activation: LINEAR }).y!,
    );
    const { classes } = await tune(gpu, g.build());
    const times = Object.values(classes[0]!.ms);
    expect(times.length).toBe(5);
    expect(Math.min(...times)).toBeGreaterThan(0);
    // Whole grains, of which there are few, would be equal by chance.
    expect(times.some((ms) => !Number.isInteger(ms / ROUNDED_TO))).toBe(true);
  });
});

async function read({ device }: Gpu, { buffer, offset, size }: { buffer: GPUBuffer; offset: number; size: number }) {
  const staging = device.createBuffer({ size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, offset, staging, 0, size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  return new Float32Array(staging.getMappedRange().slice(0));
}
