// A block that remembers the frame before (MemBlock of the TAEHV family): the clip at once, and in chunks whose past is a state.
import { describe, expect, it } from "vitest";
import { type Graph, GraphBuilder, type Value, wantedTensors } from "../src/core/graph.ts";
import { tensor } from "../src/core/tensor.ts";
import { conv, convFilters, twoFrameConv } from "../src/models/filters.ts";
import { conv2d, conv3d, pad, RELU } from "../src/ops/index.ts";
import { createSession, type Session } from "../src/session.ts";
import { Random } from "./cases/random.ts";
import { useGpu } from "./gpu.ts";

const fixture = useGpu();
const [HEIGHT, WIDTH, CHANNELS] = [3, 5, 6];
const FRAME = HEIGHT * WIDTH * CHANNELS;

/** relu(conv relu conv relu conv [x ; the frame before] + x) */
function memoryBlock(g: GraphBuilder, name: string, x: Value, state: Value | undefined): Value {
  const weights = (part: number) => ({ weight: `${name}.${part}.weight`, bias: `${name}.${part}.bias` });
  const same = { out: CHANNELS, activation: RELU } as const;
  const plain = { ...same, kernel: 3, stride: 1, padding: pad(1) };
  const two = twoFrameConv(CHANNELS, CHANNELS, 3);
  const both = { ...same, kernel: two.kernel, stride: [1, 1, 1], padding: { ...pad(1), front: 1, back: 0 } } as const;
  const one = conv(CHANNELS, CHANNELS, 3);
  const first = { x, ...convFilters(g, `${name}.0`, two, weights(0)), past: state };
  let y = g.apply(conv3d, `${name}.0`, first, both).y!;
  y = g.apply(conv2d, `${name}.1`, { x: y, ...convFilters(g, `${name}.1`, one, weights(1)) }, plain).y!;
  const last = { x: y, ...convFilters(g, `${name}.2`, one, weights(2)), residual: x, carry: state };
  return g.apply(conv2d, `${name}.2`, last, plain).y!;
}

/** Two of them; as a stream with a state each. */
function blocks(frames: number, stream: boolean): Graph {
  const g = new GraphBuilder(`${frames} frames${stream ? " of a stream" : ""}`);
  let x = g.input("x", tensor(frames, HEIGHT, WIDTH, CHANNELS));
  for (const name of ["a", "b"]) {
    const state = stream ? g.state(`${name}.past`, tensor(1, HEIGHT, WIDTH, CHANNELS)) : undefined;
    x = memoryBlock(g, name, x, state);
  }
  g.output("y", x);
  return g.build();
}

describe("a block that remembers the frame before", () => {
  it.each(["cpu", "gpu"] as const)("is bit for bit the same in a clip and in chunks of it, %s tiles", async (kind) => {
    const random = new Random(7);
    const frames = 9;
    const clipGraph = blocks(frames, false);
    const weights = new Map([...wantedTensors(clipGraph)].map(([name, shape]) => [name, random.normal(...shape)]));
    const x = random.normal(frames, HEIGHT, WIDTH, CHANNELS);
    using clip = await createSession(fixture.as(kind), clipGraph, weights);
    const whole = (await clip.run({ x })).y!;
    expect(new Set(whole).size).toBeGreaterThan(whole.length / 4);

    const sessions = new Map<number, Session>();
    for (const size of [1, 2, 3])
      sessions.set(size, await createSession(fixture.as(kind), blocks(size, true), weights));
    for (let round = 0; round < 4; round++) {
      const got = new Float32Array(whole.length);
      const sizes: number[] = [];
      let state: Uint8Array<ArrayBuffer> | undefined; // none: zeros
      for (let at = 0; at < frames; ) {
        const size = round === 0 ? 1 : Math.min(1 + random.below(3), frames - at);
        const session = sessions.get(size)!;
        if (state) session.restore(state);
        else session.reset();
        const chunk = x.slice(at * FRAME, (at + size) * FRAME);
        got.set((await session.run({ x: chunk })).y!, at * FRAME);
        state = await session.snapshot();
        sizes.push(size);
        at += size;
      }
      expect(got, `chunks of ${sizes}`).toEqual(whole);
    }
    for (const session of sessions.values()) session[Symbol.dispose]();
  });
});
