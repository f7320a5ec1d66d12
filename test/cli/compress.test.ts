// `kinema compress` and `kinema decode`: there and back, broken off in two ways and gone on with, and refusals.
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, describe, expect, it } from "vitest";
import { launchBrowser } from "../../src/host/chromium.ts";
import { fileSource } from "../../src/host/file_source.ts";
import { openPage } from "../../src/host/page.ts";
import { openStore } from "../../src/store/index.ts";
import { fromBytes } from "../../src/weights/byte_source.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import { dataFile, hasData } from "../data.ts";
import { slowClip } from "../recorder/slow_clip.ts";
import { expectRefusal, kinema, ROOT, start } from "./kinema.ts";
import type { Similar } from "./page/similar.ts";
import { Workspace } from "./workspace.ts";

const files = new Workspace();
afterAll(() => files.remove());

const clip = `${ROOT}bench/assets/motion.webm`; // 400 frames of 320 x 240 at 25 a second: 200 steps
const SECOND = 13; // steps of a chunk
const store = files.path("clip.kvc");
const SIZE = 96;
/** Five decibels below the card's worst scene at rate 192: this picture is smaller, so a code sees more of a room, and VP9 takes its share. */
const LEAST_PSNR = 17;

const sleep = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** Steps that a reader sees now; 0 while there is no store. */
async function readable(path: string): Promise<number> {
  if (!existsSync(path)) return 0;
  const reader = await openStore(await fileSource(path)).catch(() => null);
  return reader?.steps() ?? 0;
}

/** A module that lets a process write `room` bytes to files that it holds open, 1000 at a time. */
function smallDisk(room: number): string {
  return files.write(
    "disk.mjs",
    `import { open } from "node:fs/promises";
const handle = await open(process.execPath);
const handles = Object.getPrototypeOf(handle);
await handle.close();
const { write } = handles;
let room = ${room};
handles.write = async function (bytes, from, length, at) {
  if (room <= 0) throw Object.assign(new Error("full"), { code: "ENOSPC" });
  const part = Math.min(length, 1000, room);
  room -= part;
  return write.call(this, bytes, from, part, at);
};
`,
  );
}

/** Compresses until at least `steps` are committed, then sends a signal. */
async function breakOff(path: string, steps: number, signal: "SIGINT" | "SIGKILL") {
  const { child, ended } = start(["compress", clip, path, "--size", String(SIZE)]);
  for (const end = performance.now() + 100_000; performance.now() < end && child.exitCode === null; await sleep(50))
    if ((await readable(path)) >= steps) break;
  child.kill(signal);
  return { ...(await ended), steps: await readable(path) };
}

