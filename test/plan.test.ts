// The planner: what it prints, what it must never do, and what it saves.
import { describe, expect, it } from "vitest";
import { type Graph, GraphBuilder, type Value, wantedTensors } from "../src/core/graph.ts";
import type { Caps } from "../src/core/op.ts";
import { BINDING_ALIGNMENT, type Plan, type PlanOptions, plan, printPlan } from "../src/core/plan.ts";
import { channels, elements, roundUp, tensor } from "../src/core/tensor.ts";
import { buildModel, MODEL_NAMES, type ModelDescription } from "../src/models/index.ts";
import { unit } from "../src/models/layers.ts";
import { conv2d, depthwise, LINEAR, matmul, maxPool, mean, packOperand, pad, RELU, softmax } from "../src/ops/index.ts";
import { createSession } from "../src/session.ts";
import { Random } from "./cases/random.ts";
import { describeModel, stamShape } from "./describe_model.ts";
import { poison, useGpu } from "./gpu.ts";
import { ADAPTERS, fullModels, variantsOf } from "./pipelines.ts";
import { syntheticTensors } from "./synthetic_model.ts";

const fixture = useGpu();
const CPU: Caps = { kind: "cpu", f16: false, subgroups: false, timestamps: false };

/** A 1x1 or 3x3 convolution that keeps height and width. */
function conv(g: GraphBuilder, name: string, x: Value, out: number, kernel: 1 | 3, residual?: Value): Value {
  const weights = unit(g, name, { out, input: channels(x.spec), kernel, batchNorm: false, bias: true });
  const attrs = { out, kernel, stride: 1, padding: pad((kernel - 1) / 2), activation: RELU };
  return g.apply(conv2d, name, { x, ...weights, residual }, attrs).y!;
}

/** First and last step that binds each temp; inputs from the first on, outputs to the end. Independent of the planner's leases. */
function lifetimes({ graph, steps }: Plan): Map<Value, readonly [number, number]> {
  const lives = new Map<Value, [number, number]>();
  const touch = (value: Value, at: number) => {
    if (value.kind !== "temp" && value.kind !== "input") return;
    const life = lives.get(value);
    lives.set(value, [Math.min(life?.[0] ?? at, at), Math.max(life?.[1] ?? at, at)]);
  };
  for (const value of Object.values(graph.inputs)) touch(value, 0);
  steps.forEach(({ node, dispatch }, at) => {
    for (const value of Object.values(dispatch.bind)) if (value) touch(value, at);
    for (const input of Object.values(node.op.inPlace ?? {})) if (node.inputs[input]) touch(node.inputs[input], at);
  });
  for (const value of Object.values(graph.outputs)) touch(value, steps.length);
  return lives;
}

/** Pairs [taken over, taker]: they share memory by intent. */
function takeovers({ nodes }: Graph): Set<string> {
  const pairs = new Set<string>();
  for (const { op, inputs, outputs } of nodes)
    for (const [output, input] of Object.entries(op.inPlace ?? {})) {
      if (inputs[input]) pairs.add(`${inputs[input].id} ${outputs[output]!.id}`);
    }
  return pairs;
}

/** Throws unless every two temps that live at one time lie apart, aligned, inside their arena. */
function checkPlaces(planned: Plan): void {
  const lives = [...lifetimes(planned)];
  const inPlace = takeovers(planned.graph);
  for (const [i, [a, [aFrom, aTo]]] of lives.entries()) {
    const at = planned.places.get(a.id)!;
    expect(at.offset % BINDING_ALIGNMENT).toBe(0);
    expect(at.offset + a.bytes).toBeLessThanOrEqual(planned.arenas[at.arena]);
    for (const [b, [bFrom, bTo]] of lives.slice(0, i)) {
      const other = planned.places.get(b.id)!;
      const apart =
        at.arena !== other.arena || at.offset >= other.offset + b.bytes || other.offset >= at.offset + a.bytes;
      if (apart || aFrom > bTo || bFrom > aTo) continue;
      const pair = aFrom === bTo && inPlace.has(`${b.id} ${a.id}`);
      const reverse = bFrom === aTo && inPlace.has(`${a.id} ${b.id}`);
      expect(pair || reverse, `${a.name} and ${b.name} share memory while both are alive`).toBe(true);
    }
  }
}

