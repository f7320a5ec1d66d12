import { vec2 } from "gl-matrix";
import { describe, expect, it } from "vitest";
import { KinemaError } from "../../src/core/fail.ts";
import { IMAGENET, place, type Rotation, toSourceMatrix, turnMap } from "../../src/video/geometry.ts";

const ROTATIONS: readonly Rotation[] = [0, 90, 180, 270];

describe("placing the centre crop (tsm-stam.md 3.2)", () => {
  it.each([
    [320, 240, 341, 256, 58, 16],
    [640, 480, 341, 256, 58, 16],
    [1280, 720, 455, 256, 116, 16],
    [176, 100, 450, 256, 113, 16],
    [100, 176, 256, 450, 16, 113],
    [1, 1, 256, 256, 16, 16],
    [1, 3, 256, 768, 16, 272],
    [641, 359, 457, 256, 116, 16],
  ])("%i x %i becomes %i x %i, cropped at left %i, top %i", (width, height, scaledWidth, scaledHeight, left, top) => {
    const placement = place({ width, height });
    expect(placement.scaled).toEqual({ width: scaledWidth, height: scaledHeight });
    expect(placement.crop).toEqual({ left, top, width: 224, height: 224 });
  });

  it("rounds half an offset to the even pixel, up and down", () => {
    const left = (width: number, crop: number) =>
      place({ width, height: 10 }, { ...IMAGENET, resize: 10, crop }).crop.left;
    expect(left(15, 10)).toBe(2); // 2.5
    expect(left(17, 10)).toBe(4); // 3.5
    expect(left(16, 9)).toBe(4); // 3.5
  });

  it("turns the frame before scaling it", () => {
    expect(place({ width: 1280, height: 720 }, IMAGENET, 90).scaled).toEqual({ width: 256, height: 455 });
    expect(place({ width: 1280, height: 720 }, IMAGENET, 180).scaled).toEqual({ width: 455, height: 256 });
  });

  it.each([
    ["bad-video", () => place({ width: 0, height: 4 })],
    ["bad-video", () => place({ width: 4, height: 2.5 })],
    ["bad-video", () => toSourceMatrix(place({ width: 4, height: 2 }, IMAGENET, 45 as Rotation))],
    ["usage", () => place({ width: 4, height: 4 }, { ...IMAGENET, resize: 200 })],
    ["usage", () => place({ width: 4, height: 4 }, { ...IMAGENET, crop: 0 })],
  ])("refuses with %s what cannot be placed", (code, call) => {
    expect(call).toThrow(expect.objectContaining({ code }));
    expect(call).toThrow(KinemaError);
  });
});

describe("turning a frame", () => {
  // A 3 x 2 frame, shown after a clockwise turn: what a person would see.
  const stored = ["abc", "def"];
  const shown: Record<Rotation, string[]> = {
    0: ["abc", "def"],
    90: ["da", "eb", "fc"],
    180: ["fed", "cba"],
    270: ["cf", "be", "ad"],
  };

  it.each(ROTATIONS)("by %i degrees reads the right pixels", (rotation) => {
    const map = turnMap({ source: { width: 3, height: 2 }, rotation });
    const pixel = (x: number, y: number) =>
      stored[map.row0 + x * map.rowX + y * map.rowY]![map.column0 + x * map.columnX + y * map.columnY];
    const picture = shown[rotation].map((row, y) => [...row].map((_, x) => pixel(x, y)).join(""));
    expect(picture).toEqual(shown[rotation]);
  });

  it.each(ROTATIONS)("by %i degrees, the matrix agrees with the pixel map", (rotation) => {
    // No scaling and no offset: short side 5, crop 5 of a 5 x 5 frame, so matrix and map name the same pixels.
    const source = { width: 5, height: 5 };
    const placement = place(source, { ...IMAGENET, resize: 5, crop: 5 }, rotation);
    const map = turnMap(placement);
    const matrix = toSourceMatrix(placement);
    for (const [x, y] of [
      [0, 0],
      [4, 0],
      [1, 3],
    ] as const) {
      const at = vec2.transformMat3(vec2.create(), [x + 0.5, y + 0.5], matrix);
      expect(at[0] * 5 - 0.5).toBeCloseTo(map.column0 + x * map.columnX + y * map.columnY, 5);
      expect(at[1] * 5 - 0.5).toBeCloseTo(map.row0 + x * map.rowX + y * map.rowY, 5);
    }
  });
});

describe("the matrix of the fast path", () => {
  const at = (x: number, y: number, flip: boolean) => {
    const m = toSourceMatrix(place({ width: 1280, height: 720 }, IMAGENET, 0, flip));
    return vec2.transformMat3(vec2.create(), [x, y], m);
  };

  it("maps the crop's corners to its place in the frame", () => {
    expect(at(0, 0, false)[0]).toBeCloseTo(116 / 455, 6);
    expect(at(0, 0, false)[1]).toBeCloseTo(16 / 256, 6);
    expect(at(224, 224, false)[0]).toBeCloseTo(340 / 455, 6);
    expect(at(224, 224, false)[1]).toBeCloseTo(240 / 256, 6);
  });

  it("mirrors the crop in its own width", () => {
    expect(at(0, 0, true)[0]).toBeCloseTo(340 / 455, 6);
    expect(at(224, 0, true)[0]).toBeCloseTo(116 / 455, 6);
    expect(at(0, 224, true)[1]).toBeCloseTo(240 / 256, 6);
  });
});
