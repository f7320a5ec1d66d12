import { describe, expect, it } from "vitest";
import { heatColour, overlay, upsample } from "../../src/video/heat.ts";

/** CIE lightness L* of sRGB bytes. */
function lightness(rgb: readonly number[]): number {
  const linear = rgb.map((byte) =>
    byte / 255 <= 0.04045 ? byte / 255 / 12.92 : ((byte / 255 + 0.055) / 1.055) ** 2.4,
  );
  const y = 0.2126 * linear[0]! + 0.7152 * linear[1]! + 0.0722 * linear[2]!;
  return y > 216 / 24389 ? 116 * Math.cbrt(y) - 16 : (24389 / 27) * y;
}

describe("the colours of a heat map", () => {
  it("grow lighter evenly, from one end to the other", () => {
    expect([heatColour(0), heatColour(1)]).toEqual([
      [68, 1, 84],
      [253, 231, 37],
    ]);
    expect([heatColour(-3), heatColour(7)]).toEqual([heatColour(0), heatColour(1)]);
    const steps = Array.from(
      { length: 20 },
      (_, i) => lightness(heatColour((i + 1) / 20)) - lightness(heatColour(i / 20)),
    );
    const mean = (lightness(heatColour(1)) - lightness(heatColour(0))) / 20;
    for (const step of steps) {
      expect(step).toBeGreaterThan(0.6 * mean);
      expect(step).toBeLessThan(1.4 * mean);
    }
  });
});

describe("upsampling", () => {
  it("is bilinear between the centres of cells, and keeps the border's value beyond them", () => {
    // Two cells over four pixels: their centres lie at 1 and 3, the pixels' at 0.5, 1.5, 2.5, 3.5.
    expect([...upsample([0, 8], 1, 2, 1, 4)]).toEqual([0, 2, 6, 8]);
    const map = upsample([0, 1, 2, 3, 4, 5], 3, 2, 9, 8);
    expect([map[0], map[7], map[64], map[71]]).toEqual([0, 1, 4, 5]);
    expect(map[4 * 8 + 3]).toBeCloseTo(2 + 0.375, 6); // the middle row; pixel 3 of 8 is at 1.375 - 1 of the way
    expect([...upsample([7], 1, 1, 2, 3)]).toEqual(Array(6).fill(7));
  });

  it("of the same size changes nothing", () => {
    const grid = Float32Array.from({ length: 12 }, (_, i) => (i * 7) % 5);
    expect(upsample(grid, 3, 4, 3, 4)).toEqual(grid);
  });
});

describe("a map over a picture", () => {
  it("shows the picture through it, brightest where the map is largest", () => {
    const rgb = Uint8Array.from({ length: 4 * 4 * 3 }, (_, i) => (i % 3 === 0 ? 200 : 0));
    const out = overlay(rgb, 4, [0, 0, 0, 0.01], 2, 2);
    const pixel = (i: number) => [...out.subarray(4 * i, 4 * i + 4)];
    const mixed = (value: number) => [
      ...heatColour(value).map((c, i) => Math.round(0.6 * c + (i === 0 ? 80 : 0))),
      255,
    ];
    expect(pixel(0)).toEqual(mixed(0));
    expect(pixel(15)).toEqual(mixed(1)); // whatever the sum of the map
    expect(overlay(rgb, 4, [0, 0, 0, 0], 2, 2)[0]).toBe(mixed(0)[0]); // no division by zero
  });
});
