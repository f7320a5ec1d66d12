import { fail } from "./fail.ts";

/** Element type of an activation on the GPU. */
export type ElementType = "f32" | "u32";

/** Logical shape, channels last. The last extent is stored padded to a multiple of 4 (see {@link storedLength}). */
export interface TensorSpec {
  readonly type: ElementType;
  readonly shape: readonly number[];
}

/** An f32 tensor of the given logical shape, channels last. Throws on an extent that is not a positive integer. */
export function tensor(...shape: number[]): TensorSpec {
  for (const extent of shape) {
    if (!Number.isSafeInteger(extent) || extent <= 0) {
      fail("graph", `a tensor's extents are positive integers, got [${shape.join(", ")}]`);
    }
  }
  return { type: "f32", shape };
}

/** Smallest multiple of `step` that is >= `n`. */
export const roundUp = (n: number, step: number): number => Math.ceil(n / step) * step;

/** Groups of four channels that hold `channels` of them. */
export const quads = (channels: number): number => Math.ceil(channels / 4);

/** Product of extents: how many elements a shape has. */
export const product = (extents: readonly number[]): number => extents.reduce((a, b) => a * b, 1);

/** Number of logical elements. */
export const elements = (spec: TensorSpec): number => product(spec.shape);

/** Last extent: the channels. */
export const channels = (spec: TensorSpec): number => spec.shape[spec.shape.length - 1] as number;

/** Product of all extents but the last: pixels of all frames. */
export const rows = (spec: TensorSpec): number => product(spec.shape.slice(0, -1));

/** Stored 4-byte elements, channels padded to a multiple of 4 with zeros. */
export const storedLength = (spec: TensorSpec): number => rows(spec) * quads(channels(spec)) * 4;

/** Stored bytes. */
export const storedBytes = (spec: TensorSpec): number => storedLength(spec) * 4;

/** Extent `axis` of a spec (negative counts from the end); throws when the rank is too small. */
export function extent(spec: TensorSpec, axis: number): number {
  const value = spec.shape.at(axis);
  if (value === undefined) fail("graph", `no axis ${axis} in ${shapeText(spec)}`);
  return value;
}

/** `[8, 56, 56, 24]`, as error messages write it. */
export const shapeText = (spec: TensorSpec): string => `[${spec.shape.join(", ")}]`;

/** Logical elements -> stored elements: pads the last axis with zeros. Returns `data` itself where nothing is padded. */
export function padChannels(data: Float32Array<ArrayBuffer>, spec: TensorSpec): Float32Array<ArrayBuffer> {
  const c = channels(spec);
  const stride = quads(c) * 4;
  if (stride === c) return data;
  const out = new Float32Array(storedLength(spec));
  for (let row = 0, n = rows(spec); row < n; row++) out.set(data.subarray(row * c, row * c + c), row * stride);
  return out;
}

/** Stored elements -> logical elements: the inverse of {@link padChannels}. */
export function unpadChannels(data: Float32Array<ArrayBuffer>, spec: TensorSpec): Float32Array<ArrayBuffer> {
  const c = channels(spec);
  const stride = quads(c) * 4;
  if (stride === c) return data;
  const out = new Float32Array(elements(spec));
  for (let row = 0, n = rows(spec); row < n; row++) out.set(data.subarray(row * stride, row * stride + c), row * c);
  return out;
}

/** [N, C, H, W] -> [N, H, W, C], the engine's order. */
export function toChannelsLast(
  data: Float32Array,
  shape: readonly [number, number, number, number],
): Float32Array<ArrayBuffer> {
  const [n, c, h, w] = shape;
  const out = new Float32Array(n * c * h * w);
  const plane = h * w;
  for (let i = 0; i < n; i++)
    for (let k = 0; k < c; k++) {
      const from = (i * c + k) * plane;
      for (let p = 0; p < plane; p++) out[(i * plane + p) * c + k] = data[from + p] as number;
    }
  return out;
}

/** [N, H, W, C] -> [N, C, H, W], PyTorch's order. */
export function toChannelsFirst(
  data: Float32Array,
  shape: readonly [number, number, number, number],
): Float32Array<ArrayBuffer> {
  const [n, h, w, c] = shape;
  const out = new Float32Array(n * c * h * w);
  const plane = h * w;
  for (let i = 0; i < n; i++)
    for (let k = 0; k < c; k++) {
      const to = (i * c + k) * plane;
      for (let p = 0; p < plane; p++) out[to + p] = data[(i * plane + p) * c + k] as number;
    }
  return out;
}
