/** Element types of stored tensors: their size, and the conversion of the floating ones to f32. */
import { fail } from "../core/fail.ts";

/** Bits per element of every safetensors dtype (huggingface/safetensors, enum Dtype). */
const BITS = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

export type DType = keyof typeof BITS;

/** The dtypes that can be weights of a network: they convert to f32. */
export const FLOAT_DTYPES: ReadonlySet<DType> = new Set<DType>(["F32", "F16", "BF16", "F64"]);

/** Rank and extent limits of every reader; they keep products inside safe integers long enough to be checked. */
export const MAX_RANK = 8;
export const MAX_EXTENT = 2 ** 31 - 1;

export function isDType(text: string): text is DType {
  return Object.hasOwn(BITS, text);
}

export function bitsOf(dtype: DType): number {
  return BITS[dtype];
}

/** Element count of a shape, or null when an extent, the rank or the product leaves the limits. */
export function elementCount(shape: readonly number[]): number | null {
  if (shape.length > MAX_RANK) return null;
  let count = 1;
  for (const extent of shape) {
    if (!Number.isInteger(extent) || extent < 0 || extent > MAX_EXTENT) return null;
    count *= extent;
    if (count > Number.MAX_SAFE_INTEGER) return null;
  }
  return count;
}

/** Bytes of `count` elements, or null when sub-byte elements do not fill whole bytes or the size is not a safe integer. */
export function byteLengthOf(dtype: DType, count: number): number | null {
  const bits = count * BITS[dtype];
  if (bits > Number.MAX_SAFE_INTEGER || bits % 8 !== 0) return null;
  return bits / 8;
}

/**
 * Converts little-endian elements to f32. F32 bytes that are 4-byte aligned are viewed, not copied.
 * Throws "unsupported" for a dtype that is not a float of 16, 32 or 64 bits.
 */
export function toFloat32(bytes: Uint8Array, dtype: DType, name: string): Float32Array {
  const { buffer, byteOffset, byteLength } = bytes;
  const view = new DataView(buffer, byteOffset, byteLength);
  switch (dtype) {
    case "F32":
      return byteOffset % 4 === 0
        ? new Float32Array(buffer, byteOffset, byteLength / 4)
        : new Float32Array(bytes.slice().buffer);
    case "F64": {
      const values = new Float32Array(byteLength / 8);
      for (let i = 0; i < values.length; i++) values[i] = view.getFloat64(8 * i, true);
      return values;
    }
    case "BF16": {
      const words = wordsOf(bytes);
      const bits = new Uint32Array(words.length);
      for (let i = 0; i < bits.length; i++) bits[i] = words[i]! << 16;
      return new Float32Array(bits.buffer);
    }
    case "F16": {
      halves ??= Float32Array.from({ length: 2 ** 16 }, (_, bits) => halfToNumber(bits));
      const words = wordsOf(bytes);
      const values = new Float32Array(words.length);
      for (let i = 0; i < values.length; i++) values[i] = halves[words[i]!]!;
      return values;
    }
    default:
      return fail("unsupported", `tensor ${name} is ${dtype} and weights must be F32, F16, BF16 or F64`, {
        name,
        dtype,
      });
  }
}

/** The value of every binary16 bit pattern, made when the first is needed: a lookup is ten times as fast as the formula. */
let halves: Float32Array | null = null;

/** Little-endian 16-bit words, viewed where they are aligned. */
function wordsOf(bytes: Uint8Array): Uint16Array {
  const { buffer, byteOffset, byteLength } = bytes;
  return byteOffset % 2 === 0
    ? new Uint16Array(buffer, byteOffset, byteLength / 2)
    : new Uint16Array(bytes.slice().buffer);
}

/** The value of an IEEE 754 binary16 bit pattern. */
export function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
