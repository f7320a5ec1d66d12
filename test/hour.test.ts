// bench/hour.ts on a few seconds: broken off by a kill and gone on with; codes, sizes and pictures are right. An hour of it is a bench.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { afterAll, expect, it } from "vitest";
import type { HourReport } from "../bench/hour.ts";
import { ofTheHour } from "../bench/verdicts.ts";
import { ROOT } from "./cli/kinema.ts";
import { Workspace } from "./cli/workspace.ts";

const files = new Workspace();
afterAll(() => files.remove());

const [FRAMES, SIZE] = [120, 64];
const [out, json] = [files.path("hour.kvc"), files.path("hour.json")];

/** The bench, a process group of its own as it starts another process; ended at once when it writes a line that matches `until`. */
function hour(until?: RegExp): Promise<number | null> {
  const minutes = String(FRAMES / 25 / 60);
  const flags = ["--minutes", minutes, "--size", String(SIZE), "--seeks", "3", "--out", out, "--json", json];
  const child = spawn(process.execPath, ["tools/run.mjs", "bench/hour.ts", ...flags], {
    cwd: ROOT,
    detached: true,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said += text;
    if (until?.test(said)) process.kill(-child.pid!, "SIGKILL");
  });
  return new Promise((done) => child.on("close", done));
}

it("judges what an hour has to show", () => {
  const memory = { node: 20e6, page: 30e6, gpu: 40e6 };
  const good: Parameters<typeof ofTheHour>[0] = {
    bytes: { computed: 1000, packed: 1010, rans: 757 },
    memory: { samples: 200, first: memory, last: { node: 21e6, page: 30e6, gpu: 40e6 } },
    seeks: [1, 50, 3].map((found) => ({ second: 1, found, decoded: 100 })),
  };
  const met = (change: Partial<typeof good>) => ofTheHour({ ...good, ...change }).map((one) => one.met);
  expect(met({})).toEqual([true, true, true, true]);
  expect(met({ bytes: { ...good.bytes, packed: 1011 } })).toEqual([false, true, true, true]);
  expect(met({ bytes: { ...good.bytes, packed: 989 } })).toEqual([false, false, true, true]);
  expect(met({ bytes: { ...good.bytes, rans: 758 } })).toEqual([true, false, true, true]);
  for (const part of ["node", "page", "gpu"] as const) {
    const last = { ...memory, [part]: memory[part] + 1e6 + 1 };
    expect(met({ memory: { samples: 200, first: memory, last } }), part).toEqual([true, true, false, true]);
  }
  expect(met({ memory: null })).toEqual([true, true, false, true]);
  expect(met({ seeks: [{ second: 1, found: 50.1, decoded: 0 }] })).toEqual([true, true, true, false]);
});

it("compresses, stores, survives a kill and reads again", { timeout: 400_000 }, async () => {
  expect(await hour(/^[3-9]\d\.\d %/m)).toBeNull();
  expect(existsSync(json)).toBe(false);
  expect(await hour()).toBe(1); // a few seconds are no hour: what a file has beside its codes is more than 1 % of them
  const report: HourReport = JSON.parse(readFileSync(json, "utf8"));
  expect(report.frames).toBe(FRAMES);
  // A chunk is 13 steps of two frames; the last one may not have been committed.
  expect(report.resumed).toBeGreaterThanOrEqual(26);
  expect(report.resumed).toBeLessThan(FRAMES);
  expect(report.resumed % 26).toBe(0);
  // Two codes of 8 bits for 2 x 8 x 8 pixels; what the file has beside them does not grow with its length but by chunks.
  expect(report.bytes.computed).toBe((FRAMES / 2) * (SIZE / 8) ** 2 * 2);
  expect(report.bytes.packed).toBeGreaterThan(report.bytes.computed + 16384);
  expect(report.bytes.packed).toBeLessThan(report.bytes.computed + 17408);
  expect(report.bytes.rans).toBeLessThanOrEqual(report.bytes.packed);
  expect(report.verdicts.map(({ met }) => met)).toEqual(ofTheHour(report).map(({ met }) => met));
  expect(report.verdicts[0]!.met).toBe(false);
  expect(report.memory!.last.gpu).toBe(report.memory!.first.gpu);
  expect(report.memory!.first.gpu).toBeGreaterThan(1e6);
  expect(report.seeks.length).toBe(3);
  for (const { look } of report.seeks) {
    expect(look!.frames).toBe(26);
    expect(look!.psnr).toBeGreaterThan(15); // the card's worst clip at rate 192 less five: codes of a smaller picture see more
  }
});
