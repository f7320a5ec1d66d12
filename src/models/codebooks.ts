// Quantisers as the ops read them: codebooks in blocks with their norms, levels with their bounds, and tables behind a 1x1 convolution.
import { fail } from "../core/fail.ts";
import type { GraphBuilder, Value } from "../core/graph.ts";
import { quads } from "../core/tensor.ts";
import { type EmbedPart, embed } from "../ops/embed.ts";
import { fsq, fsqPlaces } from "../ops/fsq.ts";
import { vq, vqPart } from "../ops/vq.ts";
import type { Quantiser } from "../weights/types.ts";

export type { Quantiser };

/** The tensor of a compressor's codebooks, [codebooks, codes, dim]; a scalar quantiser has none. */
export const CODEBOOK = "quantiser.codebook";

/** A 1x1 convolution of a checkpoint: weight [out, in, 1, 1] and bias [out]. */
export interface Projection {
  readonly weight: string;
  readonly bias: string;
  readonly out: number;
}

/** Channels of the vectors that are quantised. */
export const quantiserChannels = (q: Quantiser): number => (q.kind === "vq" ? q.dim * q.codebooks : q.levels.length);

/** Larger than any score: no code is there. */
const NOWHERE = 3.4028234e38;

/**
 * Codebooks [codebooks, codes, dim] for the op `vq`: -2 e in 4x4 blocks, a column a channel, and |e|^2, summed in f64.
 * `split` "strided": codebook b of m reads channels b, b + m, ... (the paper's released code; weights of our own do not).
 */
export function vqWeights(
  g: GraphBuilder,
  name: string,
  tensor: string,
  q: Extract<Quantiser, { kind: "vq" }>,
  split: "contiguous" | "strided" = "contiguous",
): { w: Value; norms: Value } {
  const { codes, dim, codebooks } = q;
  const input = dim * codebooks;
  const part4 = vqPart(input, { codes, codebooks, split });
  const tensors = { [tensor]: [codebooks, codes, dim] };
  const codes4 = quads(codes);
  const w = g.weight(`${name}.w`, {
    tensors,
    length: codebooks * codes4 * part4 * 16,
    pack(get) {
      const book = get(tensor);
      const packed = new Float32Array(codebooks * codes4 * part4 * 16);
      for (let b = 0; b < codebooks; b++)
        for (let k = 0; k < codes; k++)
          for (let i = 0; i < dim; i++) {
            const channel = split === "strided" && codebooks > 1 ? i * codebooks + b : i;
            const block = ((b * codes4 + (k >> 2)) * part4 + (channel >> 2)) * 16;
            packed[block + (channel & 3) * 4 + (k & 3)] = -2 * book[(b * codes + k) * dim + i]!;
          }
      return packed;
    },
  });
  const norms = g.weight(`${name}.norms`, {
    tensors,
    length: codebooks * codes4 * 4,
    pack(get) {
      const book = get(tensor);
      const packed = new Float32Array(codebooks * codes4 * 4).fill(NOWHERE);
      for (let b = 0; b < codebooks; b++)
        for (let k = 0; k < codes; k++) {
          let sum = 0;
          for (let i = 0; i < dim; i++) sum += book[(b * codes + k) * dim + i]! ** 2;
          packed[b * codes4 * 4 + k] = sum;
        }
      return packed;
    },
  });
  return { w, norms };
}

/** Shift, half, offset and place of each level for the op `fsq`; see kernels/fsq.wgsl. */
export function fsqConstants(g: GraphBuilder, name: string, levels: readonly number[]): Value {
  const places = fsqPlaces(levels);
  return g.weight(name, {
    tensors: {},
    length: quads(levels.length) * 16,
    pack() {
      const packed = new Float32Array(quads(levels.length) * 16);
      for (const [i, level] of levels.entries()) {
        const half = ((level - 1) * (1 + 1e-3)) / 2;
        const offset = level % 2 === 0 ? 0.5 : 0;
        packed.set([Math.atanh(offset / half), half, offset, places[i]!], 4 * i);
      }
      return packed;
    },
  });
}

