import type { NamedTensor } from "./run.ts";

/** How far one tensor is from its reference. */
export interface TensorError {
  readonly name: string;
  readonly shape: readonly number[];
  /** Largest absolute difference. */
  readonly max: number;
  readonly cosine: number;
  /** Largest difference that passes. */
  readonly allowed: number;
  readonly ok: boolean;
  /** Set when the shapes differ and nothing could be compared. */
  readonly problem?: string;
}

const TOLERANCE = 1e-3;
const RELATIVE = 1e-4;
const COSINE = 0.99999;

/**
 * Compares tensors in the order of `got` with a reference that may hold every k-th value of a tensor (`strides`).
 * Tolerance: max |difference| <= 1e-3, for intermediate tensors 1e-4 of the largest value where that is more, and
 * cosine >= 0.99999. It is f32 against PyTorch: a sum's terms are added in another order, so bits cannot agree; what is
 * measured is about 1e-5 of the largest value behind a hundred layers.
 */
export function compareTensors(
  got: ReadonlyMap<string, NamedTensor>,
  want: ReadonlyMap<string, NamedTensor>,
  strides: ReadonlyMap<string, number>,
): TensorError[] {
  const errors: TensorError[] = [];
  for (const [name, tensor] of got) {
    const reference = want.get(name);
    if (reference) errors.push(compareOne(name, tensor, reference, strides.get(name) ?? 1));
  }
  return errors;
}

/** How tensors of a reference file are sampled: of each that is, every how many values are stored (its metadata `stride:NAME`). */
export const stridesOf = (metadata: Readonly<Record<string, string>>): Map<string, number> =>
  new Map(
    Object.entries(metadata)
      .filter(([key]) => key.startsWith("stride:"))
      .map(([key, k]) => [key.slice("stride:".length), Number(k)]),
  );

function compareOne(name: string, got: NamedTensor, want: NamedTensor, stride: number): TensorError {
  const count = Math.ceil(got.data.length / stride);
  if (count !== want.data.length) {
    return {
      name,
      shape: got.shape,
      max: Number.NaN,
      cosine: Number.NaN,
      allowed: 0,
      ok: false,
      problem: `is [${got.shape.join(", ")}], the reference holds [${want.shape.join(", ")}]`,
    };
  }
  let [max, dot, a, b, largest] = [0, 0, 0, 0, 0];
  for (let i = 0; i < count; i++) {
    const [g, w] = [got.data[i * stride]!, want.data[i]!];
    const difference = Math.abs(g - w);
    if (!(difference <= max)) max = difference; // NaN stays
    dot += g * w;
    a += g * g;
    b += w * w;
    largest = Math.max(largest, Math.abs(w));
  }
  const cosine = a === 0 && b === 0 ? 1 : dot / Math.sqrt(a * b);
  const allowed = name === "logits" ? TOLERANCE : Math.max(TOLERANCE, RELATIVE * largest);
  return { name, shape: got.shape, max, cosine, allowed, ok: max <= allowed && cosine >= COSINE };
}