/** The temps alive at each step and behind the last; a sum in place counts once. */
function aliveAt(planned: Plan): Value[][] {
  const lives = lifetimes(planned);
  const inPlace = takeovers(planned.graph);
  return Array.from({ length: planned.steps.length + 1 }, (_, at) => {
    const alive = [...lives].filter(([, [from, to]]) => from <= at && at <= to).map(([value]) => value);
    return alive.filter((value) => !alive.some((taken) => inPlace.has(`${taken.id} ${value.id}`)));
  });
}

/** Largest sum of bytes alive at a step. */
const leastBytes = (planned: Plan): number =>
  Math.max(...aliveAt(planned).map((alive) => alive.reduce((sum, { bytes }) => sum + bytes, 0)));

/** Random layers: values used once or often, sums in place, products of two activations (which need the second arena). */
function randomGraph(seed: number): Graph {
  const random = new Random(seed);
  const g = new GraphBuilder(`random ${seed}`);
  const width = 4 + random.below(9);
  /** Values that nothing was summed into. */
  const spec = tensor(1 + random.below(3), 3 + random.below(4), 2 + random.below(5), width);
  const open = [g.input("x", spec)];
  const late = g.input("late", spec); // filled before the run, read in the midst of it
  const product = (name: string, x: Value, keys: Value): Value => {
    const w = g.apply(packOperand, `${name}.keys`, { x: keys }, { transposed: false }).w!;
    const out = elements(keys.spec) / channels(keys.spec);
    const bias = g.weight(`${name}.bias`, {
      tensors: {},
      length: roundUp(out, 4),
      pack: () => new Float32Array(roundUp(out, 4)),
    });
    const scores = g.apply(matmul, `${name}.scores`, { x, w, bias }, { out, activation: LINEAR }).y!;
    return g.apply(softmax, name, { x: scores }, {}).y!;
  };
  for (let i = 0, count = 5 + random.below(16); i < count; i++) {
    if (i === 4) open.push(late);
    const x = open[random.below(open.length)]!;
    const like = open.filter((value) => value !== x && channels(value.spec) === width);
    const other = like[random.below(like.length)];
    const kind = random.below(5);
    if (kind === 0) open.push(conv(g, `n${i}`, x, width, 3));
    if (kind === 1) open.push(conv(g, `n${i}`, x, 3 + random.below(30), 1));
    if (kind === 2) open.push(g.apply(maxPool, `n${i}`, { x }, { kernel: 3, stride: 1, pad: 1 }).y!);
    if (kind === 3 && other) {
      open.splice(open.indexOf(other), 1);
      open.push(conv(g, `n${i}`, x, width, 1, other));
    }
    if (kind === 4 && other && channels(x.spec) === width) open.push(product(`n${i}`, x, other));
  }
  g.output("last", open.at(-1)!);
  if (open.length > 2) g.output("mean", g.apply(mean, "mean", { x: open[1]! }, { groups: 1 }).y!);
  return g.build();
}

const weightsOf = (graph: Graph) => {
  const random = new Random(99);
  return new Map([...wantedTensors(graph)].map(([name, shape]) => [name, random.normal(...shape)]));
};

describe("a small plan", () => {
  it("prints steps, places and bytes", () => {
    const g = new GraphBuilder("small");
    const x = g.input("video", tensor(2, 6, 5, 8));
    const wide = conv(g, "block.expand", x, 24, 1);
    const weights = unit(g, "block.depthwise", { out: 24, input: 1, kernel: 3, batchNorm: false, bias: true }, true);
    const attrs = { stride: 1, padding: pad(1), activation: RELU } as const;
    const filtered = g.apply(depthwise, "block.depthwise", { x: wide, ...weights }, attrs).y!;
    const sum = conv(g, "block.project", filtered, 8, 1, x);
    g.output("features", g.apply(mean, "features", { x: sum }, { groups: 2 }).y!);
    expect(printPlan(plan(g.build(), CPU))).toMatchInlineSnapshot(`
      "  0  block.expand  matmul(COLS=4 ROWS=8 WG=16)  x [2, 6, 5, 8] @11776  y [2, 6, 5, 24] @0
        1  block.depthwise  depthwise  x [2, 6, 5, 24] @0  y [2, 6, 5, 24] @5888
        2  block.project  matmul(RESIDUAL=true ROWS=8 WG=16)  x [2, 6, 5, 24] @5888  y [2, 6, 5, 8] @11776
        3  features  mean  x [2, 6, 5, 8] @11776  y [2, 8] @0
      activations 0.01 MB planned, 0.01 MB lower bound, 0.02 MB naive; states 0.00 MB, weights 0.00 MB"
    `);
  });
});

