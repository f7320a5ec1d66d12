// Which kernel computes a product, and in which tiles: the one place where that is chosen.
import type { WeightForm } from "../core/kept.ts";
import type { Dispatch } from "../core/kernel.ts";
import type { Caps, MatrixShape } from "../core/op.ts";
import * as kernels from "../kernels.gen.ts";

const LOADS = ["SAME", "WINDOW", "CLIP", "STREAM", "VOLUME"] as const;

/** A product, as far as choosing a kernel for it goes. */
export interface Product {
  /** Where rows come from. */
  readonly load: (typeof LOADS)[number];
  /** Of a phase: 1, but in a transposed convolution, whose phases are products of their own. */
  readonly rows: number;
  readonly phases: number;
  /** Output channels / 4. */
  readonly out4: number;
  /** Fours of channels of a sum. */
  readonly blocks: number;
  /** How the weights are kept and multiplied. */
  readonly form: WeightForm;
}

/** Rows and output channels of a workgroup. */
type Extent = readonly [rows: number, channels: number];

/** Threads of a workgroup that share a tile of the product: a thread owns ROWS rows by COLS groups of 4 channels. */
export interface Tile {
  readonly ROWS: number;
  readonly COLS: number;
  readonly ACROSS: number;
  readonly DEEP: number;
  readonly WG: number;
}

/** How a product is computed; see the kernel files. `registers`: every thread by itself, in tiles that suit the adapter or in these. */
export type Body =
  | { readonly kernel: "registers"; readonly tile: readonly [rows: number, cols: number] | null }
  | { readonly kernel: "tile"; readonly tile: Tile }
  | { readonly kernel: "matrix"; readonly extent: Extent };

/** Every body by name. */
export const BODIES = {
  registers: { kernel: "registers", tile: null },
  "registers 1x4": { kernel: "registers", tile: [1, 1] },
  "registers 2x8": { kernel: "registers", tile: [2, 2] },
  "registers 4x8": { kernel: "registers", tile: [4, 2] },
  "registers 8x16": { kernel: "registers", tile: [8, 4] },
  "tile 16x64": { kernel: "tile", tile: { ROWS: 2, COLS: 2, ACROSS: 8, DEEP: 4, WG: 64 } },
  "tile 32x64": { kernel: "tile", tile: { ROWS: 4, COLS: 2, ACROSS: 8, DEEP: 4, WG: 64 } },
  "tile 64x64": { kernel: "tile", tile: { ROWS: 8, COLS: 2, ACROSS: 8, DEEP: 4, WG: 64 } },
  "tile 128x64": { kernel: "tile", tile: { ROWS: 8, COLS: 2, ACROSS: 8, DEEP: 4, WG: 128 } },
  "tile 128x128": { kernel: "tile", tile: { ROWS: 8, COLS: 2, ACROSS: 16, DEEP: 2, WG: 256 } },
  "tile 128x32": { kernel: "tile", tile: { ROWS: 8, COLS: 1, ACROSS: 8, DEEP: 4, WG: 128 } },
  "matrix 32x64": { kernel: "matrix", extent: [32, 64] },
  "matrix 64x64": { kernel: "matrix", extent: [64, 64] },
  "matrix 128x128": { kernel: "matrix", extent: [128, 128] },
} as const satisfies Readonly<Record<string, Body>>;

export type BodyName = keyof typeof BODIES;

/** Workgroups that a tile makes of a product. */
export function workgroups({ rows, phases, out4 }: Product, [down, across]: Extent): number {
  return phases * Math.ceil(rows / down) * Math.ceil((4 * out4) / across);
}

export const tileExtent = ({ ROWS, COLS, ACROSS, WG }: Tile): Extent => [ROWS * (WG / ACROSS), 4 * COLS * ACROSS];

/** What every adapter has of workgroup memory, in bytes. */
const WORKGROUP_BYTES = 16384;

/**
 * How the subgroups of this device share a tile of matrices: the consts of the kernel and the type of operands; null where they
 * cannot, or weights would have to be unpacked. f32 products need f32 matrices; those of f16 weights take f16 ones where there are any.
 */
