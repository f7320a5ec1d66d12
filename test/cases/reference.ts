// The arithmetic written out once more, in f64 and plain loops, with nothing of the engine in it.

export type Shape4 = readonly [frames: number, height: number, width: number, channels: number];

/** Sums and, beside them, the same sums over absolute values. */
export interface Sums {
  readonly shape: Shape4;
  readonly want: Float64Array;
  readonly magnitude: Float64Array;
}

export interface Window {
  readonly kernel: number;
  readonly stride: number;
  readonly padding: { readonly top: number; readonly left: number; readonly bottom: number; readonly right: number };
}

/** Shape of a window's output. */
export function windowShape([n, h, w]: Shape4, out: number, { kernel, stride, padding }: Window): Shape4 {
  const count = (size: number, before: number, after: number) =>
    Math.floor((size + before + after - kernel) / stride) + 1;
  return [n, count(h, padding.top, padding.bottom), count(w, padding.left, padding.right), out];
}

/** Calls `visit` for every output element and every input pixel (flat index of its channel 0) that its window holds. */
export function eachWindow(
  x: Shape4,
  y: Shape4,
  { kernel, stride, padding }: Window,
  visit: (output: number, pixel: number, tap: number) => void,
): void {
  let output = 0;
  for (let f = 0; f < y[0]; f++)
    for (let i = 0; i < y[1]; i++)
      for (let j = 0; j < y[2]; j++, output++)
        for (let u = 0; u < kernel; u++)
          for (let v = 0; v < kernel; v++) {
            const [row, column] = [i * stride + u - padding.top, j * stride + v - padding.left];
            if (row < 0 || row >= x[1] || column < 0 || column >= x[2]) continue;
            visit(output, ((f * x[1] + row) * x[2] + column) * x[3], u * kernel + v);
          }
}

/** Convolution of [frames, height, width, in] with weights [out, in, k, k]; `depthwise`: [channels, 1, k, k]. */
export function convolve(
  x: { readonly shape: Shape4; readonly data: ArrayLike<number> },
  w: ArrayLike<number>,
  bias: ArrayLike<number>,
  out: number,
  window: Window,
  more: { readonly residual?: ArrayLike<number> | undefined; readonly depthwise?: boolean } = {},
): Sums {
  const shape = windowShape(x.shape, out, window);
  const length = shape.reduce((a, b) => a * b, 1);
  const [want, magnitude] = [new Float64Array(length), new Float64Array(length)];
  for (let i = 0; i < length; i++) {
    const [b, r] = [bias[i % out]!, more.residual?.[i] ?? 0];
    want[i] = b + r;
    magnitude[i] = Math.abs(b) + Math.abs(r);
  }
  const [inputs, taps] = [x.shape[3], window.kernel ** 2];
  eachWindow(x.shape, shape, window, (output, pixel, tap) => {
    for (let o = 0; o < out; o++)
      for (let k = 0; k < (more.depthwise ? 1 : inputs); k++) {
        const weight = w[more.depthwise ? o * taps + tap : (o * inputs + k) * taps + tap]!;
        const term = x.data[pixel + (more.depthwise ? o : k)]! * weight;
        want[output * out + o]! += term;
        magnitude[output * out + o]! += Math.abs(term);
      }
  });
  return { shape, want, magnitude };
}

/**
 * The temporal shift of clips of `frames` frames: `both` takes channels [0, fold) from the next frame and [fold, 2 fold) from
 * the one before, `past` takes [0, fold) from the one before; zeros beyond the clip's ends (TSM specification 1.1).
 */
export function shiftFrames(
  data: Float32Array,
  [n, h, w, c]: Shape4,
  frames: number,
  { mode, fold }: { readonly mode: "both" | "past"; readonly fold: number },
): Float32Array<ArrayBuffer> {
  const out = new Float32Array(data.length);
  const plane = h * w;
  for (let f = 0; f < n; f++)
    for (let p = 0; p < plane; p++)
      for (let k = 0; k < c; k++) {
        let step = 0;
        if (mode === "both") step = k < fold ? 1 : k < 2 * fold ? -1 : 0;
        else step = k < fold ? -1 : 0;
        const t = (f % frames) + step;
        if (t >= 0 && t < frames) out[(f * plane + p) * c + k] = data[((f + step) * plane + p) * c + k]!;
      }
  return out;
}
