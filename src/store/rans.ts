/**
 * Binary rANS (Duda 2013, "Asymmetric numeral systems", section 3): a 31-bit state, probabilities of 15 bits, bytes out.
 * Coding goes backwards, so the encoder keeps its decisions and writes them last to first; the decoder goes forwards,
 * which lets a model learn from what it has seen.
 */

/** Probabilities are fractions of this. */
export const ONE = 1 << 15;
const LOWEST = 1 << 23; // of the state, between two decisions

/** Codes one decision: the encoder takes `bit` and returns it, the decoder returns the bit that was encoded. */
export interface BitCoder {
  /** @param p probability that the bit is 1, in 1 .. ONE - 1 */
  code(p: number, bit: number): number;
}

export class RansEncoder implements BitCoder {
  private decisions = new Uint16Array(1 << 16);
  private count = 0;

  code(p: number, bit: number): number {
    if (this.count === this.decisions.length) {
      const more = new Uint16Array(2 * this.count);
      more.set(this.decisions);
      this.decisions = more;
    }
    this.decisions[this.count++] = (p << 1) | bit;
    return bit;
  }

  /** The state after the last byte, little-endian, and the bytes; begins anew. */
  finish(): Uint8Array {
    const room = new Uint8Array(2 * this.count + 4); // a decision of probability 2^-15 takes up two bytes
    let at = room.length;
    let state = LOWEST;
    for (let i = this.count - 1; i >= 0; i--) {
      const p = this.decisions[i]! >> 1;
      const zero = (this.decisions[i]! & 1) - 1; // all bits set for a 0
      const share = (p & ~zero) | ((ONE - p) & zero);
      while (state >= share * 65536) {
        room[--at] = state & 255;
        state >>= 8;
      }
      const turns = (state / share) | 0;
      state = turns * ONE + (state - turns * share) + (p & zero);
    }
    this.count = 0;
    at -= 4;
    new DataView(room.buffer).setUint32(at, state, true);
    return room.slice(at);
  }
}

export class RansDecoder implements BitCoder {
  private readonly bytes: Uint8Array;
  private at = 4;
  private state: number;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    const valid = bytes.byteLength >= 4;
    this.state = valid ? new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) & 0x7fffffff : LOWEST;
  }

  code(p: number, _bit: number): number {
    const low = this.state & (ONE - 1);
    const bit = (low - p) >>> 31;
    const zero = bit - 1; // all bits set for a 0: which it is cannot be foreseen, so nothing branches on it
    const share = (p & ~zero) | ((ONE - p) & zero);
    let state = Math.imul(share, this.state >> 15) + low - (p & zero);
    while (state < LOWEST && this.at < this.bytes.length) state = (state << 8) | this.bytes[this.at++]!;
    this.state = state;
    return bit;
  }

  /** Whether all bytes were used and the state is the one that the encoder began with. */
  get ended(): boolean {
    return this.at === this.bytes.length && this.state === LOWEST;
  }
}
