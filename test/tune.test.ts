// Tuning: what is measured decides, what is wrong is never chosen, and what was kept of one adapter is not used on another.
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { table } from "../src/cli/tune.ts";
import { type Graph, GraphBuilder } from "../src/core/graph.ts";
import type { Caps } from "../src/core/op.ts";
import { plan, type Step } from "../src/core/plan.ts";
import { tensor } from "../src/core/tensor.ts";
import { parseTunings, type Tuning } from "../src/core/tuning.ts";
import { openGpu } from "../src/gpu/device.ts";
import { readTuning, writeTuning } from "../src/host/tuning.ts";
import { unit } from "../src/models/layers.ts";
import { conv2d, LINEAR, matmul, pad, RELU } from "../src/ops/index.ts";
import { type BodyName, candidates, classOf, type Product, productOf } from "../src/ops/matmul_body.ts";
import { decide, withPrecision } from "../src/precision.ts";
import type { Session } from "../src/session.ts";
import { keepTuning, keptTuning, tune, withTuning } from "../src/tune.ts";
import { Workspace } from "./cli/workspace.ts";
import { recordCreations } from "./creations.ts";
import { useGpu } from "./gpu.ts";

const fixture = useGpu();
const files = new Workspace();
afterAll(() => files.remove());

/** Two products of one class, one of another, a sum in place. */
function network(): Graph {
  const g = new GraphBuilder("network");
  const linear = (name: string, out: number, input: number) =>
    unit(g, name, { out, input, kernel: 1, linear: true, batchNorm: false, bias: true });
  const x = g.input("x", tensor(1, 4, 5, 6));
  const a = g.apply(matmul, "small", { x, ...linear("a", 8, 6) }, { out: 8, activation: RELU }).y!;
  const wider = { x: a, ...linear("b", 9, 8) };
  const b = g.apply(matmul, "large", wider, { out: 9, activation: LINEAR }).y!;
  const window = { out: 9, kernel: 3, stride: 1, padding: pad(1), activation: RELU };
  const weights = unit(g, "c", { out: 9, input: 9, kernel: 3, batchNorm: false, bias: true });
  const skipped = g.apply(matmul, "skip", { x, ...linear("d", 9, 6) }, { out: 9, activation: LINEAR }).y!;
  g.output("y", g.apply(conv2d, "window", { x: b, ...weights, residual: skipped }, window).y!);
  return g.build();
}

/** The body that a session of one node runs in, as its pipelines' consts tell. */
const tileOf = (session: Session): string => {
  const { ROWS, COLS } = session.plan.steps[0]!.dispatch.consts;
  return `${ROWS}x${4 * Number(COLS)}`;
};

