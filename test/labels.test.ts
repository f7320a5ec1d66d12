import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { describe, expect, it } from "vitest";
import { GestureFilter } from "../src/labels/gesture.ts";
import { JESTER } from "../src/labels/jester.ts";
import { JESTER_DATASET } from "../src/labels/jester_dataset.ts";
import { KINETICS_400 } from "../src/labels/kinetics400.ts";
import { SOMETHING_SOMETHING_V2 } from "../src/labels/something_something_v2.ts";
import { argmax, softmax, top } from "../src/labels/top.ts";

const root = new URL("..", import.meta.url).pathname;
const data = process.env.KINEMA_DATA ?? join(root, "../shared/data");
const ascii = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
const lines = (file: string) =>
  readFileSync(join(data, "labels", file), "utf8")
    .trimEnd()
    .split(/\r?\n/);

describe("label lists (tsm-stam.md 3.3)", () => {
  it.each([
    ["Kinetics-400", KINETICS_400, 400],
    ["Something-Something V2", SOMETHING_SOMETHING_V2, 174],
    ["Jester", JESTER, 27],
  ])("%s is sorted, complete and without repeats", (_name, labels, count) => {
    expect(labels).toHaveLength(count);
    expect(new Set(labels).size).toBe(count);
    expect([...labels].sort(ascii)).toEqual(labels);
    expect(labels.every((label) => label === label.trim() && label.length > 0)).toBe(true);
  });

  it("Kinetics-400 has the bytes of TSM's list file", () => {
    const digest = createHash("sha256").update(KINETICS_400.join("\n")).digest("hex");
    expect(digest).toBe("a8dafb93a1204d4ecfa904f943ce5ee0c62ddeeb1df71aa1f96983fca17d777e");
  });

  it("keeps the parentheses that set the order of skiing", () => {
    const skiing = KINETICS_400.filter((label) => label.startsWith("skiing"));
    expect(skiing).toEqual(["skiing (not slalom or crosscountry)", "skiing crosscountry", "skiing slalom"]);
  });

  it("has Jester in two orders of the same gestures", () => {
    expect([...JESTER_DATASET].sort(ascii)).toEqual(JESTER);
    expect([JESTER[0], JESTER[2], JESTER[26]]).toEqual([
      "Doing other things",
      "No gesture",
      "Zooming Out With Two Fingers",
    ]);
    expect(JESTER_DATASET.slice(0, 2)).toEqual(["Swiping Left", "Swiping Right"]);
  });

  it.skipIf(!existsSync(join(data, "labels")))("agrees with the lists of the shared data", () => {
    expect(lines("kinetics400.txt")).toEqual(KINETICS_400);
    expect(lines("jester27.txt")).toEqual(JESTER_DATASET);
  });

  it("leaves a bundle that does not name a list without it", async () => {
    const contents = ["kinetics400", "jester", "jester_dataset", "something_something_v2"]
      .map((name) => `import * as ${name} from "./src/labels/${name}.ts";`)
      .join("\n");
    const stdin = { contents: `${contents}\nconsole.log(jester.JESTER);`, resolveDir: root, loader: "ts" as const };
    const { outputFiles } = await build({ stdin, bundle: true, write: false, format: "esm", logLevel: "error" });
    const text = outputFiles[0]!.text;
    expect(text).toContain("Thumb Up");
    expect(text).not.toContain("zumba");
    expect(text).not.toContain("Unfolding something");
    expect(text.split("Thumb Up")).toHaveLength(2);
  });
});

describe("scores", () => {
  it("takes the softmax of large logits without overflow", () => {
    const scores = softmax(Float32Array.of(1000, 1001, 999));
    const sum = 1 + Math.exp(-1) + Math.exp(-2);
    expect(scores[1]).toBeCloseTo(1 / sum, 14);
    expect(scores[0]! + scores[1]! + scores[2]!).toBeCloseTo(1, 14);
  });

  it("refuses logits that are not finite, by name of the first", () => {
    expect(() => softmax([1, Number.NaN])).toThrow(expect.objectContaining({ code: "not-finite" }));
    expect(() => softmax([1, Infinity])).toThrow(/logit 1 is Infinity/);
    expect(() => softmax([])).toThrow(expect.objectContaining({ code: "bad-input" }));
  });

  it("ranks by score, then by index", () => {
    expect(top([0.1, 0.4, 0.1, 0.4], ["a", "b", "c", "d"], 3)).toEqual([
      { label: "b", index: 1, score: 0.4 },
      { label: "d", index: 3, score: 0.4 },
      { label: "a", index: 0, score: 0.1 },
    ]);
    expect(top([0.2, 0.8], null, 5).map((ranked) => ranked.label)).toEqual(["class 1", "class 0"]);
    expect(() => top([1, 2], ["one"], 1)).toThrow(expect.objectContaining({ code: "usage" }));
  });

  it("finds the first of equal maxima", () => {
    expect(argmax([-5, -2, -2])).toBe(1);
    expect(argmax([])).toBe(-1);
  });
});

describe("the gesture filter (tsm-stam.md 4.2)", () => {
  it("follows the trace", () => {
    const filter = new GestureFilter();
    const votes = [2, 17, 17, 17, 8, 16, 17, 16, 16, 0, 0, 2, 20, 20, 21, 20];
    const shown = [2, 17, 17, 17, 17, 16, 16, 16, 16, 2, 2, 2, 20, 20, 20, 20];
    expect(votes.map((index) => filter.refine(index))).toEqual(shown);
  });

  const oneHot = (index: number, height: number) =>
    Float32Array.from({ length: 27 }, (_, i) => (i === index ? height : 0));

  it("lets the last twelve frames vote and forgets the thirteenth", () => {
    const filter = new GestureFilter();
    expect(filter.push(oneHot(16, 6.5))).toBe(16);
    const shown = Array.from({ length: 12 }, () => filter.push(oneHot(20, 1)));
    // 16 has 6.5 votes until its frame is the thirteenth; 20 has one a frame and passes it at the seventh.
    expect(shown).toEqual([...Array(6).fill(16), ...Array(6).fill(20)]);
    // The twelve last are now eleven of 20 and one of 14.
    expect(filter.push(oneHot(14, 10.5))).toBe(20);
    expect(filter.push(oneHot(14, 0.5))).toBe(14);
  });

  it("starts anew after a reset", () => {
    const filter = new GestureFilter();
    filter.push(oneHot(16, 100));
    filter.reset();
    expect(filter.push(oneHot(20, 1))).toBe(20);
  });

  it("refuses other models' logits and broken ones, and keeps its state", () => {
    const filter = new GestureFilter();
    filter.push(oneHot(16, 5));
    expect(() => filter.push(new Float32Array(400))).toThrow(expect.objectContaining({ code: "bad-input" }));
    expect(() => filter.push(oneHot(3, Number.NaN))).toThrow(expect.objectContaining({ code: "not-finite" }));
    expect(filter.push(oneHot(20, 1))).toBe(16);
  });
});
