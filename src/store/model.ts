/**
 * How likely a code is, learned within a chunk. Integers only, so that every machine decodes what another encoded; README.md
 * states the model to the letter, because a change to it is a change of the format.
 *
 * A site of the chunk's first step is coded as a symbol. A later one begins with the decision whether its code is that of
 * the step before, in the context of its neighbours' decisions; if not, the symbol follows. A symbol is a digit (vq) or a
 * digit per level (fsq); a digit's bits, highest first, are nodes of a binary tree. Each node has four adaptive
 * probabilities, whose contexts are the digit before it in the same code and the same digit left, above and one step ago;
 * they are mixed in the logistic domain with weights that are learned too (Mahoney 2005, "Adaptive weighing of context
 * models for lossless data compression").
 */
import { bitsOf, type Codebook, type Codes } from "./description.ts";
import { type BitCoder, ONE } from "./rans.ts";

/** ln(p / (1 - p)) in 256ths, of p = (i + 0.5) / 4096. */
export const STRETCH = Int16Array.from({ length: 4096 }, (_, i) =>
  Math.max(-2047, Math.min(2047, Math.round(256 * Math.log((i + 0.5) / (4095.5 - i))))),
);
/** Its inverse, of (i - 2048) / 256, in 32768ths. */
export const SQUASH = Int16Array.from({ length: 4096 }, (_, i) => Math.round(ONE / (1 + Math.exp((2048 - i) / 256))));

/** What of an error an adaptive probability takes over after n bits, in 65536ths. */
const RATE = Int32Array.from({ length: 256 }, (_, n) => Math.round(131072 / (2 * n + 3)));
const SAME_LIMIT = 250;
const DIGIT_LIMIT = 60;

/** An adaptive probability: 16 bits of it, and how many bits it has seen below them. It begins at a half. */
const HALF = 32768 << 8;

const HASHED_BITS = 18;
const INPUTS = 4;
const WEIGHT = 6000; // 0.37 in 16384ths
const HISTORY = 7;

interface Digit {
  readonly levels: number;
  readonly bits: number;
  /** Adaptive probabilities per input. */
  readonly tables: readonly Int32Array[];
  /** Weights [first step or later, bit, input]. */
  readonly weights: Int32Array;
}

/** The model of one codebook's codes on a grid of `rows` x `columns`. */
export class CodeModel {
  private readonly columns: number;
  private readonly sites: number;
  private readonly digits: readonly Digit[];
  private readonly same = new Int32Array(512);
  /** Per site, whether its code was that of the step before: the last three steps, the latest lowest. */
  private readonly history: Uint8Array;

  constructor(codebook: Codebook, [rows, columns]: readonly [number, number]) {
    this.columns = columns;
    this.sites = rows * columns;
    this.history = new Uint8Array(this.sites);
    this.digits = (codebook.levels ?? [codebook.size]).map((levels) => {
      const bits = bitsOf({ ...codebook, size: levels });
      const slots = 1 << Math.min(2 * bits, HASHED_BITS);
      const tables = Array.from({ length: INPUTS }, () => new Int32Array(slots));
      return { levels, bits, tables, weights: new Int32Array(2 * bits * INPUTS) };
    });
  }

  /** Codes a chunk, [steps, rows, columns]: encoding reads `codes`, decoding fills it. */
  run(coder: BitCoder, codes: Codes): void {
    const { columns, sites, history } = this;
    this.reset();
    for (let at = 0, site = 0, column = 0; at < codes.length; at++) {
      const before = at >= sites ? codes[at - sites]! : 0;
      if (at < sites || !this.isSame(coder, site, column, codes[at] === before)) {
        const left = column > 0 ? codes[at - 1]! : 0;
        const above = site >= columns ? codes[at - columns]! : 0;
        codes[at] = this.symbol(coder, codes[at]!, left, above, before, at < sites ? 0 : 1);
      } else {
        codes[at] = before;
      }
      column = column + 1 === columns ? 0 : column + 1;
      site = site + 1 === sites ? 0 : site + 1;
    }
    history.fill(0);
  }

  private reset(): void {
    this.same.fill(HALF);
    this.history.fill(0);
    for (const { tables, weights } of this.digits) {
      for (const table of tables) table.fill(HALF);
      weights.fill(WEIGHT);
    }
  }

