// Small pure parts: half floats, stored layouts, params, variant names.
import { describe, expect, it } from "vitest";
import { both } from "../src/core/both.ts";
import { halfBits, toHalf } from "../src/core/half.ts";
import { type Kernel, packParams, variantName } from "../src/core/kernel.ts";
import {
  padChannels,
  storedBytes,
  tensor,
  toChannelsFirst,
  toChannelsLast,
  unpadChannels,
} from "../src/core/tensor.ts";
import { samePadding } from "../src/ops/index.ts";
import { Random } from "./cases/random.ts";

/** The number that half bits stand for (IEEE 754, binary16). */
function halfValue(bits: number): number {
  const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

describe("both of what is made", () => {
  const made = (disposed: string[], name: string) => ({ dispose: () => void disposed.push(name) });
  const later = <T>(value: T) => new Promise<T>((done) => setTimeout(done, 5, value));

  it("are given, or what there is of them is disposed of, be it ready before the other fails or after", async () => {
    const disposed: string[] = [];
    const [one, other] = [made(disposed, "one"), made(disposed, "other")];
    expect(await both(Promise.resolve(one), later(other))).toEqual([one, other]);
    expect(disposed).toEqual([]);
    await expect(both(later(one), Promise.reject(new Error("no other")))).rejects.toThrow("no other");
    expect(disposed).toEqual(["one"]);
    const failing = later(null).then(() => Promise.reject(new Error("no first")));
    await expect(both(failing, Promise.resolve(other))).rejects.toThrow("no first");
    expect(disposed).toEqual(["one", "other"]);
  });
});

describe("half floats", () => {
  it("every one comes back from its own value", () => {
    const wrong: number[] = [];
    for (let bits = 0; bits < 65536; bits++) {
      const value = halfValue(bits);
      if (!Number.isNaN(value) && halfBits(value) !== bits) wrong.push(bits);
    }
    expect(wrong).toEqual([]);
    expect(halfValue(halfBits(Number.NaN))).toBeNaN();
  });

  it("what lies between goes to the nearest, half way to the even one", () => {
    const wrong: number[] = [];
    for (let bits = 0; bits < 0x7bff; bits++) {
      const [low, high] = [halfValue(bits), halfValue(bits + 1)];
      const middle = (low + high) / 2; // exact in f32
      const step = (high - low) / 64;
      if (halfBits(middle - step) !== bits || halfBits(middle + step) !== bits + 1) wrong.push(bits);
      if (halfBits(middle) !== bits + (bits & 1)) wrong.push(bits);
    }
    expect(wrong).toEqual([]);
    expect(toHalf(Float32Array.of(65504, 65519.996, 65520, -1e9, 2 ** -25, 2 ** -24 * 0.51))).toEqual(
      Uint16Array.of(0x7bff, 0x7bff, 0x7c00, 0xfc00, 0, 1),
    );
  });
});

describe("layouts", () => {
  it("pad the channels to four with zeros, and take the padding off", () => {
    const spec = tensor(2, 1, 5);
    expect(storedBytes(spec)).toBe(2 * 8 * 4);
    const data = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
    const stored = padChannels(data, spec);
    expect([...stored]).toEqual([1, 2, 3, 4, 5, 0, 0, 0, 6, 7, 8, 9, 10, 0, 0, 0]);
    expect(unpadChannels(stored, spec)).toEqual(data);
  });

  it("turn channels first into channels last and back", () => {
    const data = Float32Array.from({ length: 2 * 3 * 2 * 5 }, (_, i) => i);
    const last = toChannelsLast(data, [2, 3, 2, 5]);
    expect([...last.subarray(0, 6)]).toEqual([0, 10, 20, 1, 11, 21]);
    expect(last[((1 * 2 + 1) * 5 + 4) * 3 + 2]).toBe(59);
    expect(toChannelsFirst(last, [2, 2, 5, 3])).toEqual(data);
  });

  it("TensorFlow's SAME puts the odd pixel below and to the right", () => {
    expect(samePadding(224, 224, 3, 2)).toEqual({ top: 0, left: 0, bottom: 1, right: 1 });
    expect(samePadding(7, 10, 3, 2)).toEqual({ top: 1, left: 0, bottom: 1, right: 1 });
    expect(samePadding(5, 6, 3, 1)).toEqual({ top: 1, left: 1, bottom: 1, right: 1 });
    expect(samePadding(9, 4, 1, 2)).toEqual({ top: 0, left: 0, bottom: 0, right: 0 });
  });
});

describe("params", () => {
  const kernel: Kernel = {
    name: "small",
    code: "",
    bindings: {},
    params: {
      count: { offset: 0, type: "u32" },
      shift: { offset: 4, type: "i32" },
      matrix: { offset: 16, type: "mat3x3f" },
      mean: { offset: 64, type: "vec3f" },
      low: { offset: 76, type: "f32" },
    },
    paramsBytes: 80,
    consts: { WG: 64, ROWS: 4, FAST: false },
  };
  const good = { count: 4294967295, shift: -7, matrix: [1, 2, 3, 4, 5, 6, 7, 8, 9], mean: [0.5, 0.25, 2], low: -1.5 };

  it("lie at their offsets, matrices in columns of four", () => {
    const view = new DataView(new ArrayBuffer(256 + 80));
    packParams(kernel, good, view, 256);
    expect(view.getUint32(256, true)).toBe(4294967295);
    expect(view.getInt32(260, true)).toBe(-7);
    const floats = [...new Float32Array(view.buffer, 256 + 16, 16)];
    expect(floats).toEqual([1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0, 0.5, 0.25, 2, -1.5]);
    expect(new Uint8Array(view.buffer, 0, 256).every((byte) => byte === 0)).toBe(true);
  });

  it.each([
    [{ ...good, speed: 1 }, 'kernel small has no param "speed"'],
    [{ ...good, low: undefined as never }, 'kernel small: param "low" is missing'],
    [{ ...good, count: -1 }, 'param "count" is u32, got -1'],
    [{ ...good, count: 2 ** 32 }, 'param "count" is u32, got 4294967296'],
    [{ ...good, shift: 0.5 }, 'param "shift" is i32, got 0.5'],
    [{ ...good, shift: 2 ** 31 }, 'param "shift" is i32, got 2147483648'],
    [{ ...good, low: Number.NaN }, 'param "low" is f32'],
    [{ ...good, mean: [1, 2] }, 'param "mean" is vec3f, got [1,2]'],
  ])("%j is refused", (params, message) => {
    expect(() => packParams(kernel, params, new DataView(new ArrayBuffer(80)), 0)).toThrow(message);
  });

  it("variants are told apart by what changes the text, in one order", () => {
    expect(variantName(kernel, {})).toBe("small");
    expect(variantName(kernel, { WG: 64, ROWS: 4 })).toBe("small");
    expect(variantName(kernel, { ROWS: 8, FAST: true })).toBe("small(FAST=true ROWS=8)");
    expect(variantName(kernel, { FAST: true, ROWS: 8 })).toBe("small(FAST=true ROWS=8)");
    expect(variantName(kernel, { ROWS: 8 }, { w: "array<mat4x4h>" })).toBe("small(ROWS=8 w:array<mat4x4h>)");
  });
});

describe("the tests' own random numbers", () => {
  it("are the same for a seed, normal, and spiked", () => {
    const data = new Random(1).normal(50, 40);
    expect(data).toEqual(new Random(1).normal(2000));
    expect(data).not.toEqual(new Random(2).normal(2000));
    const rest = data.filter((v) => v !== 50);
    expect(rest).toHaveLength(1999);
    const mean = rest.reduce((a, b) => a + b) / 1999;
    // Four standard errors: 4 / sqrt(1999), and for the variance 4 * sqrt(2 / 1999).
    expect(Math.abs(mean)).toBeLessThan(0.09);
    expect(Math.abs(rest.reduce((sum, v) => sum + (v - mean) ** 2, 0) / 1999 - 1)).toBeLessThan(0.13);
  });
});
