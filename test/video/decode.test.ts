import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { usePage } from "../chromium/use_page.ts";

const root = new URL("../..", import.meta.url).pathname;
const clips = join(process.env.KINEMA_DATA ?? join(root, "../shared/data"), "clips");

/** Frames that OpenCV 4.6 reads from each clip. */
const CLIPS: Readonly<Record<string, number>> = {
  "asl/again.mp4": 77,
  "asl/brother.mp4": 65,
  "asl/eat.mp4": 47,
  "sam2-01_dog.mp4": 289,
  "sam2-05_default_juggle.mp4": 247,
  "intel-bottle-detection.mp4": 1189,
  "intel-car-detection.mp4": 377,
  "bigbuckbunny.mp4": 132,
};

interface Inspected {
  facts: Record<string, unknown>;
  frames: { index: number; number: number; timestamp: number }[];
  all: number[];
  pixels: { width: number; height: number; length: number; mean: number[] };
}

interface Made {
  steady: Inspected;
  uneven: Inspected;
  turned: Inspected;
  single: Inspected;
  refusals: Record<string, { code: string; message: string }>;
  aborting: { before: string; during: string; count: number };
  lifetimes: { closedBehind: boolean; most: number; left: number };
}

const fixture = usePage(join(root, "test/video/page/decode_cases.ts"), existsSync(clips) ? { clips } : {});
let made: Made;
beforeAll(async () => {
  made = await fixture.page.call<Made>("decodeMadeFiles");
}, 60_000);

const upTo = (count: number) => Array.from({ length: count }, (_, k) => k);

describe("opening a video", () => {
  it("counts the frames and tells rate, length and codec of a steady WebM", () => {
    const { frameCount, width, height, rotation, flip, fps, duration, codec } = made.steady.facts;
    expect({ frameCount, width, height, rotation, flip }).toEqual({
      frameCount: 60,
      width: 160,
      height: 90,
      rotation: 0,
      flip: false,
    });
    expect(fps).toBeCloseTo(25, 6);
    expect(duration).toBeCloseTo(2.4, 6);
    expect(codec).toMatch(/^vp09/);
  });

  it("gives the mean rate of an uneven MP4", () => {
    const { frameCount, width, height, duration, fps } = made.uneven.facts;
    expect({ frameCount, width, height }).toEqual({ frameCount: 10, width: 161, height: 91 });
    expect(duration).toBeCloseTo(2.04, 6);
    expect(fps).toBeCloseTo(10 / 2.04, 6);
  });

  it("tells turn and mirror of a phone's MP4, and sizes before and after", () => {
    const facts = { width: 90, height: 160, stored: { width: 160, height: 90 }, rotation: 90, flip: true };
    expect(made.turned.facts).toMatchObject(facts);
  });

  it("opens a video of one frame", () => {
    expect(made.single.facts).toMatchObject({ frameCount: 1, fps: 0, duration: 0 });
  });
});

describe("decoding", () => {
  it("yields the asked frames in order, repeats included, and each shows its own number", () => {
    expect(made.steady.frames.map(({ index }) => index)).toEqual([7, 7, 30, 59]);
    expect(made.uneven.frames.map(({ index }) => index)).toEqual([0, 3, 6, 8]);
    expect(made.single.frames.map(({ index }) => index)).toEqual([0, 0, 0]);
    for (const { frames } of [made.steady, made.uneven, made.turned, made.single])
      expect(frames.map(({ number }) => number)).toEqual(frames.map(({ index }) => index));
    expect(made.uneven.frames.map(({ timestamp }) => timestamp)).toEqual([0, 0.21, 1.3, 1.35]);
  });

  it("streams every frame in order", () => {
    expect(made.steady.all).toEqual(upTo(60));
    expect(made.uneven.all).toEqual(upTo(10));
    expect(made.turned.all).toEqual(upTo(5));
  });

  it("reads RGBA pixels of odd sizes and of frames still to be turned", () => {
    expect(made.uneven.pixels).toMatchObject({ width: 161, height: 91, length: 161 * 91 * 4 });
    expect(made.turned.pixels).toMatchObject({ width: 160, height: 90, length: 160 * 90 * 4 });
    // The band was drawn at 60; the codec's 8-bit limited range may move it a little.
    for (const { pixels } of [made.uneven, made.turned]) {
      expect(pixels.mean[3]).toBe(255);
      for (const value of pixels.mean.slice(0, 3)) expect(Math.abs(value - 60)).toBeLessThan(4);
    }
  });

  it("keeps few frames alive and closes every one, also when the loop is left early", () => {
    expect(made.lifetimes.closedBehind).toBe(true);
    expect(made.lifetimes.most).toBeLessThanOrEqual(24);
    expect(made.lifetimes.left).toBe(0);
  });

  it("stops with the signal's reason", () => {
    expect(made.aborting).toEqual({ before: "before", during: "during", count: 5 });
  });
});

describe("what cannot be a video", () => {
  it.each([
    ["empty", /empty\.mp4 is empty/],
    ["html", /page\.mp4 is a web page/],
    ["pointer", /git lfs pull/],
    ["noise", /noise\.mp4 is not a video that can be read/],
    ["missing", /there-is-no-such-file\.mp4.*404/],
    ["sound", /sound\.mkv has no video track, only audio/],
    ["frameless", /has a video track without frames/],
    ["codec", /no decoder for hev1.*convert it/],
    ["trackless", /type\.mp4 has no track at all; it may be cut off/],
    ["cutIndex", /cut\.mp4 is cut off: 300 of at least \d+ bytes/],
    ["cutFrames", /cut\.mp4 is cut off/],
    ["cutWebm", /cut\.webm is cut off/],
    ["damaged", /damaged\.mp4: frame \d+ of 20 cannot be decoded/],
  ])("%s: one typed line", (name, expected) => {
    const { code, message } = made.refusals[name]!;
    expect(message).toMatch(expected);
    expect(message).not.toContain("\n");
    expect(code).toBe("bad-video");
  });

  it("an empty file by its address, with its name as people write it", async () => {
    const path = join(fixture.folder, "a b 100%.mp4");
    await writeFile(path, "");
    const refused = await fixture.page.call("refuse", fixture.page.file(path));
    expect(refused).toEqual({ code: "bad-video", message: "a b 100%.mp4 is empty; give a video file" });
  });

  it("a frame outside the video is the caller's mistake", () => {
    expect(made.refusals.outside).toEqual({
      code: "usage",
      message: expect.stringContaining("frames 0 to 19; frame 20"),
    });
  });
});

describe("real clips", () => {
  it("the bundled clip has 400 frames of 320 x 240 at 25 a second", async () => {
    const clip = await fixture.page.call("countClip", fixture.page.file(join(root, "bench/assets/motion.webm")));
    expect(clip).toMatchObject({
      frameCount: 400,
      width: 320,
      height: 240,
      sampled: [25, 75, 125, 175, 225, 275, 325, 375],
    });
    expect((clip as { fps: number }).fps).toBeCloseTo(25, 3);
  });

  it.skipIf(!existsSync(clips)).each(Object.entries(CLIPS))("%s has the %i frames of OpenCV", async (name, frames) => {
    const clip = await fixture.page.call<{ frameCount: number; wanted: number[]; sampled: number[] }>(
      "countClip",
      `${fixture.page.root("clips")}/${name}`,
    );
    expect(clip.frameCount).toBe(frames);
    expect(clip.sampled).toEqual(clip.wanted);
  });
});
