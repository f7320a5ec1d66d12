// GELU in f64, and what f32 may make of it.
import type { Activation } from "../../src/ops/matmul.ts";
import { EPSILON, type Expected, linear } from "../close.ts";

/** The error function: its Taylor series below 3, a continued fraction of its complement beyond (Abramowitz and Stegun 7.1.5, 7.1.14). */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (a < 3) {
    let [term, sum] = [a, a];
    for (let n = 1; Math.abs(term) > 1e-18; n++) {
      term *= -(a * a) / n;
      sum += term / (2 * n + 1);
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let fraction = a;
  for (let n = 60; n > 0; n--) fraction = a + n / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / fraction);
}

/** Largest slope of GELU, at 1.4142: what is wrong with a sum grows by it at most. */
const SLOPE = 1.13;

/** Accuracy that Kinema promises of erf. */
const ERF = 2e-7;

/**
 * Sums of products behind an activation. With erf: s / 2 * (1 + erf) is off by |s| / 2 times what erf is, and by two roundings. With tanh: s /
 * (1 + exp(z)), z off by 5 roundings; exp by 3 + 2 |z| units in the last place (WGSL 15.7.4, two roundings each), of which
 * the quotient inherits the share exp / (1 + exp); the sum and the division add 1 and 5 roundings.
 */
export function activated(
  shape: readonly number[],
  want: Float64Array,
  magnitude: Float64Array,
  terms: number,
  activation: Activation,
): Expected {
  if (!("gelu" in activation)) return linear(shape, want, magnitude, terms, activation);
  const sums = linear(shape, want, magnitude, terms);
  const answer = new Float64Array(want.length);
  const allowed = sums.allowed.map((off, i) => {
    const s = want[i]!;
    if (activation.gelu === "erf") {
      answer[i] = (s / 2) * (1 + erf(s / Math.SQRT2));
      return SLOPE * off + (Math.abs(s) / 2) * ERF + 2 * EPSILON * Math.abs(answer[i]!);
    }
    const z = -2 * Math.sqrt(2 / Math.PI) * (s + 0.044715 * s ** 3);
    answer[i] = s / (1 + Math.exp(z));
    const inherited = z > 0 ? 1 : Math.exp(z) / (1 + Math.exp(z));
    return SLOPE * off + Math.abs(answer[i]!) * EPSILON * (6 + inherited * (6 + 9 * Math.abs(z))) + 2 ** -120;
  });
  return { shape, want: answer, allowed };
}
