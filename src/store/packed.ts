/** Codes of n bits, n from 1 to 18, in 32-bit words: least significant bit first, 32 codes in n words. */
import type { Codes } from "./description.ts";

/** Words that `count` codes take up. */
export const packedWords = (count: number, bits: number): number => Math.ceil((count * bits) / 32);

/** Writes `codes`, each below 2^bits, into `words`, which are zero. */
export function pack(codes: Codes, bits: number, words: Uint32Array): void {
  let word = 0;
  let filled = 0;
  let at = 0;
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i]!;
    word |= code << filled;
    filled += bits;
    if (filled >= 32) {
      words[at++] = word;
      filled -= 32;
      word = filled > 0 ? code >>> (bits - filled) : 0;
    }
  }
  if (filled > 0) words[at] = word;
}

/** Reads `codes.length` codes. */
export function unpack(words: Uint32Array, bits: number, codes: Codes): void {
  const mask = 2 ** bits - 1;
  let shift = 0;
  let at = 0;
  for (let i = 0; i < codes.length; i++) {
    let code = words[at]! >>> shift;
    shift += bits;
    if (shift >= 32) {
      at++;
      shift -= 32;
      if (shift > 0) code |= words[at]! << (bits - shift);
    }
    codes[i] = code & mask;
  }
}