describe("runs that are foreseen", () => {
  it("a graph of which many are gets larger tiles, and answers the same bits", async () => {
    const g = new GraphBuilder("often");
    g.output("y", conv(g, "conv", g.input("x", tensor(1, 9, 11, 8)), 32, 3));
    const graph = g.build();
    const tiles = (options?: PlanOptions) =>
      plan(graph, { ...CPU, subgroups: true }, options).steps.map(({ dispatch }) => [
        dispatch.consts.ROWS,
        dispatch.consts.COLS,
      ]);
    expect([tiles(), tiles({ runs: 1e4 }), tiles({ runs: 1e5 })]).toEqual([[[4, 4]], [[8, 4]], [[8, 8]]]);
    const x = new Random(5).normal(9 * 11 * 8);
    const answers = [];
    for (const runs of [1, 1e4, 1e5]) {
      using session = await createSession(fixture.as("cpu"), graph, weightsOf(graph), { runs });
      poison(session);
      answers.push((await session.run({ x })).y);
    }
    expect(answers[0]!.every((v) => Number.isFinite(v))).toBe(true);
    expect(answers[1]).toEqual(answers[0]);
    expect(answers[2]).toEqual(answers[0]);
  });
});

describe("places", () => {
  it("no two temps that live at one time share memory, on 300 random graphs", () => {
    let shared = 0;
    for (let seed = 1; seed <= 300; seed++) {
      const planned = plan(randomGraph(seed), CPU);
      checkPlaces(planned);
      checkPlaces(plan(planned.graph, CPU, { reuse: false }));
      expect(planned.bytes.lowerBound).toBe(leastBytes(planned));
      expect(planned.bytes.planned).toBeLessThanOrEqual(plan(planned.graph, CPU, { reuse: false }).bytes.planned);
      if (planned.bytes.planned < planned.bytes.naive * 0.7) shared++;
    }
    expect(shared, "graphs that reuse memory in earnest").toBeGreaterThan(150);
  });

  it("what a kernel reads as weights lies in the second arena", () => {
    const graph = Array.from({ length: 40 }, (_, seed) => randomGraph(seed)).find((g) =>
      g.nodes.some((n) => n.op === packOperand),
    )!;
    const planned = plan(graph, CPU);
    for (const { name, id } of graph.values.filter((v) => planned.places.has(v.id))) {
      expect(planned.places.get(id)!.arena, name).toBe(name.endsWith(".keys") ? 1 : 0);
    }
  });

  it.each([3, 8, 21])("random graph %d: with reuse and without agree bit for bit, three times", async (seed) => {
    const graph = randomGraph(seed);
    const answers: Record<string, Float32Array>[][] = [];
    for (const reuse of [true, false]) {
      using session = await createSession(fixture.as("gpu"), graph, weightsOf(graph), { reuse });
      poison(session);
      const runs = [];
      const { shape } = graph.inputs.x!.spec;
      for (const i of [1, 2, 3]) {
        runs.push(await session.run({ x: new Random(i).normal(...shape), late: new Random(-i).normal(...shape) }));
      }
      answers.push(runs);
    }
    expect(answers[0]!.every((run) => Object.values(run).every((data) => data.every((v) => !Number.isNaN(v))))).toBe(
      true,
    );
    expect(answers[0]).toEqual(answers[1]);
  });
});

describe("models at 8x224", () => {
  it.each(MODEL_NAMES)("%s: planned bytes are within 1.1 of the lower bound", (model) => {
    const frames = model === "tsm-mobilenetv2-online" ? 1 : 8;
    const planned = plan(buildModel(describeModel(model, { frames })), CPU);
    checkPlaces(planned);
    expect(planned.bytes.lowerBound).toBe(leastBytes(planned));
    expect(planned.bytes.planned).toBeLessThanOrEqual(1.1 * planned.bytes.lowerBound);
  });

  it("online: at most 6.2 MB with its states and 56 dispatches a frame, less than buffers of their own could", () => {
    const planned = plan(buildModel(describeModel("tsm-mobilenetv2-online", { frames: 1, classes: 27 })), CPU);
    expect(planned.bytes.planned + planned.bytes.states).toBeLessThanOrEqual(6.2e6);
    expect(planned.steps.length).toBeLessThanOrEqual(56);
    // The figures of ARCHITECTURE.md.
    expect((planned.bytes.planned / 1e6).toFixed(2)).toBe("6.02");
    expect((leastSlots(planned) / 1e6).toFixed(2)).toBe("6.92");
  });
});

