/** Repacks a strided view into contiguous row-major bytes. */

/** True when the strides are the row-major ones; extents of 0 and 1 make their stride meaningless. */
export function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  if (shape.includes(0)) return true;
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis]!;
  }
  return true;
}

/** Elements from the first to the last one that a view touches, both included; 0 for an empty view. */
export function spanOf(shape: readonly number[], strides: readonly number[]): number {
  if (shape.includes(0)) return 0;
  return 1 + shape.reduce((sum, extent, axis) => sum + (extent - 1) * strides[axis]!, 0);
}

/**
 * @param span bytes of the span that starts at the view's first element
 * @param unit bytes per element
 */
export function repack(
  span: Uint8Array,
  shape: readonly number[],
  strides: readonly number[],
  unit: number,
): Uint8Array {
  const count = shape.reduce((product, extent) => product * extent, 1);
  const packed = new Uint8Array(count * unit);
  if (count === 0) return packed;
  const inner = shape.at(-1) ?? 1;
  const step = (strides.at(-1) ?? 1) * unit;
  const index = new Array<number>(Math.max(0, shape.length - 1)).fill(0);
  let from = 0;
  for (let to = 0; to < packed.byteLength; ) {
    for (let i = 0, at = from; i < inner; i++, at += step) {
      for (let byte = 0; byte < unit; byte++) packed[to++] = span[at + byte]!;
    }
    for (let axis = index.length - 1; axis >= 0; axis--) {
      from += strides[axis]! * unit;
      if (++index[axis]! < shape[axis]!) break;
      from -= index[axis]! * strides[axis]! * unit;
      index[axis] = 0;
    }
  }
  return packed;
}