describe("tune", () => {
  const graph = network();
  const classes = plan(graph, { kind: "cpu", f16: false, subgroups: false, timestamps: false }).steps.map(
    ({ dispatch }) => classOf(productOf(dispatch)!),
  );

  it("takes the fastest of each class, timed on its largest product", { timeout: 240_000 }, async () => {
    const gpu = fixture.as("cpu");
    const timed: string[] = [];
    // A clock by which a window is best in 2x8 and all else in 1x4.
    const clock = async (session: Session) => {
      timed.push(`${session.plan.graph.name} ${tileOf(session)}`);
      const fastest = session.plan.graph.name === "window" ? "2x8" : "1x4";
      return tileOf(session) === fastest ? 1 : 2;
    };
    const { tuning, classes: report } = await tune(gpu, graph, { clock });
    expect(new Set(Object.keys(tuning.bodies))).toEqual(new Set(classes));
    for (const { node, best, ms } of report) {
      expect(best).toBe(node === "window" ? "registers 2x8" : "registers 1x4");
      expect(Object.keys(ms).length).toBe(5);
    }
    expect(timed.some((line) => line.startsWith("large"))).toBe(true);
    // What was found is what a plan then takes.
    const tuned = withTuning(gpu, tuning);
    expect(plan(graph, tuned.caps).steps.map(({ dispatch: { consts } }) => [consts.ROWS, consts.COLS])).toEqual([
      [1, 1],
      [1, 1],
      [1, 1],
      [2, 2],
    ]);
  });

  it("never takes a body whose answer is wrong, be it the fastest", { timeout: 240_000 }, async () => {
    const broken = graph.nodes.map((node) => ({
      ...node,
      op: {
        ...node.op,
        lower: (...args: Parameters<typeof node.op.lower>) =>
          node.op.lower(...args).map((d) => {
            if (d.consts.ROWS !== 1) return d;
            return {
              ...d,
              kernel: { ...d.kernel, name: "broken", code: d.kernel.code.replace("s = acc", "s = 1.01 * acc") },
            };
          }),
      },
    }));
    const clock = async (session: Session) => (tileOf(session) === "1x4" ? 1 : tileOf(session) === "2x8" ? 2 : 3);
    const { classes: report } = await tune(fixture.as("cpu"), { ...graph, nodes: broken }, { clock });
    for (const { best, ms } of report) {
      expect(best).toBe("registers 2x8");
      expect(ms).not.toHaveProperty(["registers 1x4"]);
    }
  });

  it("times the register body in the tile that sessions of as many runs will have", { timeout: 240_000 }, async () => {
    const g = new GraphBuilder("often");
    const weights = unit(g, "a", { out: 32, input: 6, kernel: 1, linear: true, batchNorm: false, bias: true });
    const x = g.input("x", tensor(1, 3, 4, 6));
    g.output("y", g.apply(matmul, "product", { x, ...weights }, { out: 32, activation: LINEAR }).y!);
    const often = g.build();
    const timed = async (runs: number, caps: Partial<Caps> = {}) => {
      const gpu = fixture.as("cpu", { subgroups: true, ...caps });
      const tiles: string[] = [];
      await tune(gpu, often, { runs, clock: async (session) => tiles.push(tileOf(session)) });
      const [{ dispatch }] = plan(often, gpu.caps, { runs }).steps as [Step];
      return [tiles[0], `${dispatch.consts.ROWS}x${4 * Number(dispatch.consts.COLS)}`];
    };
    expect(await timed(1)).toEqual(["4x16", "4x16"]);
    expect(await timed(1e6)).toEqual(["8x16", "8x16"]);
    expect(await timed(1, { macs: 2e9 })).toEqual(["8x16", "8x16"]);
  });

  it("measures by itself", { timeout: 240_000 }, async () => {
    const { classes: report } = await tune(fixture.as("cpu"), network());
    for (const { ms, best } of report) expect(ms[best]).toBe(Math.min(...Object.values(ms)));
  });

  it("offers a CPU no workgroup memory, and a GPU no tile that would be mostly empty", () => {
    const product: Product = { load: "SAME", rows: 20, phases: 1, out4: 9, blocks: 2, form: "f32" };
    const caps = { f16: false, subgroups: false, timestamps: false };
    const names = (kind: "cpu" | "gpu", rows: number) => candidates({ ...product, rows }, { ...caps, kind });
    expect(names("cpu", 4096).every((name: BodyName) => name.startsWith("registers"))).toBe(true);
    expect(names("gpu", 20)).toContain("tile 32x64");
    expect(names("gpu", 20)).not.toContain("tile 64x64");
    expect(names("gpu", 4096)).toContain("tile 128x64");
  });
});

describe("a tuning that is kept", () => {
  const tuning = (adapter: string, bodies: Record<string, string>): Tuning => ({ adapter, kernels: "k", bodies });

  it("comes back from the file, joined with what was measured for another model", () => {
    const file = files.path("tuning.json");
    const notes: string[] = [];
    const note = (line: string) => void notes.push(line);
    expect(readTuning("a", note, file)).toBeNull();
    writeTuning(tuning("a", { one: "registers" }), file);
    writeTuning(tuning("b", { one: "tile 64x64" }), file);
    writeTuning(tuning("a", { two: "tile 32x64" }), file);
    expect(readTuning("a", note, file)).toEqual(tuning("a", { one: "registers", two: "tile 32x64" }));
    expect(readTuning("b", note, file)).toEqual(tuning("b", { one: "tile 64x64" }));
    writeTuning({ ...tuning("a", { three: "registers" }), kernels: "newer" }, file);
    expect(readTuning("a", note, file)?.bodies).toEqual({ three: "registers" });
    expect(notes).toEqual([]);
  });

  it.each(["", "{", "[1]", "{}", '[{"adapter":"a","kernels":"k","bodies":{"one":1}}]'])(
    "is ignored with a line where the file holds %s",
    (text) => {
      const file = files.path("bad.json");
      writeFileSync(file, text);
      const notes: string[] = [];
      expect(readTuning("a", (line) => void notes.push(line), file)).toBeNull();
      expect(notes).toEqual([
        expect.stringMatching(/^kinema: .*bad\.json is not what kinema tune wrote.*run kinema tune/),
      ]);
      writeTuning(tuning("a", {}), file);
      expect(parseTunings(readFileSync(file, "utf8"))).toHaveLength(1);
    },
  );

  it("is of its adapter and its kernels alone", async () => {
    const gpu = fixture.as("gpu");
    const { tuning: own } = await tune(gpu, new GraphBuilder("nothing").build());
    expect(withTuning(gpu, own).caps.tuned).toEqual({});
    expect(withTuning(gpu, { ...own, adapter: `${own.adapter} ` })).toBe(gpu);
    expect(withTuning(gpu, { ...own, kernels: "other" })).toBe(gpu);
    expect(withTuning(gpu, null)).toBe(gpu);
  });

  it("comes back from a browser's store, and nothing from a closed or foreign one", async () => {
    const entries = new Map<string, Response>();
    const cache = {
      put: async (url: string, response: Response) => void entries.set(url, response),
      match: async (url: string) => entries.get(url)?.clone(),
    };
    const storage = { open: async () => cache as unknown as Cache };
    const { gpu } = fixture;
    const { tuning: none } = await tune(gpu, new GraphBuilder("nothing").build());
    expect(await keptTuning(gpu, storage)).toBeNull();
    await keepTuning({ ...none, adapter: "another" }, storage);
    expect(await keptTuning(gpu, storage)).toBeNull();
    // Of kernels that have changed since: it is time to measure again, and what is measured then replaces it.
    await keepTuning(tuning(gpu.identity, { old: "registers" }), storage);
    expect(await keptTuning(gpu, storage)).toBeNull();
    await keepTuning({ ...none, bodies: { one: "registers" } }, storage);
    await keepTuning({ ...none, bodies: { two: "tile 64x64" } }, storage);
    expect(await keptTuning(gpu, storage)).toEqual({ ...none, bodies: { one: "registers", two: "tile 64x64" } });
    for (const [url] of entries) entries.set(url, new Response("<html>"));
    expect(await keptTuning(gpu, storage)).toBeNull();
    expect(await keptTuning(gpu, { open: () => Promise.reject(new Error("SecurityError")) })).toBeNull();
  });
});

