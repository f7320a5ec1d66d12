// The recorder's page in headless Chromium: a file into a store, any moment of it looked at, and what goes wrong.
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CODES_TRACK, FrameDecoder } from "../../src/compressor.ts";
import { pageBundle } from "../../src/host/bundle.ts";
import { fileSource } from "../../src/host/file_source.ts";
import type { CompressionInfo, OpenCompressionArgs } from "../../src/host/page/compress.ts";
import { openPage } from "../../src/host/page.ts";
import { type Codes, createStore, MemoryFile, openStore, type StoreReader } from "../../src/store/index.ts";
import { fromBytes } from "../../src/weights/byte_source.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import { useGpu } from "../gpu.ts";
import { RecorderPage } from "./recorder_page.ts";
import { slowClip } from "./slow_clip.ts";

const RATE = "384";
const WEIGHTS = resolve(`weights/kinema-compressor-${RATE}.safetensors`);
/** Frames of a chunk: five steps of two, of a clip with ten a second. */
const SECOND = 10;

/** From the word "full" on, no file grows: Chromium takes a megabyte of the quota at once, which is more than a test records. */
const DISC = `
  const disc = new BroadcastChannel("disc");
  let full = false;
  disc.onmessage = ({ data }) => { full = data === "full"; };
  const { write } = FileSystemSyncAccessHandle.prototype;
  FileSystemSyncAccessHandle.prototype.write = function (bytes, options) {
    if (full && options.at + bytes.byteLength > this.getSize()) throw new DOMException("no room", "QuotaExceededError");
    return write.call(this, bytes, options);
  };`;

const fixture = useGpu();
let recorder: RecorderPage;
let clip: string;
let decoder: FrameDecoder | null = null;
beforeAll(async () => {
  recorder = await RecorderPage.start({ prelude: DISC });
  clip = write("motion.webm", await slowClip(resolve("bench/assets/motion.webm"), 200, 2.5));
  await recorder.open();
  await recorder.message("Choose what to record");
}, 120_000);
afterAll(async () => {
  decoder?.dispose();
  await recorder?.close();
});