describe("pipelines", () => {
  /** Where a network's kernels are more than twelve. */
  const MORE: Readonly<Record<string, Readonly<Record<string, number>>>> = {
    // Kernels for a row at the end, the class token's, beside those for all tokens; stam has another width of heads over time.
    vit: { software: 13, "software with subgroups": 13 },
    stam: { software: 13, "software with subgroups": 13, GPU: 15 },
    // Products with and without residual and shift, of large and small planes, and of few channels.
    "tsm-mobilenetv2": { GPU: 13 },
  };

  it.each(fullModels().map((graph) => [graph.name, graph] as const))(
    "of %s are few on every adapter",
    (name, graph) => {
      for (const [adapter, caps] of Object.entries(ADAPTERS)) {
        const variants = [...variantsOf(graph, caps).keys()];
        expect(variants.length, [adapter, ...variants].join("\n")).toBeLessThanOrEqual(MORE[name]?.[adapter] ?? 12);
      }
    },
  );
});

describe("stam in groups of frames", () => {
  const planned = (frames: number, more: Partial<ModelDescription> = {}) =>
    plan(buildModel(describeModel("stam", { frames, ...more })), CPU);

  it("of 16 frames takes at most 80 MB, at most what it is allowed, and hardly more than the lower bound", () => {
    const sizes: number[] = [];
    for (const activationBytes of [undefined, 40e6, 24e6, 17e6]) {
      const found = planned(16, activationBytes ? { activationBytes } : {});
      checkPlaces(found);
      expect(found.bytes.lowerBound).toBe(leastBytes(found));
      expect(found.bytes.planned).toBeLessThanOrEqual(activationBytes ?? 80e6);
      expect(found.bytes.planned).toBeLessThanOrEqual(1.1 * found.bytes.lowerBound);
      sizes.push(found.graph.nodes.filter(({ name }) => name.startsWith("patch_embed")).length);
    }
    expect(sizes).toEqual([1, 3, 6, 16]); // passes of the spatial network, the fewer the better
  });

  it("keeps weights once, whatever the number of groups", () => {
    const [whole, parts] = [planned(16), planned(16, { activationBytes: 24e6 })];
    expect(parts.bytes.weights).toBe(whole.bytes.weights);
    expect((whole.bytes.weights / 1e6).toFixed(1)).toBe("477.6");
  });

  it("of 64 frames takes at most 80 MB; its ring of features is the stream's only state", () => {
    expect(planned(64).bytes.planned).toBeLessThanOrEqual(80e6);
    const stream = planned(1, { transformer: stamShape(16) });
    expect(stream.bytes.states).toBe(17 * 768 * 4);
    expect(stream.bytes.planned).toBeLessThanOrEqual(4e6);
  });

  it("says how much a frame needs when it is allowed less", () => {
    expect(() => planned(16, { activationBytes: 10e6 })).toThrow(
      /^stam takes 16\.5 MB of activations at least, and 10\.0 are allowed; allow more$/,
    );
  });
});

/**
 * What buffers would take at least if each held one tensor at a time: the k-th largest of them is no smaller than the k-th
 * largest tensor alive at any step (Pisarchyk and Lee, 4.1).
 */
function leastSlots(planned: Plan): number {
  const largest: number[] = [];
  for (const alive of aliveAt(planned)) {
    const sizes = alive.map(({ bytes }) => bytes).sort((a, b) => b - a);
    for (const [k, size] of sizes.entries()) largest[k] = Math.max(largest[k] ?? 0, size);
  }
  return largest.reduce((a, b) => a + b, 0);
}

describe("a stream", () => {
  it("keeps its states out of what is shared: with reuse and without agree bit for bit, frame after frame", async () => {
    const shape = { frames: 1, height: 33, width: 47, classes: 5 };
    const graph = buildModel(describeModel("tsm-mobilenetv2-online", shape));
    const weights = syntheticTensors(graph);
    const answers: Float32Array[][] = [];
    for (const reuse of [true, false]) {
      using session = await createSession(fixture.as("gpu"), graph, weights, { reuse });
      const states = graph.values.filter(({ kind }) => kind === "state");
      expect(states).toHaveLength(10);
      for (const { id } of states) expect(session.plan.places.has(id)).toBe(false);
      const arenas = graph.values.filter(({ kind }) => kind === "temp").map(({ name }) => session.range(name).buffer);
      for (const { name } of states) expect(arenas).not.toContain(session.range(name).buffer);
      poison(session);
      const logits: Float32Array[] = [];
      for (let t = 0; t < 4; t++)
        logits.push((await session.run({ video: new Random(t).normal(1, 33, 47, 3) })).logits!);
      answers.push(logits);
    }
    expect(answers[0]!.flatMap((row) => [...row]).every(Number.isFinite)).toBe(true);
    expect(answers[0]).toEqual(answers[1]);
  });
});

