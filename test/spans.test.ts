import { expect, it } from "vitest";
import { JESTER } from "../src/labels/jester.ts";
import { SpanTracker } from "../src/labels/spans.ts";

const LABELS = ["still", "pan left", "pan right"];
/** Logits that favour `index` by `margin`. */
const row = (index: number, margin = 6) => LABELS.map((_, i) => (i === index ? margin : 0));

/** All spans of frames that favour `indices`, so many of them a second. */
function spansOf(indices: readonly number[], rate: number) {
  const tracker = new SpanTracker(LABELS);
  const ended = indices.map((index, i) => tracker.push(i / rate, row(index)));
  return [...ended, tracker.finish(indices.length / rate)].filter((span) => span !== null);
}

function track(indices: readonly number[]): [string, number, number][] {
  return spansOf(indices, 10).map(({ label, from, to }) => [label, from, to]);
}

it("joins frames of one label into a span that begins with the first frame", () => {
  expect(track([0, 0, 0, 0, 0, 0])).toEqual([["still", 0, 0.6]]);
});

it("shows a change once it has won three times in a row, over the mean of four frames, from the first of them on", () => {
  // Frames 4..7 are the first whose mean favours index 1 (2 of 4 ties go to the lower index): it wins at 7, 8 and 9.
  const spans = track([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1]);
  expect(spans.map(([label]) => label)).toEqual(["still", "pan left"]);
  expect(spans[1]![1]).toBeCloseTo(0.7, 10);
  expect(spans[0]![2]).toBe(spans[1]![1]);
});

it("counts each frame once, to the label that it is shown under in the end", () => {
  // The rival wins twice at most: its frames are the shown label's.
  const frames = [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2];
  const sure = Math.exp(6) / (Math.exp(6) + 2);
  const other = 1 / (Math.exp(6) + 2);
  const [still, right] = spansOf(frames, 1);
  // 0..3 are one frame (the first label), then 10 of index 0 or 1 up to the first win of index 2 at frame 13.
  expect(still).toMatchObject({ label: "still", from: 0, to: 13 });
  expect(still!.score).toBeCloseTo((5 * sure + 5 * other) / 10, 6);
  expect(right).toMatchObject({ label: "pan right", from: 13, to: 17 });
  expect(right!.score).toBeCloseTo(sure, 6);
});

it("shows no change for a label that wins for fewer frames, nor for one that comes and goes", () => {
  expect(track([0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0]).map(([label]) => label)).toEqual(["still"]);
  expect(track([0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0]).length).toBe(1);
});

it("returns the span that ends with the push that ends it, with the mean probability of its label", () => {
  const tracker = new SpanTracker(null);
  const ended = [0, 0, 0, 0, 1, 1, 1, 1, 1, 1].map((index, i) => tracker.push(i, row(index)));
  const spans = ended.filter((span) => span !== null);
  expect(spans).toHaveLength(1);
  expect(spans[0]).toMatchObject({ label: "class 0", index: 0, from: 0 });
  const sure = Math.exp(6) / (Math.exp(6) + 2);
  expect(spans[0]!.score).toBeLessThan(sure);
  expect(tracker.current).toMatchObject({ index: 1, label: "class 1" });
});

it("labels a video that is too short to be steady", () => {
  expect(track([2])).toEqual([["pan right", 0, 0.1]]);
  expect(track([1, 1, 0])).toEqual([["pan left", 0, 0.3]]);
  expect(new SpanTracker(LABELS).finish(0)).toBeNull();
});

it("hands Jester's labels to the gesture filter, which starts with no gesture", () => {
  const tracker = new SpanTracker(JESTER);
  const logits = JESTER.map((label) => (label === "Swiping Left" ? 9 : 0));
  tracker.push(0, logits);
  expect(tracker.current!.label).toBe("Swiping Left");
  tracker.push(1, logits);
  tracker.push(2, logits);
  expect(tracker.finish(3)!.label).toBe("Swiping Left");
});
