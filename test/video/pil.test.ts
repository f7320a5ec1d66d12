import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { IMAGENET, place, type Rotation } from "../../src/video/geometry.ts";
import { axisTable, cropPil, normalise } from "../../src/video/pil.ts";
import { generatedFrame } from "./frames.ts";

interface Case {
  width: number;
  height: number;
  resize: number;
  crop: number;
  rotation: Rotation;
  flip: boolean;
  filter: "bilinear" | "bicubic";
  sha256: string;
  bytes?: number[];
}

const golden: { pillow: string; row: number[]; cases: Case[] } = JSON.parse(
  readFileSync(new URL("../golden/pil/cases.json", import.meta.url), "utf8"),
);

describe("the weights of one axis", () => {
  it("has the anchor's weights for 8 pixels to 2 (tsm-stam.md 3.2)", () => {
    const { taps, rows } = axisTable(8, 2);
    expect(taps).toBe(6);
    expect([...rows.slice(0, 2)]).toEqual([0, 6]);
    const weights = [...rows.slice(2, 8)].map((weight) => weight / 2 ** 22);
    const anchor = [0.178571, 0.25, 0.25, 0.178571, 0.107143, 0.0357143];
    weights.forEach((weight, i) => {
      expect(weight).toBeCloseTo(anchor[i]!, 6);
    });
  });

  it("of bicubic is Keys' at whole and half pixels, and sums fit in 31 bits at every scale", () => {
    const weights = (inputs: number, outputs: number, i: number) => {
      const { taps, rows } = axisTable(inputs, outputs, { first: i, count: 1 }, "bicubic");
      return [...rows.slice(2, 2 + taps)].map((weight) => weight / 2 ** 22);
    };
    expect(weights(9, 9, 4)).toEqual([0, 1, 0, 0]); // pixels 3 to 6
    // Twice as many pixels: a quarter pixel from the centre, distances 1.25, 0.25, 0.75, 1.75.
    const quarter = [-0.0703125, 0.8671875, 0.2265625, -0.0234375];
    for (const [j, weight] of weights(8, 16, 7).slice(0, 4).entries()) expect(weight).toBeCloseTo(quarter[j]!, 6);
    for (let inputs = 1; inputs < 60; inputs++) {
      const { outputs, taps, rows } = axisTable(inputs, 23, undefined, "bicubic");
      for (let i = 0; i < outputs; i++) {
        const row = rows.slice(i * (2 + taps) + 2, (i + 1) * (2 + taps));
        expect(row.reduce((sum, weight) => sum + Math.abs(weight), 0)).toBeLessThan(1.4 * 2 ** 22);
      }
    }
  });

  it("keeps only the wanted outputs, in the wanted order", () => {
    const whole = axisTable(37, 11);
    const part = axisTable(37, 11, { first: 3, count: 5 });
    const mirrored = axisTable(37, 11, { first: 3, count: 5, reversed: true });
    const row = (table: typeof whole, i: number) => {
      const window = [...table.rows.slice(i * (2 + table.taps), (i + 1) * (2 + table.taps))];
      return window.slice(0, 2 + window[1]!);
    };
    for (let i = 0; i < 5; i++) {
      expect(row(part, i)).toEqual(row(whole, 3 + i));
      expect(row(mirrored, i)).toEqual(row(whole, 7 - i));
    }
  });
});

describe(`the CPU pipeline against Pillow ${golden.pillow}`, () => {
  it("resizes the anchor row 0, 3, ..., 21 to 6, 15", () => {
    const row = Uint8Array.from({ length: 8 * 4 }, (_, i) => Math.floor(i / 4) * 3);
    const pipeline = { ...IMAGENET, resize: 1, crop: 1 };
    const placement = place({ width: 8, height: 1 }, pipeline);
    const outputs = [0, 1].map((left) => {
      const moved = { ...placement, scaled: { width: 2, height: 1 }, crop: { left, top: 0, width: 1, height: 1 } };
      return cropPil(row, moved)[0];
    });
    expect(outputs).toEqual([6, 15]);
    expect(golden.row).toEqual([6, 15]);
  });

  it.each(golden.cases)(
    "$width x $height, short side $resize, crop $crop, turn $rotation, flip $flip, $filter",
    (golden) => {
      const { width, height, resize, crop, rotation, flip, filter } = golden;
      const placement = place({ width, height }, { ...IMAGENET, resize, crop, filter }, rotation, flip);
      const out = cropPil(generatedFrame(width, height), placement);
      if (golden.bytes) expect([...out]).toEqual(golden.bytes);
      expect(createHash("sha256").update(out).digest("hex")).toBe(golden.sha256);
    },
  );
});

describe("normalising", () => {
  it("subtracts the mean and divides by the deviation, with a zero fourth lane", () => {
    const y = normalise(Uint8Array.of(0, 128, 255, 3, 4, 5), IMAGENET);
    expect(y).toHaveLength(8);
    expect([y[3], y[7]]).toEqual([0, 0]);
    expect(y[0]).toBeCloseTo((0 - 0.485) / 0.229, 6);
    expect(y[1]).toBeCloseTo((128 / 255 - 0.456) / 0.224, 6);
    expect(y[2]).toBeCloseTo((1 - 0.406) / 0.225, 6);
    expect(y[6]).toBeCloseTo((5 / 255 - 0.406) / 0.225, 6);
  });
});
