import { describe, expect, it } from "vitest";
import { KinemaError } from "../../src/core/fail.ts";
import { sampleDense, sampleDenseTest, sampleStam, sampleTwice, sampleUniform } from "../../src/video/sampling.ts";

const codeOf = (call: () => unknown): string => {
  try {
    call();
  } catch (error) {
    if (error instanceof KinemaError) return error.code;
  }
  return "did not throw a KinemaError";
};

describe("uniform sampling (tsm-stam.md 3.1)", () => {
  it.each([
    [100, 8, [6, 18, 31, 43, 56, 68, 81, 93]],
    [300, 8, [18, 56, 93, 131, 168, 206, 243, 281]],
    [300, 16, [9, 28, 46, 65, 84, 103, 121, 140, 159, 178, 196, 215, 234, 253, 271, 290]],
    [36, 8, [2, 6, 11, 15, 20, 24, 29, 33]],
    [5, 8, [0, 0, 1, 2, 2, 3, 4, 4]],
    [1, 3, [0, 0, 0]],
    [7, 1, [3]],
  ])("takes the middle of each part of %i frames in %i segments", (frames, segments, expected) => {
    expect(sampleUniform(frames, segments)).toEqual(expected);
  });

  it("adds the first frame of each part when sampling twice", () => {
    expect(sampleTwice(100, 8)).toEqual([
      [6, 18, 31, 43, 56, 68, 81, 93],
      [0, 12, 25, 37, 50, 62, 75, 87],
    ]);
  });

  it("stays inside the video for every small count", () => {
    const outside: string[] = [];
    for (let frames = 1; frames <= 70; frames++)
      for (let segments = 1; segments <= 40; segments++)
        for (const index of sampleTwice(frames, segments).flat())
          if (!(index >= 0 && index < frames)) outside.push(`${frames} frames, ${segments} segments: ${index}`);
    expect(outside).toEqual([]);
  });
});

describe("dense sampling (tsm-stam.md 3.1)", () => {
  it("starts its ten clips evenly over 300 frames", () => {
    const clips = sampleDenseTest(300, 8);
    expect(clips.map((clip) => clip[0])).toEqual([0, 26, 52, 78, 104, 131, 157, 183, 209, 236]);
    expect(clips[1]).toEqual([26, 34, 42, 50, 58, 66, 74, 82]);
  });

  it("wraps around a video shorter than 64 frames", () => {
    expect(sampleDense(40, 8)).toEqual([0, 8, 16, 24, 32, 0, 8, 16]);
    expect(sampleDenseTest(40, 8)).toEqual(Array.from({ length: 10 }, () => sampleDense(40, 8)));
  });

  it("takes every fourth frame for 16 segments", () => {
    expect(sampleDense(300, 16, 5)).toEqual(Array.from({ length: 16 }, (_, x) => 5 + 4 * x));
  });
});

describe("sampling for STAM (tsm-stam.md 7)", () => {
  it.each([
    [300, 30, 16, [0, 18, 37, 56, 75, 93, 112, 131, 150, 168, 187, 206, 225, 243, 262, 281]],
    [250, 25, 16, [0, 15, 31, 46, 62, 78, 93, 109, 125, 140, 156, 171, 187, 203, 218, 234]],
    [240, 24, 16, [0, 15, 30, 45, 60, 75, 90, 105, 120, 135, 150, 165, 180, 195, 210, 225]],
    [300, 29.97, 16, [0, 18, 37, 56, 74, 93, 112, 131, 149, 168, 187, 206, 224, 243, 262, 280]],
  ])(
    "takes the authors' frames of ten seconds: %i frames at %d a second, %i of them",
    (frames, fps, count, expected) => {
      expect(sampleStam(frames, fps, count)).toEqual(expected);
    },
  );

  it.each([
    [32, [0, 9, 18, 28, 37, 46, 56, 65]],
    [64, [0, 4, 9, 14, 18, 23, 28, 32]],
  ])("begins so for %i frames of 300", (count, first) => {
    const frames = sampleStam(300, 30, count);
    expect(frames).toHaveLength(count);
    expect(frames.slice(0, 8)).toEqual(first);
  });

  it("spreads over videos of other lengths, and over those that the authors' rule skips", () => {
    for (const [frames, fps] of [
      [299, 30],
      [1800, 30],
      [60, 30],
      [3, 25],
      [1, 0],
    ] as const)
      expect(sampleStam(frames, fps, 16)).toEqual(sampleUniform(frames, 16));
    expect(sampleStam(310, 30, 16)).toEqual(sampleStam(300, 30, 16)); // 10.3 seconds
  });

  it("stays inside any video and never skips one", () => {
    const wrong: string[] = [];
    for (let frames = 1; frames <= 700; frames += 3)
      for (const fps of [0, 1, 12.5, 23.976, 24, 25, 29.97, 30, 50, 59.94, 60])
        for (const count of [8, 16, 32, 64]) {
          const found = sampleStam(frames, fps, count);
          const rising = found.every((index, i) => i === 0 || index >= found[i - 1]!);
          if (found.length !== count || !rising || found[0]! < 0 || found.at(-1)! >= frames)
            wrong.push(`${frames} frames at ${fps}: ${found}`);
        }
    expect(wrong).toEqual([]);
  });
});

describe("sampling what cannot be sampled", () => {
  it("refuses a video without frames as a bad video", () => {
    expect(codeOf(() => sampleUniform(0, 8))).toBe("bad-video");
    expect(codeOf(() => sampleTwice(0, 8))).toBe("bad-video");
    expect(codeOf(() => sampleDense(0, 8))).toBe("bad-video");
    expect(codeOf(() => sampleDenseTest(0, 8))).toBe("bad-video");
    expect(codeOf(() => sampleStam(0, 30, 16))).toBe("bad-video");
  });

  it("refuses counts that are not whole and positive, and clips that cannot be", () => {
    expect(codeOf(() => sampleUniform(10.5, 8))).toBe("usage");
    expect(codeOf(() => sampleUniform(-1, 8))).toBe("usage");
    expect(codeOf(() => sampleUniform(10, 0))).toBe("usage");
    expect(codeOf(() => sampleUniform(10, Number.NaN))).toBe("usage");
    expect(codeOf(() => sampleDense(100, 65))).toBe("usage");
    expect(codeOf(() => sampleDense(100, 8, 100))).toBe("usage");
  });
});
