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
 *
 * All that the inner loop touches is in one array, at the places below: each array more would take three registers for its
 * address and length, and the loop has none left.
 */
import { bitsOf, type Codebook, type Codes } from "./description.ts";
import { type BitCoder, ONE } from "./rans.ts";

/** ln(p / (1 - p)) in 256ths, of p = (i + 0.5) / 4096. */
export const STRETCH = Int16Array.from({ length: 4096 }, (_, i) =>
  Math.max(-2047, Math.min(2047, Math.round(256 * Math.log((i + 0.5) / (4095.5 - i))))),
);
/** Its inverse, of (i - 2048) / 256, in 32768ths. */
export const SQUASH = Int16Array.from({ length: 4096 }, (_, i) => Math.round(ONE / (1 + Math.exp((2048 - i) / 256))));

/**
 * What an adaptive probability takes over of an error after n bits, in 65536ths, and in the lowest bit whether it goes on
 * counting them.
 */
const rates = (limit: number): Int32Array =>
  Int32Array.from({ length: 256 }, (_, n) => (Math.round(131072 / (2 * n + 3)) << 1) | (n < limit ? 1 : 0));

/** An adaptive probability: 16 bits of it, and how many bits it has seen below them. It begins at a half. */
const HALF = 32768 << 8;

const HASHED_BITS = 18;
const INPUTS = 4;
const WEIGHT = 6000; // 0.37 in 16384ths
const HISTORY = 7;

// A model's memory: STRETCH from 0, SQUASH by its argument, rates by bits seen, "same" by context, then weights and tables.
const SQUASH_AT = 4096 + 2048;
const SAME_RATES_AT = 8192;
const DIGIT_RATES_AT = SAME_RATES_AT + 256;
const SAME_AT = DIGIT_RATES_AT + 256;
const WEIGHTS_AT = SAME_AT + 512;

interface Digit {
  readonly levels: number;
  readonly bits: number;
  /** Where its weights begin: [first step or later, bit, input]. */
  readonly weights: number;
  /** Where its adaptive probabilities begin: [input, slot]. */
  readonly tables: number;
  readonly slots: number;
}

/** The model of one codebook's codes on a grid of `rows` x `columns`. */
export class CodeModel {
  private readonly rows: number;
  private readonly columns: number;
  private readonly digits: readonly Digit[];
  private readonly memory: Int32Array;
  /** Where the tables begin. */
  private readonly tables: number;
  /** Per site, whether its code was that of the step before: the last three steps, the latest lowest. A border of ones. */
  private readonly history: Uint8Array;
  /** Digits of every site's latest code, [row, column, digit]. A border of zeros above and on the left. */
  private readonly latest: Uint32Array;

  constructor(codebook: Codebook, [rows, columns]: readonly [number, number]) {
    this.rows = rows;
    this.columns = columns;
    this.history = new Uint8Array((rows + 2) * (columns + 2));
    const shapes = (codebook.levels ?? [codebook.size]).map((levels) => {
      const bits = bitsOf({ ...codebook, size: levels });
      return { levels, bits, slots: 1 << Math.min(2 * bits, HASHED_BITS) };
    });
    this.latest = new Uint32Array((rows + 1) * (columns + 1) * shapes.length);
    this.tables = WEIGHTS_AT + shapes.reduce((sum, { bits }) => sum + 2 * bits * INPUTS, 0);
    let [weights, tables] = [WEIGHTS_AT, this.tables];
    this.digits = shapes.map((shape) => {
      const digit = { ...shape, weights, tables };
      weights += 2 * shape.bits * INPUTS;
      tables += shape.slots * INPUTS;
      return digit;
    });
    this.memory = new Int32Array(tables);
    this.memory.set(STRETCH);
    this.memory.set(SQUASH, STRETCH.length);
    this.memory.set(rates(250), SAME_RATES_AT);
    this.memory.set(rates(60), DIGIT_RATES_AT);
  }

  /** Codes a chunk, [steps, rows, columns]: encoding reads `codes`, decoding fills it. */
  run(coder: BitCoder, codes: Codes): void {
    const { rows, columns } = this;
    const sites = rows * columns;
    this.reset();
    for (let at = 0; at < codes.length; ) {
      const later = at < sites ? 0 : 1;
      for (let row = 1; row <= rows; row++) {
        let cell = row * (columns + 2) + 1;
        let site = (row * (columns + 1) + 1) * this.digits.length;
        for (const end = at + columns; at < end; at++, cell++, site += this.digits.length) {
          const before = later === 1 ? codes[at - sites]! : 0;
          if (later === 1 && this.isSame(coder, cell, codes[at] === before ? 1 : 0) === 1) codes[at] = before;
          else codes[at] = this.symbol(coder, site, codes[at]!, later);
        }
      }
    }
  }

  private reset(): void {
    const { rows, columns, memory, history } = this;
    memory.fill(HALF, SAME_AT, WEIGHTS_AT);
    memory.fill(WEIGHT, WEIGHTS_AT, this.tables);
    memory.fill(HALF, this.tables);
    this.latest.fill(0);
    history.fill(1);
    for (let row = 1; row <= rows; row++) history.fill(0, row * (columns + 2) + 1, (row + 1) * (columns + 2) - 1);
  }

