// The bench's page in headless Chromium: what it draws of reports, on a wide page and on a phone's.
import { rmSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Page } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { readReport } from "../bench/report.ts";
import { type Browser, launchBrowser } from "../src/host/chromium.ts";
import { report, result, rivalResult, timing } from "./bench_report.ts";
import { Workspace } from "./cli/workspace.ts";

const { buildPage, servePage } = await import(pathToFileURL(resolve("tools/bench_page.mjs")).href);
const files = new Workspace();
let browser: Browser;
let served: { url: string; close(): void };
let page: Page;
const complaints: string[] = [];

const model = {
  ...{
    cold: { parse: 30, pack: 50, compile: 300, first: 400 },
    ms: 100,
    p95: 130,
    networkMs: 90,
    runs: 9,
    framesPerSecond: 10,
  },
  ...{ dispatches: 60, bytes: { planned: 6e6, lowerBound: 6e6, naive: 2e7, weights: 1.4e7 } },
};
const whole = report([result("a", 6), { ...result("b", null), about: "[5]" }], {
  models: [{ name: "m", about: "1x224", refused: null, timing: model }],
  rivals: [rivalResult("conv", "tfjs", 3), rivalResult("conv", "ort-wasm", 0.25)],
});
const other = report([{ ...result("a", 3), timing: { ...timing(3), bound: "load" } }], {
  ...{ date: "2026-02-03T04:05:06Z", commit: "def", adapter: "another", driver: "its driver" },
});

beforeAll(async () => {
  await buildPage();
  files.write("one-node.json", JSON.stringify(whole));
  files.write("two-deno.json", JSON.stringify(other));
  served = await servePage({ port: 0, results: files.folder });
  browser = await launchBrowser();
  page = await browser.puppeteer.newPage();
  page.on("console", (line) => complaints.push(line.text()));
  page.on("pageerror", (error) => complaints.push((error as Error).message));
}, 120_000);
afterAll(async () => {
  await browser?.close();
  served?.close();
  files.remove();
});

/** The page anew, `width` pixels wide. */
async function open(width: number): Promise<void> {
  await page.setViewport({ width, height: 800 });
  await page.goto(served.url);
  await page.waitForFunction(() => document.getElementById("adapter")!.textContent !== "Opening the GPU…");
}

const choose = async (...paths: string[]) => (await page.$("input#file"))!.uploadFile(...paths);
const said = (text: string) =>
  page.waitForFunction((wanted) => document.getElementById("message")!.textContent === wanted, {}, text);

const COLOURS = ["--series-1", "--series-2", "--series-3", "--series-4", "--other"];

/** The charts by what a screen reader says of them, and which colours their bars have. */
const colours = (): Promise<Record<string, string[]>> =>
  page.evaluate((known) => {
    const css = getComputedStyle(document.documentElement);
    const seen = (canvas: HTMLCanvasElement) => {
      const { width, height } = canvas;
      const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;
      copy.drawImage(canvas, 0, 0);
      const words = new Uint32Array(copy.getImageData(0, 0, width, height).data.buffer);
      return known.filter((name) => {
        const [red, green, blue] = [1, 3, 5].map((at) => Number(`0x${css.getPropertyValue(name).slice(at, at + 2)}`));
        return words.includes(((255 << 24) | (blue! << 16) | (green! << 8) | red!) >>> 0);
      });
    };
    const all = [...document.querySelectorAll("canvas")];
    return Object.fromEntries(all.map((canvas) => [canvas.getAttribute("aria-label"), seen(canvas)]));
  }, COLOURS);

/** Charts are drawn behind the next frame. */
const drawn = (wanted: Record<string, string[]>) =>
  vi.waitFor(async () => expect(await colours()).toMatchObject(wanted), { timeout: 10_000, interval: 100 });

const REPORT = {
  "Share of the nearest ceiling that each kernel reaches": ["--series-1"],
  "Cold start of each model by stage": COLOURS.slice(0, 4),
  "Steady run of each model, median and 95th percentile": ["--series-1"],
  "Times as long as Kinema, by case and engine": ["--series-1", "--series-2"],
};

