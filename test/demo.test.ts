// The demo page in headless Chromium, with a file as the camera and with a file chosen by the user.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import type { Page } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Pace } from "../bench/demo/pace.ts";
import { type Browser, launchBrowser } from "../src/host/chromium.ts";

const folder = mkdtempSync(join(tmpdir(), "kinema-demo-"));
const CAMERA = join(folder, "camera.y4m");
const CLIP = resolve("bench/assets/motion.webm");
const WEIGHTS = resolve("weights/kinema-motion.safetensors");

/** Waves that repeat every `world` pixels, seen through a window that moves right: a pan that never ends, slow enough for SwiftShader. */
function panningY4m(width: number, height: number, world: number, step: number): Buffer {
  const wave = (x: number, y: number) => {
    let sum = 0;
    for (let k = 1; k <= 12; k++)
      sum += Math.sin((2 * Math.PI * ((k * 5) % 17) * x) / world + ((k * 7919) % 13) + (y * ((k * 3) % 7)) / 40);
    return 126 + 9 * sum;
  };
  const parts = [Buffer.from(`YUV4MPEG2 W${width} H${height} F4:1 Ip A1:1 C420jpeg\n`)];
  for (let left = 0; left < world; left += step) {
    const luma = Buffer.alloc(width * height);
    for (let i = 0; i < luma.length; i++) luma[i] = wave(left + (i % width), Math.floor(i / width));
    parts.push(Buffer.from("FRAME\n"), luma, Buffer.alloc((width * height) / 2, 128));
  }
  return Buffer.concat(parts);
}

describe("pace", () => {
  const taken = (fps: number, source: number) => {
    const pace = new Pace(fps);
    return Array.from({ length: 13 }, (_, i) => i).filter((i) => pace.judge(100 + i / source) !== "skip");
  };

  it("takes every n-th frame", () => {
    expect(taken(15, 30)).toEqual([0, 2, 4, 6, 8, 10, 12]);
    expect(taken(15, 25)).toEqual([0, 2, 4, 6, 8, 10, 12]);
    expect(taken(15, 60)).toEqual([0, 4, 8, 12]);
    expect(taken(15, 12)).toHaveLength(13);
  });

  it("begins anew after a gap, a jump back and a frame that comes again", () => {
    const pace = new Pace(10);
    const times = [5, 5.1, 7, 7.1, 2, 2.1, 2.1];
    expect(times.map((time) => pace.judge(time))).toEqual(["fresh", "take", "fresh", "take", "fresh", "take", "skip"]);
  });
});

// In real time, so it needs the machine to itself: KINEMA_LONG=1 npx vitest run test/demo.test.ts
describe.skipIf(!existsSync(WEIGHTS) || !process.env.KINEMA_LONG)("the demo page", () => {
  let browser: Browser;
  let demo: { url: string; close(): void };
  let page: Page;
  const complaints: string[] = [];

  const text = (id: string) => page.$eval(`#${id}`, (element) => element.textContent);
  const until = (test: string) => page.waitForFunction(test, { timeout: 30_000, polling: 50 });
  const message = (part: string) => until(`document.querySelector("#message").textContent.includes("${part}")`);
  const label = (name: string) => until(`document.querySelector("#label").textContent === "${name}"`);
  const choose = async (path: string) => (await page.$("input#file"))!.uploadFile(path);

  async function open(before: () => void = () => {}): Promise<void> {
    await page?.close();
    page = await browser.puppeteer.newPage();
    page.on("console", (line) => complaints.push(line.text()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    await page.evaluateOnNewDocument(before);
    await page.goto(demo.url);
  }

  beforeAll(async () => {
    writeFileSync(CAMERA, panningY4m(160, 120, 480, 3));
    const { serveDemo } = await import(pathToFileURL(resolve("tools/demo.mjs")).href);
    const script = join(folder, "demo.js");
    await build({
      entryPoints: ["bench/demo/demo.ts"],
      bundle: true,
      format: "esm",
      target: "es2022",
      outfile: script,
    });
    demo = await serveDemo({ port: 0, files: { "/demo.js": script } });
    const camera = ["device", "ui"].map((what) => `--use-fake-${what}-for-media-stream`);
    browser = await launchBrowser({ flags: [...camera, `--use-file-for-fake-video-capture=${CAMERA}`] });
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    demo?.close();
    rmSync(folder, { recursive: true });
  });

  it("names the motion of the camera, seen as in a mirror, and counts frames", async () => {
    await open(() => {
      const request = GPUAdapter.prototype.requestDevice;
      GPUAdapter.prototype.requestDevice = async function (...given) {
        const device = await request.apply(this, given);
        Object.assign(globalThis, { device });
        return device;
      };
    });
    await message("Ready");
    expect(await text("adapter")).toMatch(/\w+ \w+/);
    await page.click("#camera");
    await label("pan left");
    await until(`Number(document.querySelector("#fps").textContent) > 0`);
    for (const stage of ["wait", "submit", "gpu"]) expect(await text(stage)).toMatch(/^\d+\.\d ms$/);
    const shown = await text("gpu");
    await until(`document.querySelector("#gpu").textContent !== "${shown}"`);
  }, 60_000);

  it("takes a file while the camera runs, and stops", async () => {
    await choose(CLIP);
    await message("Watching motion.webm");
    await label("pan right");
    expect(await page.$eval("video", (video) => [video.srcObject, video.paused])).toEqual([null, false]);
    await page.click("#stop");
    await message("Stopped");
    expect(await page.$eval("#stop", (button) => (button as HTMLButtonElement).disabled)).toBe(true);
  }, 60_000);

  it("says that a file is no video", async () => {
    await choose(resolve("package.json"));
    await message("package.json is not a video");
  });

  it("goes on with a new device after the old one was lost", async () => {
    await page.click("#camera");
    await label("pan left");
    await page.evaluate("device.destroy()");
    await message("lost");
    await page.click("#camera");
    await label("pan left");
  }, 60_000);

  it("closes every frame and has nothing to complain of", async () => {
    const client = await page.createCDPSession();
    await client.send("HeapProfiler.collectGarbage");
    await new Promise((done) => setTimeout(done, 300));
    expect(complaints).toEqual([]);
  });

  it("says that there is no camera, and that there is no WebGPU", async () => {
    await open(() => {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("none", "NotFoundError"));
    });
    await message("Ready");
    await page.click("#camera");
    await message("There is no camera");
    await open(() => Object.defineProperty(Navigator.prototype, "gpu", { value: undefined }));
    await message("WebGPU");
    expect(await page.$eval("#camera", (button) => (button as HTMLButtonElement).disabled)).toBe(true);
    expect(complaints).toEqual([]);
  }, 60_000);
});
