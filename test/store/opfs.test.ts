// A store in the browser's origin-private file system, kept by a worker in a real Chromium.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Browser, launchBrowser } from "../../src/host/chromium.ts";
import { openPage, type Page } from "../../src/host/page.ts";

let folder: string;
let browser: Browser;
let page: Page;
let code: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "kinema-test-"));
  const options = { bundle: true, target: "es2022", logLevel: "error" } as const;
  const bundle = join(folder, "page.js");
  await build({ entryPoints: ["test/store/page/main.ts"], outfile: bundle, format: "esm", ...options });
  const worker = join(folder, "worker.js");
  await build({ entryPoints: ["test/store/page/worker.ts"], outfile: worker, format: "iife", ...options });
  code = await readFile(worker, "utf8");
  browser = await launchBrowser();
  page = await openPage(browser, { bundle });
}, 120_000);
afterAll(async () => {
  await page?.close();
  await browser?.close();
  await rm(folder, { recursive: true, force: true });
});

it("records, resumes, reads while recording, and keeps a second writer out", async () => {
  expect(await page.call("inWorker", { code, task: "record" })).toEqual({
    resumed: 41,
    same: true,
    second: "bad-input: films/a.kvc: in use by another worker or tab; close it there",
    closed: "closed: films/a.kvc is closed",
    missing: "bad-input: films/b.kvc: no such file in OPFS; check the path",
  });
}, 60_000);

it("goes on after a crash", async () => {
  expect(await page.call("inWorker", { code, task: "recover" })).toEqual({ resumed: 59, same: true });
}, 60_000);

it("is read by the page as a file, and written in a worker only", async () => {
  const { steps, refused } = await page.call<{ steps: number; refused: string }>("fromPage");
  expect(steps).toBe(60);
  expect(refused).toBe("unsupported: OPFS files open in a dedicated worker only; open the store there");
}, 60_000);
