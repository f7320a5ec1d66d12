import { tensor } from "../../src/core/tensor.ts";
import { embedCodes, embedParts, type Quantiser, quantiserChannels } from "../../src/models/codebooks.ts";
import { packedWords } from "../../src/ops/embed.ts";
import { codebookCount, codebookSize } from "../../src/weights/compressor.ts";
import { linear } from "../close.ts";
import { type OpCase, opCase } from "./case.ts";
import type { Random } from "./random.ts";

interface Size {
  readonly grid: readonly [number, number, number];
  readonly quantiser: Quantiser;
  readonly out: number;
  readonly packed?: boolean;
  readonly bench?: boolean;
}

/** The vector of a code in f64: a row of a codebook, or the digits of a scalar quantiser from -1 on. */
function vectorOf(q: Quantiser, codes: readonly number[], book: ArrayLike<number> | undefined): number[] {
  if (q.kind === "vq")
    return codes.flatMap((code, b) =>
      Array.from({ length: q.dim }, (_, i) => book![(b * q.codes + code) * q.dim + i]!),
    );
  let rest = codes[0]!;
  return q.levels.map((level) => {
    const digit = rest % level;
    rest = Math.floor(rest / level);
    return (digit - Math.floor(level / 2)) / Math.floor(level / 2);
  });
}

/** Codes of `bits` bits each, lowest first, a plane of whole words a codebook: as the store's chunks hold them. */
function pack(codes: ArrayLike<number>, books: number, bits: number): Float32Array<ArrayBuffer> {
  const count = codes.length / books;
  const plane = packedWords(count, bits);
  const words = new Uint32Array(books * plane);
  for (let b = 0; b < books; b++)
    for (let i = 0; i < count; i++)
      for (let bit = 0; bit < bits; bit++) {
        const at = i * bits + bit;
        if ((codes[i * books + b]! >> bit) & 1) words[b * plane + Math.floor(at / 32)]! |= 1 << (at % 32);
      }
  return new Float32Array(words.buffer);
}

function unpack(words: Float32Array<ArrayBuffer>, count: number, books: number, bits: number): number[] {
  const raw = new Uint32Array(words.buffer, words.byteOffset, words.length);
  const plane = raw.length / books;
  return Array.from({ length: count * books }, (_, i) => {
    const [site, b] = [Math.floor(i / books), i % books];
    let code = 0;
    for (let bit = 0; bit < bits; bit++) {
      const at = site * bits + bit;
      code += ((raw[b * plane + Math.floor(at / 32)]! >>> (at % 32)) & 1) * 2 ** bit;
    }
    return code;
  });
}

function make({ grid, quantiser: q, out, packed = false, bench = false }: Size): OpCase {
  const [sites, books, wide] = [grid.reduce((a, b) => a * b, 1), codebookCount(q), quantiserChannels(q)];
  const bits = Math.ceil(Math.log2(codebookSize(q)));
  const kind = q.kind === "vq" ? `${books} x ${q.codes} x ${q.dim}` : `levels ${q.levels.join("x")}`;
  const codesOf = (random: Random) => Float32Array.from({ length: sites * books }, () => random.below(codebookSize(q)));
  const projection = { weight: "p.weight", bias: "p.bias", out };
  return opCase({
    op: "embed",
    title: `[${grid.join(", ")}] ${kind} -> ${out}${packed ? ` packed ${bits} bits` : ""}`,
    bench,
    flops: sites * out * embedParts(q).length,
    weights: {
      "p.weight": [out, wide, 1, 1],
      "p.bias": [out],
      ...(q.kind === "vq" ? { "q.codebook": [books, q.codes, q.dim] } : {}),
    },
    build(g) {
      const words = { type: "u32", shape: [books * packedWords(sites, bits)] } as const;
      const codes = g.input("codes", packed ? words : tensor(...grid, books));
      const as = packed ? { bits, grid } : undefined;
      g.output("y", embedCodes(g, "vectors", codes, q, "q.codebook", projection, as));
    },
    feeds: (random) => ({ codes: packed ? pack(codesOf(random), books, bits) : codesOf(random) }),
    expected({ codes }, weights) {
      const [w, bias, book] = [weights.get("p.weight")!, weights.get("p.bias")!, weights.get("q.codebook")];
      const given = packed ? unpack(codes!, sites, books, bits) : Array.from(codes!);
      const [want, magnitude] = [new Float64Array(sites * out), new Float64Array(sites * out)];
      for (let n = 0; n < sites; n++) {
        const vector = vectorOf(q, given.slice(n * books, n * books + books), book);
        for (let o = 0; o < out; o++) {
          const terms = [bias[o]!, ...vector.map((v, i) => v * w[o * wide + i]!)];
          want[n * out + o] = terms.reduce((a, b) => a + b, 0);
          magnitude[n * out + o] = terms.reduce((a, b) => a + Math.abs(b), 0);
        }
      }
      return { y: linear([...grid, out], want, magnitude, embedParts(q).length) };
    },
  });
}

const SIZES: readonly Size[] = [
  { grid: [1, 3, 5], quantiser: { kind: "vq", codes: 256, dim: 8, codebooks: 1 }, out: 13 },
  { grid: [2, 3, 2], quantiser: { kind: "vq", codes: 11, dim: 4, codebooks: 3 }, out: 6 },
  { grid: [1, 7, 5], quantiser: { kind: "fsq", levels: [8, 6, 5] }, out: 9 },
  { grid: [3, 5, 7], quantiser: { kind: "fsq", levels: [16, 8, 8, 8] }, out: 5, packed: true }, // 13 bits: codes lie across words
  { grid: [2, 5, 9], quantiser: { kind: "vq", codes: 300, dim: 4, codebooks: 2 }, out: 7, packed: true },
  { grid: [1, 4, 8], quantiser: { kind: "vq", codes: 256, dim: 8, codebooks: 1 }, out: 4, packed: true },
  {
    grid: [25, 32, 32],
    quantiser: { kind: "vq", codes: 256, dim: 8, codebooks: 1 },
    out: 64,
    packed: true,
    bench: true,
  },
];

export const embedCases: readonly OpCase[] = SIZES.map(make);
