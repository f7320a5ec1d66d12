// How far from its f64 reference may a kernel's answer be? As far as the arithmetic allows, and no farther.

/** Unit roundoff of f32, rounding to nearest: an operation's result is off by at most this share of itself. */
export const EPSILON = 2 ** -24;

/** Smallest normal f32: a GPU may flush what is smaller to zero, once an operation. */
const TINY = 2 ** -126;

/** What an output must be, and by how much each of its elements may differ. */
export interface Expected {
  readonly shape: readonly number[];
  readonly want: Float64Array;
  readonly allowed: Float64Array;
}

/** Data movement: bit for bit (0 and -0 are one number). */
export function exact(shape: readonly number[], want: ArrayLike<number>): Expected {
  return { shape, want: Float64Array.from(want), allowed: new Float64Array(want.length) };
}

/**
 * Sums of products: n roundings on the way from a term to the sum leave at most n u / (1 - n u) of that term wrong, in any
 * order of summation and with or without fused multiply-adds (Higham, Accuracy and Stability of Numerical Algorithms, 3.1).
 * A term passes one product and at most `terms` additions; 3 more cover bias, residual and the last rounding.
 *
 * @param magnitude the same sums over absolute values, which cancellation cannot fool
 */
export function linear(
  shape: readonly number[],
  want: Float64Array,
  magnitude: Float64Array,
  terms: number,
  clamp?: { readonly low: number; readonly high: number },
): Expected {
  const n = terms + 3;
  const share = (n * EPSILON) / (1 - n * EPSILON);
  return {
    shape,
    // A clamp moves no two numbers apart, so the bound holds behind it as well.
    want: clamp ? want.map((v) => Math.min(Math.max(v, clamp.low), clamp.high)) : want,
    allowed: magnitude.map((v) => share * v + n * TINY),
  };
}

/** `[1, 0, 5, 3]` of a flat index. */
function coordinate(index: number, shape: readonly number[]): number[] {
  const out: number[] = [];
  let rest = index;
  for (const extent of [...shape].reverse()) {
    out.unshift(rest % extent);
    rest = Math.floor(rest / extent);
  }
  return out;
}

/** One line about the first wrong element and how many there are; null when all are within bounds. NaN is wrong. */
export function mismatch(name: string, got: ArrayLike<number>, expected: Expected): string | null {
  const { shape, want, allowed } = expected;
  if (got.length !== want.length) return `${name} has ${got.length} elements, ${want.length} wanted`;
  let [first, wrong] = [-1, 0];
  for (let i = 0; i < got.length; i++) {
    if (Math.abs(got[i]! - want[i]!) <= allowed[i]!) continue;
    if (wrong++ === 0) first = i;
  }
  if (wrong === 0) return null;
  const [g, w] = [got[first]!, want[first]!];
  const where = `${name}[${coordinate(first, shape)}]`;
  const off = Math.abs(g - w).toExponential(2);
  return `${where} got ${g} want ${w}, off by ${off}, allowed ${allowed[first]!.toExponential(2)} (${wrong} of ${got.length} wrong)`;
}
