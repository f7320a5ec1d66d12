import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../src/gpu/pipelines.ts";
import { frameFast } from "../../src/kernels.gen.ts";
import { fastParams } from "../../src/video/params.ts";
import { cropPil } from "../../src/video/pil.ts";
import {
  BYTES,
  type Case,
  closeDevice,
  difference,
  openDevice,
  placementOf,
  runFast,
  runReference,
} from "./frame_device.ts";
import { generatedFrame, smoothFrame } from "./frames.ts";

let device: GPUDevice;
beforeAll(async () => {
  device = await openDevice();
});
afterAll(closeDevice);

/** The formula in the head of frame_fast.wgsl, in f64: what the kernel gives with BYTES. */
function fastOracle(test: Case, pixels: Uint8Array): Float64Array {
  const { taps, reach, to_source: m } = fastParams(placementOf(test), BYTES);
  const out = new Float64Array(test.crop * test.crop * 3);
  const clamp = (at: number, size: number) => Math.min(Math.max(at * size - 0.5, 0), size - 1);
  const bilinear = (u: number, v: number, c: number) => {
    const [x, row] = [clamp(u, test.width), clamp(v, test.height)];
    const [x0, row0] = [Math.floor(x), Math.floor(row)];
    const at = (dx: number, dy: number) =>
      pixels[(Math.min(row0 + dy, test.height - 1) * test.width + Math.min(x0 + dx, test.width - 1)) * 4 + c]!;
    const [fx, fy] = [x - x0, row - row0];
    return (at(0, 0) * (1 - fx) + at(1, 0) * fx) * (1 - fy) + (at(0, 1) * (1 - fx) + at(1, 1) * fx) * fy;
  };
  for (let i = 0; i < out.length; i++) {
    const [column, line] = [Math.floor(i / 3) % test.crop, Math.floor(i / 3 / test.crop)];
    let total = 0;
    for (let tap = 0; tap < taps * taps; tap++) {
      const [dx, dy] = [tap % taps, Math.floor(tap / taps)].map((k) => (2 * k + 1) / taps - 1) as [number, number];
      const weight = (1 - Math.abs(dx)) * (1 - Math.abs(dy));
      const [x, row] = [column + 0.5 + reach * dx, line + 0.5 + reach * dy];
      const [u, v] = [m[0]! * x + m[3]! * row + m[6]!, m[1]! * x + m[4]! * row + m[7]!];
      out[i]! += weight * bilinear(u, v, i % 3);
      total += weight;
    }
    out[i]! /= total;
  }
  return out;
}

const CASES: readonly Case[] = [
  { width: 96, height: 72, resize: 48, crop: 41, rotation: 0, flip: false },
  { width: 96, height: 73, resize: 64, crop: 57, rotation: 90, flip: false },
  { width: 61, height: 83, resize: 97, crop: 61, rotation: 180, flip: true },
  { width: 401, height: 303, resize: 64, crop: 51, rotation: 270, flip: true },
];

describe("kernels/frame_fast.wgsl", () => {
  it.each(CASES)("keeps its formula: $width x $height, turn $rotation, flip $flip", async (test) => {
    const pixels = generatedFrame(test.width, test.height);
    const { mean, largest } = difference(await runFast(test, pixels, BYTES), fastOracle(test, pixels));
    // Samplers place a tap to 1/256 pixel; where neighbours differ by 255 that is 1 grey level an axis, 2 in all.
    expect(largest).toBeLessThanOrEqual(2);
    expect(mean).toBeLessThan(0.5);
  });

  it.each(CASES)("is close to PIL on a smooth frame: $width x $height, turn $rotation", async (test) => {
    const pixels = smoothFrame(test.width, test.height);
    const { mean, largest } = difference(await runFast(test, pixels, BYTES), cropPil(pixels, placementOf(test)));
    // PIL's own triangle, normalised over whole pixels, sits up to 0.06 pixel beside its centre, and the picture's
    // slope reaches 21 levels a pixel: 1.3 levels. Its two roundings add 1, the whole levels of the picture 0.5.
    expect(largest).toBeLessThan(3);
    expect(mean).toBeLessThan(1);
  });

  it("averages what a shrinking frame would alias: a checkerboard becomes grey", async () => {
    const test: Case = { width: 512, height: 384, resize: 64, crop: 48, rotation: 0, flip: false };
    const pixels = Uint8Array.from({ length: test.width * test.height * 4 }, (_, i) => {
      const [x, row] = [(i >> 2) % test.width, Math.floor((i >> 2) / test.width)];
      return ((x >> 1) + (row >> 1)) % 2 === 0 ? 255 : 0;
    });
    const y = await runFast(test, pixels, BYTES);
    const grey = difference(y, new Float32Array(test.crop * test.crop * 3).fill(127.5));
    expect(grey.largest).toBeLessThan(20);
  });

  it("is legal with an external texture when the type of the frame is replaced", async () => {
    device.pushErrorScope("validation");
    await compile(device, frameFast, {}, { frame: "texture_external" });
    expect(await device.popErrorScope()).toBeNull();
  });

  it("agrees with the reference kernel on a frame that is not scaled", async () => {
    const test: Case = { width: 45, height: 37, resize: 37, crop: 31, rotation: 90, flip: true };
    const pixels = generatedFrame(test.width, test.height);
    const reference = await runReference(test, pixels, BYTES);
    const rgb = reference.filter((_, i) => i % 4 !== 3);
    // As above: 1/256 pixel an axis.
    expect(difference(await runFast(test, pixels, BYTES), rgb).largest).toBeLessThanOrEqual(2);
  });
});