/** Puts a file into the test's folder; its path. */
function write(name: string, bytes: Uint8Array | string): string {
  const path = join(recorder.folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** The newest recording, downloaded. */
async function newest(): Promise<{ name: string; bytes: Uint8Array; reader: StoreReader }> {
  const [name] = await recorder.recordings();
  const bytes = await recorder.downloaded(name!);
  return { name: name!, bytes, reader: await openStore(fromBytes(bytes, name!)) };
}

/** Waits until the page shows a frame of the store, decoded here as well. */
async function shows(reader: StoreReader, frame: number): Promise<void> {
  const { width, height } = reader.description;
  decoder ??= await FrameDecoder.create(fixture.gpu, await openCheckpoint(await fileSource(WEIGHTS)), {
    steps: 1,
    width,
    height,
  });
  const frames: Uint8ClampedArray[] = [];
  const step = Math.floor(frame / 2);
  for await (const pixels of decoder.frames(await reader.read(step, step + 1))) frames.push(pixels);
  const want = frames[frame % 2]!;
  let most = 255;
  for (let tries = 0; tries < 100 && most > 1; tries++) {
    const got = await recorder.picture();
    expect(got.length).toBe(want.length);
    most = want.reduce((so, value, i) => Math.max(so, Math.abs(value - got[i]!)), 0);
  }
  // Adapters differ in the last bit, which rounding may turn into a level.
  expect(most).toBeLessThanOrEqual(1);
}

describe("a file", () => {
  it("says of every rate what it means", async () => {
    for (const rate of ["30", "192", "384"])
      await recorder.until(
        `/^[\\d.]+ kB a second at 30 frames; [\\d.]+ dB on footage/.test(document.querySelector('input[value="${rate}"] ~ span').textContent)`,
      );
  });

  it("is recorded with the codes that kinema compress writes, and can be looked at meanwhile", {
    timeout: 240_000,
  }, async () => {
    await recorder.choose("file", clip);
    await recorder.message("Ready to record motion.webm");
    await recorder.rate(RATE);
    await recorder.press("record");
    await recorder.frames(SECOND);
    // Pointed at faster than anything can be decoded: the last one stays.
    await recorder.point(...Array.from({ length: 200 }, (_, i) => (i * 7) % SECOND), 7);
    await recorder.until(`document.querySelector("#time").textContent.startsWith("0:00:00.70 of")`);
    expect(await recorder.text("dropped")).toBe("0");
    expect(Number(await recorder.text("fps"))).toBeGreaterThan(0);
    await recorder.press("stop");
    await recorder.message("Stopped");
    const { reader } = await newest();
    const steps = reader.steps(CODES_TRACK);
    expect(steps).toBeGreaterThanOrEqual(SECOND / 2);
    expect(reader.faults).toEqual([]);
    const page = await openPage(recorder.browser, { bundle: pageBundle() });
    const call: OpenCompressionArgs = {
      ...{ videoUrl: page.file(clip), videoName: "motion.webm" },
      ...{ weightsUrl: page.file(WEIGHTS), weightsName: WEIGHTS },
    };
    const info = await page.call<CompressionInfo>("openCompression", call);
    expect(reader.description).toEqual(info.description);
    for (const from of [0, 4]) {
      const codes = await page.call<Codes>("nextCodes", { from: 0 });
      expect(await reader.read(from, from + 4)).toEqual(codes);
    }
    await page.close();
  });

  it("the frame that is pointed at is the one that the codes decode to", { timeout: 180_000 }, async () => {
    const { reader } = await newest();
    await recorder.point(...Array.from({ length: 100 }, (_, i) => (i * 3) % SECOND), 7);
    await shows(reader, 7);
    await recorder.page.focus("#seek");
    await recorder.page.keyboard.press("ArrowRight");
    await shows(reader, 8);
    await recorder.page.keyboard.press("Home");
    await shows(reader, 0);
    expect(await recorder.page.$eval("#seek", (seek) => seek.getAttribute("aria-valuetext"))).toBe("0:00:00.00");
    // A mouse that passes over shows what is there, and leaves the position.
    const box = (await (await recorder.page.$("#seek"))!.boundingBox())!;
    await recorder.page.mouse.move(box.x + box.width - 0.5, box.y + 10);
    const last = 2 * reader.steps() - 1;
    await shows(reader, last);
    await recorder.page.mouse.move(0, 0);
    await shows(reader, 0);
  });

  it("plays to its end", { timeout: 180_000 }, async () => {
    const { reader } = await newest();
    const last = 2 * reader.steps() - 1;
    await recorder.point(last - 8);
    await recorder.press("play");
    await recorder.until(`document.querySelector("#play").textContent === "Pause"`);
    await recorder.until(`document.querySelector("#play").textContent === "Play"`);
    expect(await recorder.page.$eval("#seek", (seek) => (seek as HTMLInputElement).value)).toBe(String(last));
    await shows(reader, last);
  });

  it("a page that is loaded anew in the middle of a recording keeps what was committed", {
    timeout: 180_000,
  }, async () => {
    const both = `document.querySelectorAll("#recordings li").length === 2`;
    await recorder.press("record");
    await recorder.until(both); // until then the frames are those of the recording before
    await recorder.frames(SECOND);
    const [name] = await recorder.recordings();
    await recorder.page.reload();
    await recorder.message("Choose what to record");
    await recorder.until(both);
    expect(await recorder.recordings()).toContain(name);
    await recorder.act(name!, "Open");
    await recorder.message(`${name}: point at a moment`);
    const frames = 1 + Number(await recorder.page.$eval("#seek", (seek) => (seek as HTMLInputElement).max));
    expect(frames).toBeGreaterThanOrEqual(SECOND);
    expect(frames % SECOND).toBe(0);
    const reader = await openStore(fromBytes(await recorder.downloaded(name!), name!));
    await recorder.point(frames - 1);
    await shows(reader, frames - 1);
  });

  it("a recording is deleted only when asked twice", async () => {
    const [name, other] = await recorder.recordings();
    recorder.page.once("dialog", (dialog) => dialog.dismiss());
    await recorder.act(name!, "Delete");
    await recorder.until(`!document.querySelector("#message").textContent.includes("Deleted")`);
    expect(await recorder.recordings()).toContain(name);
    recorder.page.once("dialog", (dialog) => dialog.accept());
    await recorder.act(name!, "Delete");
    await recorder.message(`Deleted ${name}`);
    expect(await recorder.recordings()).toEqual([other]);
  });
});

describe("what goes wrong is said in one line", () => {
  const alert = async (part: string) => {
    await recorder.message(part);
    expect(await recorder.page.$eval("#message", (line) => line.className)).toBe("alert");
  };

  it("files that are no video, no store, or a store of other weights", { timeout: 180_000 }, async () => {
    await recorder.choose("file", resolve("package.json"));
    await alert("package.json is not a video");
    await recorder.choose("store", write("no.kvc", "nothing of a store"));
    await alert("no.kvc is not a store");
    const { reader } = await newest();
    for (const [change, line] of [
      [{ quantiser: "0".repeat(64) }, "give the weights that it was written with"],
      [{ model: "somebody-else" }, "was written by somebody-else, which this page has not"],
    ] as const) {
      const file = new MemoryFile();
      const tracks = reader.description.tracks.map((track) => ({ ...track, ...change }));
      await (await createStore(file, { ...reader.description, tracks })).close();
      await recorder.choose("store", write("other.kvc", file.bytes));
      await alert(line);
    }
  });

  it("a disc that is full at the beginning, of which nothing stays", { timeout: 180_000 }, async () => {
    const before = await recorder.recordings();
    await recorder.choose("file", clip);
    await recorder.message("Ready");
    const { usage } = await recorder.page.evaluate(() => navigator.storage.estimate());
    const client = await recorder.page.createCDPSession();
    const { origin } = new URL(recorder.url);
    await client.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: usage! + 100_000 });
    await recorder.press("record");
    await alert("storage is full; free some space");
    await client.send("Storage.overrideQuotaForOrigin", { origin });
    await recorder.page.reload();
    await recorder.message("Choose what to record");
    expect(await recorder.recordings()).toEqual(before);
  });

  it("a disc that gets full, which keeps what was committed before", { timeout: 180_000 }, async () => {
    await recorder.choose("file", clip);
    await recorder.message("Ready");
    await recorder.rate(RATE);
    await recorder.press("record");
    await recorder.frames(SECOND);
    const disc = (word: string) =>
      recorder.page.evaluate((said) => new BroadcastChannel("disc").postMessage(said), word);
    await disc("full");
    await alert("storage is full; free some space");
    await disc("free");
    const { reader } = await newest();
    expect(reader.steps()).toBeGreaterThanOrEqual(SECOND / 2);
    expect((await reader.read(0, reader.steps())).length).toBe(1024 * reader.steps());
    await recorder.point(SECOND - 1);
    await shows(reader, SECOND - 1);
    expect(await recorder.page.$eval("#record", (button) => (button as HTMLButtonElement).disabled)).toBe(false);
  });

  it("no camera, and no WebGPU", { timeout: 180_000 }, async () => {
    await recorder.open(() => {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("none", "NotAllowedError"));
    });
    await recorder.message("Choose what to record");
    await recorder.press("camera");
    await alert("The camera was refused");
    await recorder.open(() => Object.defineProperty(Navigator.prototype, "gpu", { value: undefined }));
    await alert("WebGPU");
    expect(await recorder.page.$eval("#camera", (button) => (button as HTMLButtonElement).disabled)).toBe(true);
    expect(recorder.complaints).toEqual([]);
  });
});
