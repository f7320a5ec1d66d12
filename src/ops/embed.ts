import { fail } from "../core/fail.ts";
import { dispatch, flat } from "../core/kernel.ts";
import { defineOp } from "../core/op.ts";
import { channels, elements, product, quads, rows, shapeText, tensor } from "../core/tensor.ts";
import * as kernels from "../kernels.gen.ts";

/** One summand of an embedding: a codebook, or a digit of a scalar quantiser's code. */
export interface EmbedPart {
  /** Which of a site's codes. */
  readonly channel: number;
  /** The code divided by this, modulo `size`, is the row of the part's table. */
  readonly place: number;
  readonly size: number;
}

export interface EmbedAttrs {
  /** Channels of a vector. */
  readonly out: number;
  readonly parts: readonly EmbedPart[];
  /** Codes that are packed: bits of each, and the code grid [steps, height, width] that the words hold. */
  readonly packed?: { readonly bits: number; readonly grid: readonly [number, number, number] };
}

/** Words of a plane of `count` codes of so many bits. */
export const packedWords = (count: number, bits: number): number => Math.ceil((count * bits) / 32);

const codebooksOf = ({ parts }: EmbedAttrs): number => Math.max(...parts.map(({ channel }) => channel)) + 1;

/**
 * Codes to vectors, through the 1x1 convolution behind the codebooks: y [steps, height, width, out] is the sum of a table row a part. Takes
 * `codes` [steps, height, width, codebooks], whole numbers in f32, or with `packed` the words of a store's chunk as they are, [codebooks * words] (u32: feed
 * their bytes). `table` [rows of all parts, out] and `constants` (four numbers a part) are packed by `embedTable` of
 * src/models/codebooks.ts. A code beyond its part's size wraps around.
 */
export const embed = defineOp<EmbedAttrs>({
  name: "embed",
  takes: ["codes", "constants", "table"],
  infer({ codes, constants, table }, attrs) {
    const { out, parts, packed } = attrs;
    const sizes = parts.reduce((sum, { size }) => sum + size, 0);
    if (elements(table!) !== sizes * quads(out) * 4 || elements(constants!) !== parts.length * 4)
      fail(
        "graph",
        `the table holds ${elements(table!)} elements, ${sizes} rows of ${out} channels need ${sizes * quads(out) * 4}`,
      );
    const books = codebooksOf(attrs);
    if (!packed) {
      if (codes!.shape.length !== 4 || channels(codes!) !== books)
        fail("graph", `codes are [steps, height, width, ${books}], got ${shapeText(codes!)}`);
      return { y: tensor(...codes!.shape.slice(0, -1), out) };
    }
    const count = product(packed.grid);
    const words = packedWords(count, packed.bits);
    if (packed.bits < 1 || packed.bits > 24 || count * packed.bits >= 2 ** 32)
      fail("graph", `${count} codes of ${packed.bits} bits; at most 24 bits each and 2^32 in all, take fewer steps`);
    if (elements(codes!) !== books * words)
      fail(
        "graph",
        `${books} planes of ${count} codes of ${packed.bits} bits are ${books * words} words, got ${shapeText(codes!)}`,
      );
    return { y: tensor(...packed.grid, out) };
  },
  lower({ codes, constants, table, y }, attrs) {
    const { out, parts, packed } = attrs;
    const total = rows(y!.spec) * quads(out);
    return [
      dispatch(kernels.embed, {
        consts: { PACKED: packed !== undefined },
        params: {
          rows: rows(y!.spec),
          channels4: quads(out),
          parts: parts.length,
          stride: packed ? 0 : quads(channels(codes!.spec)) * 4,
          bits: packed?.bits ?? 0,
          plane_words: packed ? packedWords(rows(y!.spec), packed.bits) : 0,
        },
        bind: { codes: codes!, parts: constants!, table: table!, y: y! },
        groups: flat(total, kernels.embed.consts.WG),
      }),
    ];
  },
});