  /** The decision whether a site has the code of the step before. Beyond the border everything stays the same. */
  private isSame(coder: BitCoder, site: number, column: number, same: boolean): boolean {
    const { columns, sites, history } = this;
    const [west, east] = [column > 0, column < columns - 1];
    const north = site >= columns;
    const own = history[site]!;
    // Left and above have been decided in this step, right and below in the step before.
    const context =
      (west ? history[site - 1]! & 1 : 1) |
      ((north ? history[site - columns]! & 1 : 1) << 1) |
      ((north && west ? history[site - columns - 1]! & 1 : 1) << 2) |
      ((north && east ? history[site - columns + 1]! & 1 : 1) << 3) |
      ((east ? history[site + 1]! & 1 : 1) << 4) |
      ((site + columns < sites ? history[site + columns]! & 1 : 1) << 5) |
      (own << 6);
    const value = this.same[context]!;
    const p = value >> 9;
    const bit = coder.code(Math.max(16, Math.min(ONE - 16, p)), same ? 1 : 0);
    this.same[context] = learn(value, bit, SAME_LIMIT);
    history[site] = ((own << 1) | bit) & HISTORY;
    return bit === 1;
  }

  private symbol(coder: BitCoder, code: number, left: number, above: number, before: number, later: number): number {
    let result = 0;
    let scale = 1;
    let previous = 0;
    for (const digit of this.digits) {
      const { levels } = digit;
      const value = this.digit(
        coder,
        digit,
        code % levels,
        previous,
        left % levels,
        above % levels,
        before % levels,
        later,
      );
      result += value * scale;
      scale *= levels;
      previous = value;
      code = Math.floor(code / levels);
      left = Math.floor(left / levels);
      above = Math.floor(above / levels);
      before = Math.floor(before / levels);
    }
    return result;
  }

  private digit(
    coder: BitCoder,
    { bits, tables, weights }: Digit,
    value: number,
    previous: number,
    left: number,
    above: number,
    before: number,
    later: number,
  ): number {
    const [t0, t1, t2, t3] = tables as [Int32Array, Int32Array, Int32Array, Int32Array];
    const mask = t0.length - 1;
    const [b0, b1, b2, b3] = [start(previous, bits), start(left, bits), start(above, bits), start(before, bits)];
    const spread = 2 * bits > HASHED_BITS ? 0x9e35 : 1;
    let node = 1;
    for (let k = bits - 1; k >= 0; k--) {
      const n = Math.imul(node, spread);
      const [i0, i1, i2, i3] = [(b0 + n) & mask, (b1 + n) & mask, (b2 + n) & mask, (b3 + n) & mask];
      const [v0, v1, v2, v3] = [t0[i0]!, t1[i1]!, t2[i2]!, t3[i3]!];
      const [s0, s1, s2, s3] = [STRETCH[v0 >> 12]!, STRETCH[v1 >> 12]!, STRETCH[v2 >> 12]!, STRETCH[v3 >> 12]!];
      const w = (later * bits + k) * INPUTS;
      const sum = weights[w]! * s0 + weights[w + 1]! * s1 + weights[w + 2]! * s2 + weights[w + 3]! * s3;
      const mixed = sum >> 14;
      const p = SQUASH[Math.max(-2047, Math.min(2047, mixed)) + 2048]!;
      const bit = coder.code(p, (value >> k) & 1);
      const error = (bit << 15) - p;
      weights[w] = bound(weights[w]! + ((s0 * error + 8192) >> 14));
      weights[w + 1] = bound(weights[w + 1]! + ((s1 * error + 8192) >> 14));
      weights[w + 2] = bound(weights[w + 2]! + ((s2 * error + 8192) >> 14));
      weights[w + 3] = bound(weights[w + 3]! + ((s3 * error + 8192) >> 14));
      t0[i0] = learn(v0, bit, DIGIT_LIMIT);
      t1[i1] = learn(v1, bit, DIGIT_LIMIT);
      t2[i2] = learn(v2, bit, DIGIT_LIMIT);
      t3[i3] = learn(v3, bit, DIGIT_LIMIT);
      node = 2 * node + bit;
    }
    return node - (1 << bits);
  }
}

/** Where a context's tree begins in a table. */
const start = (context: number, bits: number): number =>
  2 * bits > HASHED_BITS ? Math.imul(context + 1, 0x9e3779b1) >>> 14 : context << bits;

/** An adaptive probability after one more bit. */
function learn(value: number, bit: number, limit: number): number {
  const p = value >> 8;
  const seen = value & 255;
  const next = p + ((((bit ? 65535 : 0) - p) * RATE[seen]!) >> 16);
  return (next << 8) | (seen < limit ? seen + 1 : seen);
}

/** Weights stay within +-8, so that four products with 2047 fit 31 bits. */
const bound = (weight: number): number => Math.max(-131071, Math.min(131071, weight));
