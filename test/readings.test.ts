// Where taps go to be read: no staging buffer may outgrow what a device allows.
import { describe, expect, it } from "vitest";
import type { Value } from "../src/core/graph.ts";
import { tensor } from "../src/core/tensor.ts";
import { placeReadings } from "../src/gpu/record.ts";

const MIB = 2 ** 20;
const value = (id: number, bytes: number): Value => ({
  ...{ id, name: `v${id}`, spec: tensor(bytes / 16, 4), kind: "temp", bytes },
});

describe("readings", () => {
  it("fill one buffer after another, none beyond 128 MiB unless it holds a single value", () => {
    const sizes = [16, 48 * MIB, 64 * MIB, 32 * MIB, 200 * MIB, 16, 128 * MIB, 4096];
    const readings = placeReadings(sizes.map((bytes, i) => [`name ${i}`, value(i, bytes)] as const));
    expect(readings.map(({ buffer }) => buffer)).toEqual([0, 0, 0, 1, 2, 3, 4, 5]);
    expect(readings.map(({ at }) => at)).toEqual([0, 16, 16 + 48 * MIB, 0, 0, 0, 0, 0]);
    expect(readings.map(({ size }) => size)).toEqual(sizes);
    expect(readings.map(({ name }) => name)).toEqual(sizes.map((_, i) => `name ${i}`));
  });

  it("of a large model's every tensor fit what WebGPU gives by default", () => {
    const readings = placeReadings(Array.from({ length: 140 }, (_, i) => [`${i}`, value(i, 10 * MIB)] as const));
    const ends = new Map<number, number>();
    for (const { buffer, at, size } of readings) ends.set(buffer, at + size);
    expect(Math.max(...ends.values())).toBeLessThanOrEqual(256 * MIB);
    expect(ends.size).toBe(12); // 12 values a buffer
  });
});