export function matrixTile(extent: Extent, form: WeightForm, caps: Caps) {
  const { matrices = [], subgroupSize = 0 } = caps;
  const { WG } = kernels.matmulSubgroupMatrix.consts;
  const subgroups = WG / subgroupSize;
  if (form === "unpacked" || form === "int8" || !Number.isInteger(subgroups)) return null;
  const ACROSS = subgroups >= 4 ? 2 : 1;
  const tileOf = ({ component, m, n, k }: MatrixShape) => {
    const [ROWS, COLS] = [extent[0] / m / (subgroups / ACROSS), extent[1] / n / ACROSS];
    const bytes = component === "f16" ? 2 : 4;
    const PAD = 16 / bytes;
    const consts = { M: m, N: n, K: k, SUBGROUP: subgroupSize, ROWS, COLS, ACROSS, PAD };
    // As deep a slab as there is memory for.
    for (const DEEP of [8, 4]) {
      const memory = bytes * (extent[0] * (4 * DEEP + PAD) + 4 * DEEP * (extent[1] + PAD)) + 4 * subgroups * m * n;
      const whole = [ROWS, COLS, (4 * DEEP) / k, (extent[0] * DEEP) / WG, (extent[1] * DEEP) / WG].every(
        Number.isInteger,
      );
      if (whole && memory <= WORKGROUP_BYTES) return { component, consts: { ...consts, DEEP } };
    }
    return null;
  };
  const allowed = matrices.filter(({ component }) => component === "f32" || (form !== "f32" && caps.f16));
  const best = [...allowed].sort((a, b) => a.component.localeCompare(b.component)); // f16 before f32
  for (const shape of best) {
    const tile = tileOf(shape);
    if (tile) return tile;
  }
  return null;
}

/** Bodies that can compute a product on this device. */
export function bodiesFor(product: Product, caps: Caps): BodyName[] {
  return (Object.keys(BODIES) as BodyName[]).filter((name) => {
    const body: Body = BODIES[name];
    return body.kernel !== "matrix" || matrixTile(body.extent, product.form, caps) !== null;
  });
}

/** Bodies worth measuring: on a CPU those without workgroup memory, elsewhere those whose tiles are not mostly empty. */
export function candidates(product: Product, caps: Caps): BodyName[] {
  return bodiesFor(product, caps).filter((name) => {
    const body: Body = BODIES[name];
    if (body.kernel === "registers") return true;
    const [rows, channels] = body.kernel === "tile" ? tileExtent(body.tile) : body.extent;
    return caps.kind === "gpu" && rows <= 2 * product.rows && channels <= 8 * product.out4;
  });
}

/**
 * The tiles that are guessed, and how many workgroups there must be to keep a large GPU busy. They are few and far between, so that a
 * network's kernels compile in two tiles or three: 128x64 has twice the threads of 64x64, with the same work each.
 */
const ENOUGH = { "tile 128x32": 32, "tile 128x64": 128, "tile 32x64": 24, "tile 16x64": 32 } as const;

/**
 * The body by a rule of thumb: the largest tile of which there are enough; a thread by itself where a tile would be mostly waste.
 * Matrices are never guessed: hardware that has them may be slower with them.
 */
function guess(product: Product, caps: Caps): BodyName {
  if (caps.kind === "cpu" || product.rows < 8 || product.out4 < 6) return "registers";
  const tiles = (Object.keys(ENOUGH) as (keyof typeof ENOUGH)[]).filter(
    (name) => name !== "tile 128x32" || product.out4 <= 8,
  );
  const enough = (name: keyof typeof ENOUGH) => workgroups(product, tileExtent(BODIES[name].tile)) >= ENOUGH[name];
  return tiles.find(enough) ?? "registers 1x4";
}

/** The body that a measurement found for products like this one, else a good guess. */
export function chooseBody(product: Product, caps: Caps): BodyName {
  const tuned = caps.tuned?.[classOf(product)];
  return bodiesFor(product, caps).find((name) => name === tuned) ?? guess(product, caps);
}

/** Products of a class are near in all extents, so that one of them speaks for all: `WINDOW 2^13 x 2^9 x 2^6 f32`. */
export function classOf({ load, rows, phases, out4, blocks, form }: Product): string {
  const size = (n: number) => `2^${Math.round(Math.log2(n))}`;
  return `${load} ${size(phases * rows)} x ${size(4 * blocks)} x ${size(4 * out4)} ${form}`;
}

/** The product that a dispatch computes in registers or tiles; null if it is of another kernel. */
export function productOf({ kernel, consts, params, kept }: Dispatch): Product | null {
  if (kernel !== kernels.matmul && kernel !== kernels.matmulTile) return null;
  const load = LOADS.find((name) => consts.LOAD === kernel.consts[name])!;
  const of = (name: string) => params[name] as number;
  return {
    load,
    rows: of("rows"),
    phases: of("phases"),
    out4: of("out4"),
    blocks: of("blocks"),
    form: kept?.w?.form ?? "f32",
  };
}