describe("kinema tune's table", () => {
  it("says what is best, and what would be taken without", () => {
    const ms = { "tile 64x64": 1.5, "tile 32x64": 2, registers: 3 } as const;
    const same = { class: "SAME 2^3 x 2^4 x 2^5 f32", node: "a", best: "registers", guess: "registers", ms } as const;
    const other = { class: "CLIP", node: "longer", best: "tile 64x64", guess: "tile 32x64", ms } as const;
    expect(table([same, other])).toBe(
      [
        "SAME 2^3 x 2^4 x 2^5 f32  a       registers 3.000 ms",
        "CLIP                      longer  tile 64x64 1.500 ms  untuned tile 32x64 2.000 ms",
        "",
      ].join("\n"),
    );
    expect(table([{ ...other, guess: "tile 128x64" }])).toContain("untuned tile 128x64 wrong");
  });
});

describe("withPrecision", () => {
  it("measures a device once for all who ask, and who gives up does so alone", async () => {
    const gpu = await openGpu({ gpu: fixture.dawn.gpu });
    const controller = new AbortController();
    const first = withPrecision(gpu, "auto", controller.signal);
    const second = withPrecision(gpu, "auto");
    controller.abort();
    await expect(first).rejects.toMatchObject({ name: "AbortError" });
    const { caps } = await second;
    expect(["f32", "native", "unpacked", "arithmetic"]).toContain(caps.weights);
    await expect(withPrecision(gpu, "f16", AbortSignal.abort())).rejects.toMatchObject({ name: "AbortError" });
    const made = recordCreations(gpu.device);
    expect((await withPrecision(gpu, "auto")).caps.weights).toBe(caps.weights);
    made.stop();
    expect(made.counts).toEqual({});
    gpu.dispose();
  });
});

describe("the precision that a measurement speaks for", () => {
  const f32 = { load: 4, multiply: 1 };
  it("is f32 where f16 is no faster, as on SwiftShader", () => {
    expect(decide({ f32, unpacked: { load: 4.2, multiply: 1 } }, "cpu")).toEqual({ form: "unpacked", worth: false });
  });
  it("is f16 in words where loads are most of the time and halves load faster, as on lavapipe", () => {
    // Native halves load no faster there, and their arithmetic is ten times slower.
    const times = { f32: { load: 14, multiply: 0.5 }, native: { load: 15, multiply: 0.5 } };
    const slow = { load: 15, multiply: 5 };
    const packed = { load: 7, multiply: 0.5 };
    expect(decide({ ...times, unpacked: packed, arithmetic: slow }, "cpu")).toEqual({ form: "unpacked", worth: true });
  });
  it("is f16 arithmetic where that is twice as fast", () => {
    const native = { load: 2, multiply: 1 };
    const arithmetic = { load: 2, multiply: 0.5 };
    expect(decide({ f32, unpacked: native, native, arithmetic }, "gpu")).toEqual({ form: "arithmetic", worth: true });
  });
  it("rounds no more than it gains by", () => {
    const same = { load: 4, multiply: 1 };
    expect(decide({ f32, native: same, unpacked: same, arithmetic: same }, "gpu")).toEqual({
      form: "native",
      worth: false,
    });
  });
});