describe("mistakes", () => {
  const start = () => {
    const g = new GraphBuilder("wrong");
    return { g, x: g.input("x", tensor(2, 5, 3, 8)) };
  };
  const zeros = (g: GraphBuilder, name: string, length: number) =>
    g.weight(name, { tensors: {}, length, pack: () => new Float32Array(length) });

  it("a sum into what is still needed is refused", () => {
    const later = start();
    const a = conv(later.g, "a", later.x, 8, 1);
    const sum = conv(later.g, "sum", later.x, 8, 1, a);
    conv(later.g, "reader", a, 4, 1);
    later.g.output("y", sum);
    expect(() => plan(later.g.build(), CPU)).toThrow(
      '"sum" sums into "a", which "reader" still reads; use it before, or copy it first',
    );

    const kept = start();
    const b = conv(kept.g, "b", kept.x, 8, 1);
    kept.g.output("y", conv(kept.g, "sum", kept.x, 8, 1, b));
    kept.g.output("b", b);
    expect(() => plan(kept.g.build(), CPU)).toThrow('"sum" sums into "b", which is kept');

    const state = start();
    const past = state.g.state("past", tensor(2, 5, 3, 8));
    state.g.output("y", conv(state.g, "sum", state.x, 8, 1, past));
    expect(() => plan(state.g.build(), CPU)).toThrow('"sum" sums into "past", which is kept');

    const scores = start();
    const shares = scores.g.apply(softmax, "shares", { x: conv(scores.g, "a", scores.x, 8, 1) }, {}).y!;
    scores.g.output("y", conv(scores.g, "sum", scores.g.apply(softmax, "again", { x: shares }, {}).y!, 8, 1, shares));
    expect(() => plan(scores.g.build(), CPU)).toThrow('"again" sums into "shares", which "sum" still reads');
  });

  it("a sum into the tensor that the same kernel reads is refused", () => {
    const { g, x } = start();
    const a = conv(g, "a", x, 8, 1);
    g.output("y", conv(g, "sum", a, 8, 1, a));
    expect(() => plan(g.build(), CPU)).toThrow('"sum" sums into "a" while it reads it; give the sum another tensor');
  });

  it("one tensor in two bindings of a dispatch is refused", () => {
    const { g } = start();
    const past = g.state("past", tensor(1, 5, 3, 8));
    const shift = { mode: "past", fold: 8 } as const;
    const weights = unit(g, "u", { out: 8, input: 8, kernel: 1, batchNorm: false, bias: true, shift });
    const attrs = { out: 8, kernel: 1, stride: 1, padding: pad(0), activation: LINEAR, shift };
    g.output("y", g.apply(conv2d, "echo", { x: past, past, ...weights }, attrs).y!);
    expect(() => plan(g.build(), CPU)).toThrow('"echo" binds one tensor twice in a dispatch');
  });

  it("an activation read as weights beside one that is not, in one buffer, is refused", () => {
    const { g, x } = start();
    const first = g.apply(packOperand, "first", { x }, { transposed: false }).w!;
    const a = { x, w: first, bias: zeros(g, "a.bias", 32) };
    g.output("a", g.apply(matmul, "a", a, { out: 30, activation: LINEAR }).y!);
    // `first` once more, as a row of 256 numbers, times an activation that is read as weights like itself.
    const other = g.input("other", tensor(4, 256));
    const second = g.apply(packOperand, "second", { x: other }, { transposed: false }).w!;
    const b = { x: first, w: second, bias: zeros(g, "b.bias", 4) };
    g.output("b", g.apply(matmul, "b", b, { out: 4, activation: LINEAR }).y!);
    expect(() => plan(g.build(), CPU)).toThrow(
      '"b" would bind one buffer both read and read_write; give matmul its operand as read_write',
    );
  });
});
