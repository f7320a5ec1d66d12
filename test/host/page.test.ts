import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Browser, launchBrowser } from "../../src/host/chromium.ts";
import { openPage, type Page } from "../../src/host/page.ts";

const folder = mkdtempSync(join(tmpdir(), "kinema-page-"));
const bundle = join(folder, "functions.js");

async function rejection(promise: Promise<unknown>): Promise<Error & { code?: string; details?: unknown }> {
  return promise.then(
    () => expect.unreachable("it should have failed"),
    (error) => error,
  );
}

describe("a page in headless Chromium", () => {
  let browser: Browser;
  let page: Page;
  beforeAll(async () => {
    await build({ entryPoints: ["test/host/page_functions.ts"], bundle: true, format: "esm", outfile: bundle });
    browser = await launchBrowser();
    page = await openPage(browser, { bundle, roots: { data: folder } });
  }, 120_000);
  afterAll(async () => {
    await page?.close();
    await browser?.close();
    rmSync(folder, { recursive: true });
  });

  it("names adapter and browser in one line", () => {
    expect(browser.adapterDescription).toMatch(/^.+, \S*Chrom\S*\/\d+[^\n]*$/);
  });

  it("is cross-origin isolated and a secure context", async () => {
    expect(await page.call("isolated")).toBe(true);
  });

  it("imports a VideoFrame as an external texture with its exact colour", async () => {
    const colour = await page.call<Float32Array>("frameColour", { rgb: [200, 100, 50] });
    expect([...colour].map((value) => Math.round(value * 255))).toEqual([200, 100, 50, 255]);
  });

  it("carries plain data and typed arrays both ways", async () => {
    const value = {
      text: 'quote " and ü',
      list: [1, -2.5, null, [true, false]],
      odd: [Number.NaN, Number.NEGATIVE_INFINITY],
      bytes: new Uint8Array([1, 2, 3]),
      floats: new Float32Array([0.1, Number.NaN, -0]).subarray(1),
      empty: new Float64Array(0),
      wide: new BigInt64Array([-(2n ** 62n)]),
    };
    const back = await page.call("echo", value);
    expect(back).toEqual(value);
    expect(await page.call("echo")).toBeUndefined();
  });

  it("carries 20 MB without loss", async () => {
    const words = Uint32Array.from({ length: 5_000_003 }, (_, index) => (index * 2654435761) >>> 0);
    const back = await page.call<{ words: Uint32Array }>("echo", { words });
    expect(
      Buffer.compare(
        Buffer.from(back.words.buffer, back.words.byteOffset, back.words.byteLength),
        Buffer.from(words.buffer),
      ),
    ).toBe(0);
  });

  it("reads files by address, in ranges", async () => {
    writeFileSync(join(folder, "clip.bin"), "0123456789");
    expect(await page.call("read", { url: page.file(join(folder, "clip.bin")), range: "bytes=3-5" })).toBe("206 345");
    expect(await page.call("read", { url: `${page.root("data")}/clip.bin`, range: "bytes=-2" })).toBe("206 89");
  });

  it("keeps a KinemaError's code and details", async () => {
    const error = await rejection(page.call("refuse"));
    expect(error).toMatchObject({
      name: "KinemaError",
      code: "weights-mismatch",
      details: { missing: ["a", "b", "c"] },
    });
    expect(error.message).toBe("three tensors are missing: a, b, c; give another file");
  });

  it("makes any other error one line", async () => {
    expect((await rejection(page.call("stumble"))).message).toBe("RangeError in the page: first line");
    expect((await rejection(page.call("unsendable"))).message).toMatch(/cannot send value\.at/);
    expect((await rejection(page.call("constructor"))).message).toMatch(/no function constructor/);
    expect((await rejection(page.call("lateError"))).message).toMatch(/nobody caught this$/);
    expect(await page.call("echo", 5)).toBe(5);
  });

  it("reports progress in order, before the result", async () => {
    const seen: unknown[] = [];
    expect(await page.call("count", { to: 3 }, { onProgress: (value) => seen.push(value) })).toBe("counted");
    expect(seen).toEqual([1, 2, 3].map((step) => ({ step, of: 3 })));
  });

  it("aborts a call that listens at once, and one that does not within the grace time", async () => {
    for (const [deaf, least, most] of [
      [false, 0, 1500],
      [true, 1900, 5000],
    ] as const) {
      const controller = new AbortController();
      const start = performance.now();
      const call = rejection(page.call("wait", { deaf }, { signal: controller.signal }));
      controller.abort(new Error("enough"));
      expect((await call).message).toBe("enough");
      expect(performance.now() - start).toBeGreaterThanOrEqual(least);
      expect(performance.now() - start).toBeLessThan(most);
    }
    await expect(page.call("echo", 1, { signal: AbortSignal.abort(new Error("before")) })).rejects.toThrow("before");
  });

  it("notices a call without progress when asked to", async () => {
    const error = await rejection(page.call("wait", { deaf: true }, { stallMs: 200 }));
    expect(error).toMatchObject({ code: "device-lost", message: "the page made no progress with wait for 200 ms" });
  });

  it("refuses a bundle that does not load, saying why", async () => {
    const wrong = join(folder, "wrong.js");
    writeFileSync(wrong, "export const serve = 1; syntax error");
    expect((await rejection(openPage(browser, { bundle: wrong }))).message).toMatch(/SyntaxError|did not load/);
  });

  it("notices a crashed page, and goes on with another", async () => {
    const other = await openPage(browser, { bundle });
    const call = rejection(other.call("wait", { deaf: true }));
    const tabs = await browser.puppeteer.pages();
    tabs
      .at(-1)!
      .goto("chrome://crash")
      .catch(() => {});
    expect(await call).toMatchObject({ code: "device-lost" });
    expect(await rejection(other.call("echo"))).toMatchObject({ code: "device-lost" });
    await other.close();
    expect(await page.call("echo", "alive")).toBe("alive");
  });

  it("notices that the browser was killed, and leaves no profile behind", async () => {
    const doomed = await launchBrowser();
    const flag = doomed.puppeteer.process()!.spawnargs.find((argument) => argument.startsWith("--user-data-dir="))!;
    const profile = flag.slice("--user-data-dir=".length);
    expect(existsSync(profile)).toBe(true);
    const other = await openPage(doomed, { bundle });
    const call = rejection(other.call("wait", { deaf: true }));
    process.kill(doomed.puppeteer.process()!.pid!, "SIGKILL");
    expect(await call).toMatchObject({ code: "device-lost" });
    await other.close();
    await doomed.close();
    expect(existsSync(profile)).toBe(false);
  }, 60_000);
});
