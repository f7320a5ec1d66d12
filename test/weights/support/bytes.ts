/** Little-endian bytes and a seeded random source. */

import { joined } from "../../../src/core/join.ts";

export const concat = (parts: readonly Uint8Array[]): Uint8Array => joined(Uint8Array, parts);

export function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

export const u16 = (value: number): Uint8Array => new Uint8Array([value & 255, (value >> 8) & 255]);
export const u32 = (value: number): Uint8Array => concat([u16(value & 0xffff), u16(value >>> 16)]);
export const u64 = (value: number | bigint): Uint8Array => new Uint8Array(new BigUint64Array([BigInt(value)]).buffer);

/** mulberry32: uniform in [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
