import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { IMAGENET } from "../../src/video/geometry.ts";
import { cropPil, normalise } from "../../src/video/pil.ts";
import { BYTES, type Case, closeDevice, difference, openDevice, placementOf, runReference } from "./frame_device.ts";
import { generatedFrame } from "./frames.ts";

beforeAll(openDevice);
afterAll(closeDevice);

const CASES: readonly Case[] = [
  { width: 1, height: 1, resize: 5, crop: 3, rotation: 0, flip: false },
  { width: 1, height: 7, resize: 3, crop: 2, rotation: 90, flip: true },
  { width: 37, height: 23, resize: 11, crop: 7, rotation: 0, flip: false },
  { width: 23, height: 37, resize: 31, crop: 29, rotation: 90, flip: true },
  { width: 101, height: 67, resize: 97, crop: 89, rotation: 180, flip: true },
  { width: 131, height: 257, resize: 17, crop: 15, rotation: 270, flip: false },
  { width: 333, height: 777, resize: 61, crop: 53, rotation: 270, flip: true },
  { width: 641, height: 359, resize: 256, crop: 224, rotation: 0, flip: false },
  { width: 37, height: 23, resize: 41, crop: 37, rotation: 90, flip: true, filter: "bicubic" },
  { width: 131, height: 257, resize: 17, crop: 15, rotation: 270, flip: false, filter: "bicubic" },
];

describe("kernels/frame_reference.wgsl", () => {
  it.each(CASES)(
    "has PIL's bytes: $width x $height to $crop of $resize, turn $rotation, flip $flip, $filter",
    async (test) => {
      const pixels = generatedFrame(test.width, test.height);
      const y = await runReference(test, pixels, BYTES);
      // byte / 255 / (1 / 255) is an ulp or two of 255 off, never half a byte.
      expect(difference(y, cropPil(pixels, placementOf(test))).largest).toBeLessThan(1e-4);
    },
  );

  it("normalises to within the rounding of WGSL's division", async () => {
    const test = CASES[4]!;
    const pixels = generatedFrame(test.width, test.height);
    const y = await runReference(test, pixels, IMAGENET);
    const expected = normalise(cropPil(pixels, placementOf(test)), IMAGENET);
    // WGSL allows a division 2.5 ulp: of a value up to 1 before the mean is taken, and of the result up to 2.64.
    const allowed = (2.5 * 2 ** -24 + 2 ** -25) / Math.min(...IMAGENET.std) + 2.5 * 2 ** -22;
    const rgb = expected.filter((_, i) => i % 4 !== 3);
    expect(difference(y, rgb).largest).toBeLessThanOrEqual(allowed);
  });
});