  /** The decision whether a site has the code of the step before. Beyond the border everything stays the same. */
  private isSame(coder: BitCoder, cell: number, same: number): number {
    const { history, memory } = this;
    const row = this.columns + 2;
    const own = history[cell]!;
    // Left and above have been decided in this step, right and below in the step before.
    const context =
      (history[cell - 1]! & 1) |
      ((history[cell - row]! & 1) << 1) |
      ((history[cell - row - 1]! & 1) << 2) |
      ((history[cell - row + 1]! & 1) << 3) |
      ((history[cell + 1]! & 1) << 4) |
      ((history[cell + row]! & 1) << 5) |
      (own << 6);
    const value = memory[SAME_AT + context]!;
    const bit = coder.code(between(16, value >> 9, ONE - 16), same);
    memory[SAME_AT + context] = learned(memory, value, -bit & 65535, SAME_RATES_AT);
    history[cell] = ((own << 1) | bit) & HISTORY;
    return bit;
  }

  private symbol(coder: BitCoder, site: number, code: number, later: number): number {
    const { digits, latest, memory } = this;
    const row = (this.columns + 1) * digits.length;
    let [result, scale, previous] = [0, 1, 0];
    for (let i = 0; i < digits.length; i++) {
      const digit = digits[i]!;
      const at = site + i;
      const rest = Math.floor(code / digit.levels);
      const value = code - rest * digit.levels;
      const [left, above, before] = [latest[at - digits.length]!, latest[at - row]!, latest[at]!];
      previous = codeDigit(coder, memory, digit, value, later, previous, left, above, before);
      latest[at] = previous;
      result += previous * scale;
      scale *= digit.levels;
      code = rest;
    }
    return result;
  }
}

/** Codes a digit bit by bit; its contexts are digits. */
function codeDigit(
  coder: BitCoder,
  memory: Int32Array,
  { bits, weights, tables, slots }: Digit,
  value: number,
  later: number,
  previous: number,
  left: number,
  above: number,
  before: number,
): number {
  const mask = slots - 1;
  const spread = 2 * bits > HASHED_BITS ? 0x9e35 : 1;
  const b0 = start(previous, bits);
  const b1 = start(left, bits);
  const b2 = start(above, bits);
  const b3 = start(before, bits);
  const t1 = (tables + slots) | 0;
  const t2 = (t1 + slots) | 0;
  const t3 = (t2 + slots) | 0;
  const squashAt = SQUASH_AT;
  const ratesAt = DIGIT_RATES_AT;
  const inputs = INPUTS;
  let node = 1;
  let w = weights + (later * bits + bits - 1) * inputs;
  for (let k = bits - 1; k >= 0; k--, w -= inputs) {
    const n = Math.imul(node, spread);
    const i0 = (tables + ((b0 + n) & mask)) | 0;
    const i1 = (t1 + ((b1 + n) & mask)) | 0;
    const i2 = (t2 + ((b2 + n) & mask)) | 0;
    const i3 = (t3 + ((b3 + n) & mask)) | 0;
    const v0 = memory[i0]!;
    const v1 = memory[i1]!;
    const v2 = memory[i2]!;
    const v3 = memory[i3]!;
    const s0 = memory[v0 >> 12]!;
    const s1 = memory[v1 >> 12]!;
    const s2 = memory[v2 >> 12]!;
    const s3 = memory[v3 >> 12]!;
    const w0 = memory[w]!;
    const w1 = memory[w + 1]!;
    const w2 = memory[w + 2]!;
    const w3 = memory[w + 3]!;
    const sum = (Math.imul(w0, s0) + Math.imul(w1, s1) + Math.imul(w2, s2) + Math.imul(w3, s3)) | 0;
    const p = memory[squashAt + between(-2047, sum >> 14, 2047)]!;
    const bit = coder.code(p, (value >> k) & 1);
    const error = (bit << 15) - p;
    memory[w] = moved(w0, s0, error);
    memory[w + 1] = moved(w1, s1, error);
    memory[w + 2] = moved(w2, s2, error);
    memory[w + 3] = moved(w3, s3, error);
    const target = -bit & 65535;
    memory[i0] = learned(memory, v0, target, ratesAt);
    memory[i1] = learned(memory, v1, target, ratesAt);
    memory[i2] = learned(memory, v2, target, ratesAt);
    memory[i3] = learned(memory, v3, target, ratesAt);
    node = (node << 1) | bit;
  }
  return node - (1 << bits);
}

/** Where a context's tree begins in a table. */
const start = (context: number, bits: number): number =>
  2 * bits > HASHED_BITS ? Math.imul(context + 1, 0x9e3779b1) >>> 14 : context << bits;

/** An adaptive probability after one more bit: `target` is 65535 for a 1, 0 for a 0. */
function learned(memory: Int32Array, value: number, target: number, ratesAt: number): number {
  const rate = memory[ratesAt + (value & 255)]!;
  return value + ((Math.imul(target - (value >> 8), rate >> 1) >> 8) & ~255) + (rate & 1);
}

/** A weight after one more bit, within +-8, so that four products with 2047 fit 31 bits. */
const moved = (weight: number, input: number, error: number): number =>
  between(-131071, weight + ((Math.imul(input, error) + 8192) >> 14), 131071);

/** A whole number held between two others. Math.min and Math.max in its place take a quarter of the whole coder's time. */
function between(least: number, value: number, most: number): number {
  if (value < least) return least;
  if (value > most) return most;
  return value;
}
