// bench/hour_codes.ts on seconds of made-up codes and random weights: what it reports, and that it fails where what must be is not. An hour of it is a bench.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import type { HourOfCodesReport } from "../bench/hour_codes.ts";
import { type ArmTiming, decoderFile, randomNetwork } from "../bench/pixel_arms.ts";
import { sameness } from "../bench/sameness.ts";
import { fasterThanPixels, flatMemory, inWords } from "../bench/verdicts.ts";
import { motionCodesOf } from "../src/codes_classifier.ts";
import { type Codes, type CodesTrack, createStore, MemoryFile, openStore } from "../src/store/index.ts";
import { ROOT } from "./cli/kinema.ts";
import { Workspace } from "./cli/workspace.ts";
import { codesTrack, madeCodes } from "./store/made.ts";

const files = new Workspace();
afterAll(() => files.remove());

const SIZE = 64;
const track = codesTrack({
  model: "kinema-compressor-192",
  stride: [2, 8, 8],
  grid: [SIZE / 8, SIZE / 8],
  codebooks: [0, 1].map(() => ({ kind: "vq", size: 256, dim: 8 })),
  chunk: 13,
});

async function stored(of: CodesTrack, codes: Codes, fps: number): Promise<MemoryFile> {
  const file = new MemoryFile();
  const [rows, columns] = of.grid;
  const size = { width: columns * of.stride[2], height: rows * of.stride[1] };
  const writer = await createStore(file, { ...size, fps: [fps, 1], tracks: [of] });
  await writer.append(codes);
  await writer.commit();
  return file;
}

async function bench(name: string, of: CodesTrack, steps: number) {
  const file = await stored(of, madeCodes(of, steps, 4), 25);
  const store = files.write(`${name}.kvc`, file.bytes);
  const json = files.path(`${name}.json`);
  const flags = ["--store", store, "--minutes", "0.1", "--rounds", "1", "--json", json];
  const ended = spawnSync(process.execPath, ["tools/run.mjs", "bench/hour_codes.ts", ...flags], {
    cwd: ROOT,
    encoding: "utf8",
  });
  return { ...ended, store, json };
}

it("understands seconds of codes, times three ways to a class, and judges", { timeout: 240_000 }, async () => {
  const { status, stdout, json, stderr } = await bench("film", track, 39);
  expect(existsSync(json), stderr).toBe(true);
  const report: HourOfCodesReport = JSON.parse(readFileSync(json, "utf8"));
  // Whole chunks: six of 13 steps, 12.5 steps a second.
  expect(report.seconds).toBe(7);
  expect(report.steps.seen).toBe(39); // every second one
  expect(report.classified.ms).toBeGreaterThan(0);
  expect(report.memory.samples).toBe(7);
  expect(report.memory.last.gpu).toBe(report.memory.first.gpu);
  expect(report.query).toBeGreaterThan(0);
  expect(report.arms.map(({ name }) => name)).toEqual([
    "codes -> class",
    "codes -> pixels -> class",
    "pixels -> class",
  ]);
  // Of one round a median of ratios is the ratio.
  const [codes, ...pixels] = report.arms as [ArmTiming, ...ArmTiming[]];
  expect(codes.ratio).toEqual({ ms: 1, cpu: 1 });
  for (const { ms, ratio } of pixels) expect(ratio.ms).toBeCloseTo(ms / codes.ms, 6);
  expect(report.verdicts).toEqual([flatMemory(report.memory), fasterThanPixels(pixels[1]!)]);
  expect(status).toBe(report.verdicts.every(({ met }) => met) ? 0 : 1);
  for (const verdict of report.verdicts) expect(stdout).toContain(inWords(verdict));
});

it("refuses a store that fills no run, and one of another compressor, before it begins", {
  timeout: 120_000,
}, async () => {
  const short = await bench("short", track, 23);
  expect([short.stdout, short.status]).toEqual(["", 2]);
  expect(short.stderr.trim().split("\n").at(-1)).toBe(
    `${short.store} has 23 steps of codes, a run of the bench takes 24; give a longer one`,
  );
  const other = { ...track, model: "made" };
  const reader = await openStore(await stored(other, madeCodes(other, 48, 1), 25));
  const shape = motionCodesOf(await randomNetwork(other));
  expect(() => decoderFile(reader, other, shape, { folder: "weights", source: "film.kvc" })).toThrow(
    "film.kvc is of made; the bench decodes what the compressors of weights/ wrote",
  );
});

describe("what an hour must show", () => {
  const memory = (node: number, gpu: number) => ({ first: { node: 5e6, gpu: 7e6 }, last: { node, gpu } });
  const pixels = (ms: number, cpu: number) => ({ name: "pixels -> class", ms: 1, cpu: 1, ratio: { ms, cpu } });

  it("is memory that grows by at most 1 MB, in each place", () => {
    expect(inWords(flatMemory(memory(6e6, 7e6)))).toBe(
      "met: memory flat: last tenth at most 1 MB above the first; node +1.000 MB, gpu +0.000 MB",
    );
    for (const grown of [memory(6e6 + 1, 7e6), memory(2e6, 8e6 + 1)]) expect(flatMemory(grown).met).toBe(false);
  });

  it("is a class from codes at least 3 x faster than from pixels, by wall clock", () => {
    expect(fasterThanPixels(pixels(3, 2.9)).met).toBe(true);
    expect(inWords(fasterThanPixels(pixels(2.99, 9)))).toBe(
      "not met: codes -> class at least 3 x faster than pixels -> class; 2.99 x by wall clock (9.00 x in processor time)",
    );
  });
});

describe("codes that stay as they are", () => {
  const STEPS = 9;
  it.each([
    { name: "on the network's grid", stepsOfTrack: 1, stride: [2, 8, 8], changed: [2, 3] },
    { name: "twice as fine, in every direction", stepsOfTrack: 2, stride: [1, 4, 4], changed: [5, 6] },
  ] as const)("leave the first block's output within its reach: $name", async ({ stepsOfTrack, stride, changed }) => {
    const [rows, columns] = [6 * stepsOfTrack, 8 * stepsOfTrack];
    const of = { ...track, stride, grid: [rows, columns] } as const;
    const each = rows * columns * 2;
    const codes = new Uint8Array(STEPS * stepsOfTrack * each).fill(9);
    // One code of a site is another from the fifth step on; of a fine pair only in its second frame at first.
    const from = 4 * stepsOfTrack + stepsOfTrack - 1;
    for (let step = from; step < STEPS * stepsOfTrack; step++)
      codes[step * each + rows * columns + changed[0] * columns + changed[1]] = 4;
    const reader = await openStore(await stored(of, codes, 15));
    const found = await sameness(reader, of, { fps: 15, stepsOfTrack });
    // Nothing is before the first step. Of 6 x 8 places the change reaches 5 x 5, in its step and in the next one; in a pair whose frames differ one step more.
    const sites = rows * columns;
    const steps = stepsOfTrack === 1 ? 1 : 2;
    expect(found.sites).toBeCloseTo(((STEPS - 1) * sites - steps) / (STEPS * sites), 12);
    expect(found.steps).toBeCloseTo((STEPS - 1 - steps) / STEPS, 12);
    expect(found.block).toBeCloseTo(((STEPS - 2) * 48 - (steps + 1) * 25) / (STEPS * 48), 12);
  });
});
