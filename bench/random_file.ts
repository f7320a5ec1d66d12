// A weight file of random numbers that is nowhere: its header is made, and its numbers are made when they are read.
import type { ByteSource } from "../src/weights/byte_source.ts";

interface Entry {
  /** Of its first byte, behind the header. */
  readonly start: number;
  readonly end: number;
  number(index: number): number;
}

/** Uniform in (-1, 1): a linear congruential generator (Numerical Recipes, 7.1). */
const NOISE = (() => {
  let state = 1;
  return Float32Array.from({ length: 2 ** 16 }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state / 2 ** 31;
  });
})();

/** Numbers that keep activations near 1: a time must not be that of infinities or denormals. */
function numbers(name: string, shape: readonly number[], seed: number): (index: number) => number {
  if (name.endsWith("running_var")) return () => 1;
  const fanIn = shape.slice(1).reduce((a, b) => a * b, 1);
  const bound = shape.length > 1 ? Math.sqrt(3 / fanIn) : 0.1;
  return (index) => bound * NOISE[(seed + index) & (NOISE.length - 1)]!;
}

/** A safetensors file of f32 tensors of those shapes. */
export function randomFile(
  name: string,
  shapes: ReadonlyMap<string, readonly number[]>,
  metadata: Readonly<Record<string, string>>,
): ByteSource {
  const list: Record<string, unknown> = { __metadata__: metadata };
  const entries: Entry[] = [];
  let end = 0;
  for (const [tensor, shape] of shapes) {
    const start = end;
    end += shape.reduce((product, extent) => product * extent, 4);
    list[tensor] = { dtype: "F32", shape, data_offsets: [start, end] };
    entries.push({ start, end, number: numbers(tensor, shape, 7919 * entries.length) });
  }
  // Spaces behind the JSON: what follows begins at a multiple of four.
  const text = JSON.stringify(list);
  const json = new TextEncoder().encode(text.padEnd(Math.ceil(text.length / 4) * 4));
  const header = new Uint8Array(8 + json.length);
  new DataView(header.buffer).setBigUint64(0, BigInt(json.length), true);
  header.set(json, 8);
  return {
    name,
    size: header.length + end,
    async read(offset, length) {
      const bytes = new Uint8Array(length);
      bytes.set(header.subarray(offset, offset + length));
      const [from, to] = [offset - header.length, offset - header.length + length];
      const view = new DataView(bytes.buffer);
      for (const { start, end, number } of entries) {
        if (end <= from || start >= to) continue;
        // Numbers that are whole in the range; a reader that cuts one gets zeros for it.
        for (let at = start + 4 * Math.ceil(Math.max(0, from - start) / 4); at < end && at + 4 <= to; at += 4)
          view.setFloat32(at - from, number((at - start) / 4), true);
      }
      return bytes;
    },
  };
}