/** Texts of the cells of the table with that caption. */
const cells = (caption: string): Promise<string[][]> =>
  page.evaluate((wanted) => {
    const table = [...document.querySelectorAll("table")].find((one) => one.caption?.textContent === wanted);
    return [...table!.rows].map((row) => [...row.cells].map(({ textContent }) => textContent!));
  }, caption);

const fits = () => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);

describe("the bench's page", () => {
  it.each([1280, 390])("draws a report %i pixels wide, its numbers beside it", async (width) => {
    await open(width);
    await choose(files.path("one-node.json"));
    await said("Shown. Drop another to compare.");
    await drawn(REPORT);
    expect(await cells("Share of the nearest ceiling that each kernel reaches")).toEqual([
      ["kernel", "ms", "GFLOP/s", "reached", "ceiling", "load-aware"],
      ["a [4, 4]", "6.000", "1.00", "50 %", "multiply-adds", "60 %"],
      ["b [5]", "refused: element 0 is 1"],
    ]);
    expect((await cells("Times, dispatches and memory of each model"))[1]).toEqual([
      "m 1x224",
      "30.0",
      "50.0",
      "300.0",
      "400.0",
      "100.0",
      "130.0",
      "90.0",
      "10.0",
      "60",
      "6.00",
      "6.00",
      "20.00",
      "14.00",
    ]);
    expect((await cells("Times as long as Kinema, by case and engine")).map((row) => row[4])).toEqual([
      "times as long",
      "3.00",
      "0.25",
    ]);
    expect(await fits()).toBe(true);
  });

  it("compares two, the older one first, and draws anew in the dark", async () => {
    await open(1280);
    await choose(files.path("two-deno.json"), files.path("one-node.json"));
    await said("Compared.");
    const compared = { "Time of a run before and after": ["--series-1", "--other"], ...REPORT };
    await drawn(compared);
    expect((await cells("Time of a run before and after"))[1]).toEqual([
      "a [4, 4]",
      "6.000",
      "3.000",
      "2.00 x as fast",
    ]);
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "dark" }]);
    await drawn(compared);
  });

  it.each([1280, 390])("draws all that is on record into one page %i pixels wide", async (width) => {
    await open(width);
    await page.click("#record");
    await said("2 on record.");
    expect(await cells("Reports on record")).toEqual([
      ["", "adapter", "driver", "runtime", "date", "commit", ""],
      ["one-node", "a", "d", "b", "2026-01-02 03:04 UTC", "abc", "quick"],
      ["two-deno", "another", "its driver", "b", "2026-02-03 04:05 UTC", "def", "quick"],
    ]);
    expect(await cells("Share of the nearest ceiling, by case and adapter")).toEqual([
      ["case", "one-node", "two-deno"],
      ["a [4, 4]", "50 %, 6.000 ms", "50 %, 3.000 ms"],
      ["b [5]", "-", "-"],
    ]);
    const together = {
      "Share of the nearest ceiling, by case and adapter": ["--series-1", "--series-2"],
      "Time of a steady run, by case and adapter": ["--series-1"],
    };
    await drawn(together);
    await page.evaluate(() => [...document.querySelectorAll("summary")].at(-1)!.click());
    await drawn({ ...together, "Share of the nearest ceiling that each kernel reaches": ["--series-2"] });
    expect(await fits()).toBe(true);
  });

  it("is served, and no other file", async () => {
    const { url } = served;
    expect(await (await fetch(url)).text()).toContain("<title>Kinema: bench</title>");
    expect(await (await fetch(`${url}page.js`)).text()).toContain("kinema-bench-1");
    for (const path of ["package.json", "rival/models/..%2fort.ts", "rival/models/", "rival/ort/../../package.json"])
      expect((await fetch(url + path)).status, path).toBe(404);
  });

  it("can read what is kept in bench/results", async () => {
    const { url, close } = await servePage({ port: 0 });
    for (const { file, text } of await (await fetch(`${url}results.json`)).json()) readReport(text, file);
    close();
  });

  it("says so where nothing is on record, and complains of nothing", async () => {
    for (const name of ["one-node.json", "two-deno.json"]) rmSync(files.path(name));
    await open(390);
    await page.click("#record");
    await said("Nothing is on record: npm run bench -- --json bench/results/ADAPTER-PLACE.json puts a report there.");
    expect(complaints).toEqual([]);
  });
});
