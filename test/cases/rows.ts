// Ops on rows of tokens: taken, added, laid out, remembered.
import { tensor } from "../../src/core/tensor.ts";
import { addRows, history, takeRow, tokens } from "../../src/ops/index.ts";
import { exact, linear } from "../close.ts";
import { type OpCase, opCase } from "./case.ts";

const take = ([sequences, rows, width]: readonly [number, number, number], row: number): OpCase =>
  opCase({
    op: "takeRow",
    title: `${row} of [${sequences}, ${rows}, ${width}]`,
    flops: sequences * width,
    build: (g) =>
      g.output("y", g.apply(takeRow, "row", { x: g.input("x", tensor(sequences, rows, width)) }, { row }).y!),
    feeds: (random) => ({ x: random.normal(sequences, rows, width) }),
    expected: ({ x }) => ({
      y: exact(
        [sequences, 1, width],
        x!.filter((_, i) => Math.floor(i / width) % rows === row),
      ),
    }),
  });

export const takeRowCases: readonly OpCase[] = [take([3, 5, 7], 0), take([2, 4, 12], 3), take([70, 2, 5], 1)];

const add = (into: readonly number[], x: readonly number[], at: number): OpCase =>
  opCase({
    op: "addRows",
    title: `[${x.join(", ")}] to [${into.join(", ")}] at ${at}`,
    flops: x.reduce((a, b) => a * b, 1),
    build(g) {
      const values = { into: g.input("into", tensor(...into)), x: g.input("x", tensor(...x)) };
      g.output("y", g.apply(addRows, "sum", values, { at }).y!);
    },
    feeds: (random) => ({ into: random.normal(...into), x: random.normal(...x) }),
    expected(feeds) {
      const first = at * into.at(-1)!;
      const other = (i: number) => feeds.x![i - first] ?? 0;
      const want = Float64Array.from(feeds.into!, (v, i) => v + other(i));
      return {
        y: linear(
          into,
          want,
          want.map((_, i) => Math.abs(feeds.into![i]!) + Math.abs(other(i))),
          1,
        ),
      };
    },
  });

export const addRowsCases: readonly OpCase[] = [
  add([7, 6], [3, 6], 2),
  add([2, 5, 9], [1, 1, 9], 0),
  add([1, 4, 10], [2, 10], 2), // to the end
  add([40, 11], [33, 11], 5), // more fours than a workgroup has threads
];

/** `periods`: frames with positions of their own, and no class token. */
const layOut = (frames: number, count: number, width: number, periods?: number): OpCase =>
  opCase({
    op: "tokens",
    title: `${frames} frames of ${count}, ${width} wide${periods ? `, ${periods} of their own` : ""}`,
    flops: frames * count * width,
    weights: { ...(periods ? {} : { cls: [width] }), pos: [(periods ?? 1) * count, width] },
    build(g) {
      const stored = (name: string, rows: number) => {
        const stride = Math.ceil(width / 4) * 4;
        return g.weight(name, {
          tensors: { [name]: rows === 1 ? [width] : [rows, width] },
          length: rows * stride,
          pack(get) {
            const packed = new Float32Array(rows * stride);
            for (let r = 0; r < rows; r++) packed.set(get(name).subarray(r * width, (r + 1) * width), r * stride);
            return packed;
          },
        });
      };
      const weights = { ...(periods ? {} : { cls: stored("cls", 1) }), pos: stored("pos", (periods ?? 1) * count) };
      g.output("y", g.apply(tokens, "tokens", weights, { frames, tokens: count, width }).y!);
    },
    feeds: () => ({}),
    expected(_feeds, weights) {
      const [cls, pos] = [weights.get("cls"), weights.get("pos")!];
      const length = frames * count * width;
      const [want, magnitude] = [new Float64Array(length), new Float64Array(length)];
      for (let i = 0; i < length; i++) {
        const at = pos[i % pos.length]!;
        const first = cls?.[i % (count * width)] ?? 0;
        want[i] = at + first;
        magnitude[i] = Math.abs(at) + Math.abs(first);
      }
      return { y: linear([frames, count, width], want, magnitude, 1) };
    },
  });

export const tokensCases: readonly OpCase[] = [
  layOut(2, 5, 7),
  layOut(3, 2, 12),
  layOut(1, 50, 6),
  layOut(4, 3, 10, 2),
  layOut(3, 7, 9, 3),
];

/** `filled`: the state is that of a stream that has run; else it has just been reset. */
const remember = (frames: number, width: number, filled: boolean): OpCase =>
  opCase({
    op: "history",
    title: `${frames} frames of ${width}${filled ? "" : " behind a reset"}`,
    flops: frames * width,
    build(g) {
      const values = { x: g.input("x", tensor(1, 1, width)), state: g.state("state", tensor(frames + 1, width)) };
      g.output("y", g.apply(history, "history", values, {}).y!);
    },
    feeds(random) {
      const state = random.normal(frames + 1, width);
      state.set(mark(width), frames * width);
      return { x: random.normal(1, 1, width), state: filled ? state : new Float32Array((frames + 1) * width) };
    },
    expected({ x, state }) {
      const y = new Float64Array(frames * width);
      for (let i = 0; i < frames; i++) {
        const before = filled && i + 1 < frames;
        y.set(before ? state!.subarray((i + 1) * width, (i + 2) * width) : x!, i * width);
      }
      return { y: exact([1, frames, width], y), state: exact([frames + 1, width], [...y, ...mark(width)]) };
    },
  });

/** The row behind the frames: a one in every four's first channel. */
const mark = (width: number): number[] => Array.from({ length: width }, (_, c) => (c % 4 === 0 ? 1 : 0));

export const historyCases: readonly OpCase[] = [
  remember(5, 7, true),
  remember(5, 7, false),
  remember(1, 12, true),
  remember(1, 9, false),
  remember(16, 268, true), // more fours than a workgroup has threads
];