describe("kinema compress and kinema decode", () => {
  it("Ctrl-C leaves all that was done in a store that can be read", { timeout: 120_000 }, async () => {
    const { code, stderr, steps } = await breakOff(store, SECOND, "SIGINT");
    expect([code, stderr]).toEqual([130, "kinema: stopped by SIGINT\n"]);
    expect(steps).toBeGreaterThanOrEqual(SECOND);
    expect(steps).toBeLessThan(200);
    expect(existsSync(`${store}.lock`)).toBe(false);
    const { description } = await openStore(await fileSource(store));
    expect(description).toMatchObject({ width: SIZE, height: SIZE, fps: [25, 1], source: "motion.webm" });
    expect(description.sourceHash).toMatch(/^[0-9a-f]{64}$/);
    expect(description.tracks[0]).toMatchObject({ model: "kinema-compressor-192", stride: [2, 8, 8], grid: [12, 12] });
  });

  it("goes on where it ended, through a kill as well, and the codes are those of one run", {
    timeout: 240_000,
  }, async () => {
    const before = await readable(store);
    const killed = await breakOff(store, before + SECOND, "SIGKILL");
    expect(killed.stderr).toContain(`${store}: ${before} of 200 steps are there; going on\n`);
    expect(killed.steps).toBeGreaterThanOrEqual(before + SECOND);
    const whole = files.path("whole.kvc");
    await breakOff(whole, before + SECOND, "SIGINT");
    const count = Math.min(await readable(whole), killed.steps);
    expect(count).toBeGreaterThanOrEqual(before + SECOND);
    const [resumed, once] = await Promise.all([openStore(await fileSource(store)), openStore(await fileSource(whole))]);
    expect(await resumed.read(0, count)).toEqual(await once.read(0, count));
  });

  it("decodes a part to a WebM file that looks like the video there", { timeout: 120_000 }, async () => {
    const out = files.path("part.webm");
    const { code, stdout, stderr } = await kinema("decode", store, out, "--from", "0.4", "--to", "1.2");
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain(`${out}: 20 frames of ${SIZE} x ${SIZE}`);
    const bundle = files.path("similar.js");
    const options = { bundle: true, format: "esm", target: "es2022", logLevel: "error" } as const;
    await build({ entryPoints: [join(import.meta.dirname, "page/similar.ts")], outfile: bundle, ...options });
    const browser = await launchBrowser();
    try {
      const page = await openPage(browser, { bundle });
      const compare = (first: number) =>
        page.call<Similar>("similar", { original: page.file(clip), decoded: page.file(out), first });
      const there = await compare(10);
      expect(there).toMatchObject({ frames: 20, width: SIZE, height: SIZE });
      expect(there.fps).toBeCloseTo(25, 1);
      expect(Math.min(...there.psnr)).toBeGreaterThan(LEAST_PSNR);
    } finally {
      await browser.close();
    }
  });

  it("a full disk ends it in a line, and nothing is left behind", { timeout: 120_000 }, async () => {
    const out = files.path("full.webm");
    const environment = { NODE_OPTIONS: `--import=${smallDisk(4000)}` };
    const { code, stderr } = await start(["decode", store, out, "--from", "0.4", "--to", "1.2"], environment).ended;
    expect([code, stderr]).toEqual([2, expect.stringMatching(/^kinema: \S+: the disk is full; free some space\n$/)]);
    expect(readdirSync(files.folder).filter((name) => name.startsWith("full"))).toEqual([]);
  });

  it("refuses weights that the store was not written with", async () => {
    const name = "kinema-compressor-192.safetensors";
    const bytes = new Uint8Array(readFileSync(`${ROOT}weights/${name}`));
    const { tensors } = await openCheckpoint(fromBytes(bytes, name));
    bytes[tensors.get("quantiser.codebook")!.offset!]! ^= 1;
    const other = files.write("other.safetensors", bytes);
    const out = files.path("wrong.webm");
    await expectRefusal(["decode", store, out, "--weights", other], /quantiser [0-9a-f]{12}.*give the weights/);
    expect(existsSync(out)).toBe(false);
  }, 60_000);

  it("refuses what cannot be done before anything is written", async () => {
    const out = files.path("none.kvc");
    await expectRefusal(["compress", clip, out, "--size", "100"], /--size 100.*multiple of 8/);
    await expectRefusal(["compress", clip, out, "--rate", "50"], /30, 192/);
    await expectRefusal(
      ["compress", clip, out, "--weights", `${ROOT}weights/kinema-motion.safetensors`],
      /no compressor/,
    );
    await expectRefusal(["decode", clip, files.path("x.webm")], /./);
    await expectRefusal(
      ["decode", store, files.path("x.webm"), "--from", "soon"],
      /--from soon is no time; give seconds/,
    );
    await expectRefusal(
      ["decode", store, files.path("x.webm"), "--from", "0:00:02", "--to", "1"],
      /--to 1 is not after/,
    );
    await expectRefusal(
      ["decode", store, files.path("x.webm"), "--from", "1:00:00"],
      /\d\.\d\d s long; give --from and/,
    );
    expect(existsSync(out)).toBe(false);
  }, 60_000);

  it("decodes over nothing that is there, and compresses over nothing that it reads", { timeout: 60_000 }, async () => {
    const there = files.write("there.webm", "mine");
    const link = files.path("link.webm");
    symlinkSync(files.path("nowhere.webm"), link);
    const before = readFileSync(store);
    for (const out of [there, store, link]) {
      const { code, stdout, stderr } = await start(["decode", store, out], { KINEMA_CHROMIUM: files.path("no") }).ended;
      expect([code, stdout, stderr]).toEqual([
        2,
        "",
        `kinema: ${out} is there already; give another name or remove it\n`,
      ]);
    }
    expect(readFileSync(there, "utf8")).toBe("mine");
    expect(readFileSync(store).equals(before)).toBe(true);
    expect(readlinkSync(link)).toBe(files.path("nowhere.webm"));
    const video = files.write("video.webm", readFileSync(clip));
    await expectRefusal(["compress", video, video], /video\.webm is read itself; give OUT another name/);
    expect(readFileSync(video).equals(readFileSync(clip))).toBe(true);
  });

  it("say as JSON what they made", { timeout: 120_000 }, async () => {
    const short = files.write("short.webm", await slowClip(clip, 30, 1));
    const [codes, back] = [files.path("short.kvc"), files.path("back.webm")];
    const reports = [];
    for (const args of [
      ["compress", short, codes, "--size", "64"],
      ["decode", codes, back, "--to", "0.4"],
    ]) {
      const { code, stdout, stderr } = await kinema(...args, "--json");
      expect([code, stderr]).toEqual([0, ""]);
      expect(stdout).toMatch(/^\{.*\}\n$/);
      reports.push(JSON.parse(stdout));
    }
    const bytes = readFileSync(codes).length;
    const adapter = expect.stringMatching(/./);
    const size = { width: 64, height: 64 };
    expect(reports[0]).toEqual({
      ...{ file: codes, ...size, steps: 15, frames: 30, seconds: 1.2, bytes },
      ...{ ratio: (30 * 64 * 64 * 3) / bytes, packedRatio: 192, adapter },
    });
    expect((await openStore(await fileSource(codes))).steps()).toBe(15);
    const file = { file: back, bytes: readFileSync(back).length };
    expect(reports[1]).toEqual({ ...file, ...size, frames: 10, seconds: 0.4, adapter });
  });

  // Held out of the compressor's training.
  const real = "clips/asl/student.mp4";
  it.skipIf(!hasData(real))(
    "of real footage rANS leaves at most 75 % of the packed codes",
    async () => {
      const out = files.path("student.kvc");
      const { code, stderr } = await kinema("compress", dataFile(real), out);
      expect([code, stderr]).toEqual([0, ""]);
      const { tracks } = JSON.parse((await kinema("info", out, "--json")).stdout);
      const [{ steps, codecs, bytes, packedBytes }] = tracks;
      expect([steps, codecs]).toEqual([26, { rans: 2 }]);
      expect(packedBytes).toBe(26 * 32 * 32 * 2);
      expect(bytes / packedBytes).toBeLessThanOrEqual(0.75);
    },
    240_000,
  );

  it("does not write over another store", { timeout: 60_000 }, async () => {
    const bytes = readFileSync(store);
    await expectRefusal(["compress", clip, store, "--size", "64"], /holds other codes; give another name/);
    mkdirSync(files.path("other"));
    const other = files.write("other/motion.webm", await slowClip(clip, 200, 1));
    await expectRefusal(["compress", other, store, "--size", String(SIZE)], /holds codes of another video, or/);
    expect(readFileSync(store).equals(bytes)).toBe(true);
  });
});
