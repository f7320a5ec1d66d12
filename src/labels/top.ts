import { fail } from "../core/fail.ts";

/** A class and its score. */
export interface Ranked {
  readonly label: string;
  readonly index: number;
  readonly score: number;
}

/**
 * exp(logit) / sum of exp(logits), in f64, the largest logit subtracted first.
 *
 * @throws `not-finite` for a NaN or infinite logit, `bad-input` for no logits
 */
export function softmax(logits: ArrayLike<number>): Float64Array {
  if (logits.length === 0) fail("bad-input", "no logits to take the softmax of; give at least one");
  let largest = -Infinity;
  for (let i = 0; i < logits.length; i++) {
    if (!Number.isFinite(logits[i]))
      fail("not-finite", `logit ${i} is ${logits[i]}; check the weights and the input for NaN and infinity`);
    largest = Math.max(largest, logits[i]!);
  }
  const scores = Float64Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = scores.reduce((total, score) => total + score, 0);
  return scores.map((score) => score / sum);
}

/**
 * The `count` highest scores, highest first; of equal scores the lower index is first.
 *
 * @param labels name of every class, or null for "class 0", "class 1", ...
 * @throws `usage` when there are not as many labels as scores
 */
export function top(scores: ArrayLike<number>, labels: readonly string[] | null, count: number): Ranked[] {
  if (labels && labels.length !== scores.length)
    fail("usage", `${labels.length} labels for ${scores.length} classes; give one label a class, in the model's order`);
  return Array.from(scores, (score, index) => ({ label: labels?.[index] ?? `class ${index}`, index, score }))
    .sort((a, b) => b.score - a.score || a.index - b.index)
    .slice(0, count);
}

/** Index of the largest value, the first of equals; -1 for none. */
export function argmax(values: ArrayLike<number>): number {
  let best = -1;
  for (let i = 0; i < values.length; i++) if (best < 0 || values[i]! > values[best]!) best = i;
  return best;
}
