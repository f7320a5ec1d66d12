// The real-weight block test of tsm-stam.md 2.6 through the engine: features.12 of the official online Jester checkpoint.
import { beforeAll, describe, expect, it } from "vitest";
import { type Graph, GraphBuilder } from "../src/core/graph.ts";
import { tensor, toChannelsFirst, toChannelsLast } from "../src/core/tensor.ts";
import { fileSource } from "../src/host/file_source.ts";
import { unit } from "../src/models/layers.ts";
import { conv2d, depthwise, LINEAR, pad, RELU6, stateSpec } from "../src/ops/index.ts";
import { createSession, type Session } from "../src/session.ts";
import { openCheckpoint } from "../src/weights/checkpoint.ts";
import { Block12, blockInputs, blockTensors } from "./block12.ts";
import { dataFile, hasData } from "./data.ts";
import { poison, readState, useGpu, writeState } from "./gpu.ts";

const PREFIX = "weights/jester_online_first_1MiB.pth.tar";
const FOLD = 12;

/** The block as a graph: shifted by a state that it renews, or as an image network has it. */
function blockGraph(streamed: boolean): Graph {
  const g = new GraphBuilder(streamed ? "block 12, online" : "block 12, unshifted");
  const x = g.input("x", tensor(1, 14, 14, 96));
  const past = streamed ? g.state("past", stateSpec(x.spec, FOLD)) : undefined;
  const shift = streamed ? { shift: { mode: "past", fold: FOLD } as const } : {};
  const norm = { batchNorm: true, bias: false };
  const [expand, filter, project] = ["expand", "depthwise", "project"].map((name) => `blocks.12.${name}`) as [
    string,
    string,
    string,
  ];
  const point = { kernel: 1, stride: 1, padding: pad(0) };
  const wide = { out: 576, ...point, activation: RELU6, ...shift };
  const expandShape = { out: 576, input: 96, kernel: 1, ...norm, ...shift };
  let h = g.apply(conv2d, expand, { x, ...unit(g, expand, expandShape), past }, wide).y!;
  const filters = unit(g, filter, { out: 576, input: 1, kernel: 3, ...norm }, true);
  h = g.apply(depthwise, filter, { x: h, ...filters }, { stride: 1, padding: pad(1), activation: RELU6 }).y!;
  const narrow = unit(g, project, { out: 96, input: 576, kernel: 1, ...norm });
  const sum = { x: h, ...narrow, residual: x, carry: past };
  g.output("o", g.apply(conv2d, project, sum, { out: 96, ...point, activation: LINEAR }).y!);
  return g.build();
}

const planes = (o: Float32Array) => toChannelsFirst(o, [1, 14, 14, 96]);
const channelsLast = (values: Float64Array, channels: number) =>
  toChannelsLast(Float32Array.from(values), [1, channels, 14, 14]);

describe.skipIf(!hasData(PREFIX))("the real block features.12 on the GPU", () => {
  const fixture = useGpu();
  const { x, states } = blockInputs();
  const input = channelsLast(x, 96);
  const kept = channelsLast(x.slice(0, FOLD * 196), FOLD);
  let weights: Map<string, Float32Array>;
  let expected: Record<keyof typeof states, Float64Array>;
  beforeAll(async () => {
    weights = await blockTensors(await openCheckpoint(await fileSource(dataFile(PREFIX))));
    const block = new Block12(weights);
    const { given, zero, unshifted } = states;
    expected = { given: block.run(x, given), zero: block.run(x, zero), unshifted: block.run(x, unshifted) };
  });

  /** One frame out of poisoned memory; [96, 14, 14]. */
  async function push(session: Session): Promise<Float32Array> {
    poison(session);
    return planes((await session.run({ x: input })).o!);
  }

  /** Within 1e-4 of f64 in every element, and of the table's element and sum. */
  function expectColumn(o: Float32Array, column: keyof typeof states, first: number, total: number): void {
    const want = expected[column];
    const worst = o.reduce((most, value, i) => Math.max(most, Math.abs(value - want[i]!)), 0);
    expect(o.length).toBe(96 * 196);
    expect(worst, column).toBeLessThanOrEqual(1e-4);
    expect(Math.abs(o[0]! - first), column).toBeLessThanOrEqual(1e-4);
    const sum = o.reduce((all, value) => all + value, 0);
    // 18,816 errors of random sign, 1.2e-6 each at most by the specification: 2e-4 if spread, 2e-2 if they all agreed.
    expect(Math.abs(sum - total), column).toBeLessThan(2e-2);
  }

  it.each(["cpu", "gpu"] as const)(
    "gives the three columns and keeps the new state, %s tiles",
    async (kind) => {
      using stream = await createSession(fixture.as(kind), blockGraph(true), weights);
      await writeState(stream, channelsLast(states.given, FOLD));
      const o = await push(stream);
      expectColumn(o, "given", -0.36997828, -1032.63572);
      expect(await readState(stream)).toEqual(kept);
      const at = (c: number, row: number, column: number) => o[c * 196 + row * 14 + column]!;
      const anchors = [
        at(0, 0, 1),
        at(0, 0, 2),
        at(11, 7, 7),
        at(12, 0, 0),
        at(95, 13, 13),
        Math.min(...o),
        Math.max(...o),
      ];
      const wanted = [0.13814481, 0.36041218, -1.07252846, 1.14319325, -0.46637651, -1.98381039, 2.48704503];
      for (const [i, want] of wanted.entries()) expect(Math.abs(anchors[i]! - want)).toBeLessThanOrEqual(1e-4);
      expect(Math.abs(o.reduce((all, value) => all + Math.abs(value), 0) - 12518.45259)).toBeLessThan(2e-2);

      // The state is now x's own first channels: the same frame again is the column without a shift.
      expectColumn(await push(stream), "unshifted", -0.46401148, -1115.03227);
      expect(await readState(stream)).toEqual(kept);

      stream.reset();
      expectColumn(await push(stream), "zero", -0.4740174, -1031.6566);
      expect(await readState(stream)).toEqual(kept);

      using image = await createSession(fixture.as(kind), blockGraph(false), weights);
      expectColumn(await push(image), "unshifted", -0.46401148, -1115.03227);
    },
    60_000,
  );
});