/** z [..., channels] -> codes [..., codebooks]. `codebook` names the checkpoint's tensor; a scalar quantiser has none. */
export function quantise(g: GraphBuilder, name: string, z: Value, q: Quantiser, codebook: string): Value {
  if (q.kind === "fsq")
    return g.apply(fsq, name, { z, constants: fsqConstants(g, `${name}.constants`, q.levels) }, { levels: q.levels })
      .codes!;
  const weights = vqWeights(g, name, codebook, q);
  return g.apply(vq, name, { z, ...weights }, { codes: q.codes, codebooks: q.codebooks }).codes!;
}

/** Summands of a quantiser's vectors: a codebook each, or a digit each. */
export function embedParts(q: Quantiser): EmbedPart[] {
  if (q.kind === "vq")
    return Array.from({ length: q.codebooks }, (_, channel) => ({ channel, place: 1, size: q.codes }));
  const places = fsqPlaces(q.levels);
  return q.levels.map((size, i) => ({ channel: 0, place: places[i]!, size }));
}

/**
 * The table of the op `embed`: every codebook (or level: (digit - floor(L/2)) / floor(L/2)) times the 1x1 convolution that follows, in f64, its
 * bias in the rows of the first part.
 */
export function embedTable(g: GraphBuilder, name: string, q: Quantiser, codebook: string, p: Projection): Value {
  const parts = embedParts(q);
  const channels = quantiserChannels(q);
  const stride = quads(p.out) * 4;
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  const wide = channels / parts.length;
  return g.weight(name, {
    tensors: {
      [p.weight]: [p.out, channels, 1, 1],
      [p.bias]: [p.out],
      ...(q.kind === "vq" ? { [codebook]: [q.codebooks, q.codes, q.dim] } : {}),
    },
    length: size * stride,
    pack(get) {
      const [weight, bias] = [get(p.weight), get(p.bias)];
      const book = q.kind === "vq" ? get(codebook) : null;
      const packed = new Float32Array(size * stride);
      let row = 0;
      for (const [i, part] of parts.entries())
        for (let k = 0; k < part.size; k++, row++)
          for (let o = 0; o < p.out; o++) {
            let sum = i === 0 ? bias[o]! : 0;
            for (let c = 0; c < wide; c++) {
              const half = Math.floor(part.size / 2);
              sum += weight[o * channels + i * wide + c]! * (book ? book[row * wide + c]! : (k - half) / half);
            }
            packed[row * stride + o] = sum;
          }
      return packed;
    },
  });
}

/** The steps, rows and columns of a store's packed words, and the bits of a code in them. */
export interface PackedCodes {
  readonly bits: number;
  readonly grid: readonly [number, number, number];
}

/** Codes (or a store's words) -> vectors behind the projection, [steps, height, width, out]. */
export function embedCodes(
  g: GraphBuilder,
  name: string,
  codes: Value,
  q: Quantiser,
  codebook: string,
  projection: Projection,
  packed?: PackedCodes,
): Value {
  const table = embedTable(g, `${name}.table`, q, codebook, projection);
  return embedRows(g, name, codes, q, { table, out: projection.out }, packed);
}

/** Codes (or a store's words) -> the sum of a row of `table` for each codebook or digit, [steps, height, width, out]. */
export function embedRows(
  g: GraphBuilder,
  name: string,
  codes: Value,
  q: Quantiser,
  { table, out }: { readonly table: Value; readonly out: number },
  packed?: PackedCodes,
): Value {
  const parts = embedParts(q);
  if (parts.length === 0) fail("graph", "a quantiser without codebooks has no vectors");
  const constants = g.weight(`${name}.parts`, {
    tensors: {},
    length: parts.length * 4,
    pack() {
      const numbers = new Float32Array(parts.length * 4);
      let start = 0;
      for (const [i, { channel, place, size }] of parts.entries()) {
        numbers.set([channel, place, size, start], 4 * i);
        start += size;
      }
      return numbers;
    },
  });
  const attrs = { out, parts, ...(packed ? { packed } : {}) };
  return g.apply(embed, name, { codes, constants, table }, attrs).y!;
}
