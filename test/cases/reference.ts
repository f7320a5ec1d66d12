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
  /** The frame goes on mirrored beyond its edges. */
  readonly reflect?: boolean;
}

/** Where a position beyond an end stands in the frame mirrored there: ... 2 1 | 0 1 2 3 | 2 1 ... */
const mirrored = (at: number, size: number): number => (at < 0 ? -at : at >= size ? 2 * (size - 1) - at : at);

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
  { kernel, stride, padding, reflect }: Window,
  visit: (output: number, pixel: number, tap: number) => void,
): void {
  let output = 0;
  for (let f = 0; f < y[0]; f++)
    for (let i = 0; i < y[1]; i++)
      for (let j = 0; j < y[2]; j++, output++)
        for (let u = 0; u < kernel; u++)
          for (let v = 0; v < kernel; v++) {
            let [row, column] = [i * stride + u - padding.top, j * stride + v - padding.left];
            if (reflect) [row, column] = [mirrored(row, x[1]), mirrored(column, x[2])];
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

type Axes = readonly [number, number, number];

/** A clip and the same of its magnitudes. */
export interface Clip {
  readonly shape: Shape4;
  readonly data: ArrayLike<number>;
}

export interface Window3d {
  readonly kernel: Axes;
  readonly stride: Axes;
  /** In front of the clip and behind it, for each axis. */
  readonly before: Axes;
  readonly after: Axes;
  readonly reflect?: boolean;
}

/** Convolution of a clip with weights [out, in, ...kernel]; frames beyond it are zeros, pixels beyond a frame's edges are zeros or mirrored. */
export function convolve3d(
  x: Clip,
  w: ArrayLike<number>,
  bias: ArrayLike<number>,
  out: number,
  { kernel, stride, before, after, reflect }: Window3d,
  residual?: ArrayLike<number>,
): Sums {
  const [frames, height, width, inputs] = x.shape;
  const count = ([frames, height, width] as const).map(
    (size, a) => Math.floor((size + before[a]! + after[a]! - kernel[a]!) / stride[a]!) + 1,
  );
  const shape: Shape4 = [count[0]!, count[1]!, count[2]!, out];
  const length = shape.reduce((a, b) => a * b, 1);
  const [want, magnitude] = [new Float64Array(length), new Float64Array(length)];
  for (let i = 0; i < length; i++) {
    const rest = Math.floor(i / out);
    const [o, j, row, t] = [
      i % out,
      rest % shape[2],
      Math.floor(rest / shape[2]) % shape[1],
      Math.floor(rest / shape[2] / shape[1]),
    ];
    want[i] = bias[o]! + (residual?.[i] ?? 0);
    magnitude[i] = Math.abs(bias[o]!) + Math.abs(residual?.[i] ?? 0);
    for (let a = 0; a < kernel[0]; a++)
      for (let b = 0; b < kernel[1]; b++)
        for (let c = 0; c < kernel[2]; c++) {
          const f = t * stride[0] + a - before[0];
          let [y, z] = [row * stride[1] + b - before[1], j * stride[2] + c - before[2]];
          if (reflect) [y, z] = [mirrored(y, height), mirrored(z, width)];
          if (f < 0 || f >= frames || y < 0 || y >= height || z < 0 || z >= width) continue;
          for (let k = 0; k < inputs; k++) {
            const weight = w[(((o * inputs + k) * kernel[0] + a) * kernel[1] + b) * kernel[2] + c]!;
            const term = x.data[((f * height + y) * width + z) * inputs + k]! * weight;
            want[i]! += term;
            magnitude[i]! += Math.abs(term);
          }
        }
  }
  return { shape, want, magnitude };
}

/**
 * Transposed convolution with weights [in, out, ...kernel], by its definition: every input adds its multiple of the kernel to the
 * output from stride * position - padding on; the output is `stride` times as large as the input.
 */
export function convolveTransposed(
  x: Clip,
  w: ArrayLike<number>,
  bias: ArrayLike<number>,
  out: number,
  { kernel, stride, padding }: { readonly kernel: Axes; readonly stride: Axes; readonly padding: Axes },
): Sums {
  const [frames, height, width, inputs] = x.shape;
  const shape: Shape4 = [frames * stride[0], height * stride[1], width * stride[2], out];
  const length = shape.reduce((a, b) => a * b, 1);
  const [want, magnitude] = [new Float64Array(length), new Float64Array(length)];
  for (let i = 0; i < length; i++) [want[i], magnitude[i]] = [bias[i % out]!, Math.abs(bias[i % out]!)];
  for (let i = 0; i < frames * height * width; i++)
    for (let a = 0; a < kernel[0]; a++)
      for (let b = 0; b < kernel[1]; b++)
        for (let c = 0; c < kernel[2]; c++) {
          const f = Math.floor(i / width / height) * stride[0] + a - padding[0];
          const y = (Math.floor(i / width) % height) * stride[1] + b - padding[1];
          const z = (i % width) * stride[2] + c - padding[2];
          if (f < 0 || f >= shape[0] || y < 0 || y >= shape[1] || z < 0 || z >= shape[2]) continue;
          const at = ((f * shape[1] + y) * shape[2] + z) * out;
          for (let k = 0; k < inputs; k++)
            for (let o = 0; o < out; o++) {
              const weight = w[(((k * out + o) * kernel[0] + a) * kernel[1] + b) * kernel[2] + c]!;
              const term = x.data[i * inputs + k]! * weight;
              want[at + o]! += term;
              magnitude[at + o]! += Math.abs(term);
            }
        }
  return { shape, want, magnitude };
}

/** Sums by a rule that says where each output element comes from. */
function moved(
  from: Sums,
  shape: Shape4,
  source: (frame: number, row: number, column: number, channel: number) => number,
): Sums {
  const length = shape.reduce((a, b) => a * b, 1);
  const at = Array.from({ length }, (_, i) => {
    const pixel = Math.floor(i / shape[3]);
    const line = Math.floor(pixel / shape[2]);
    return source(Math.floor(line / shape[1]), line % shape[1], pixel % shape[2], i % shape[3]);
  });
  return {
    shape,
    want: Float64Array.from(at, (i) => from.want[i]!),
    magnitude: Float64Array.from(at, (i) => from.magnitude[i]!),
  };
}

/** A clip as sums of one term. */
export const asSums = ({ shape, data }: Clip): Sums => ({
  shape,
  want: Float64Array.from(data),
  magnitude: Float64Array.from(data, Math.abs),
});

/** Every pixel `factor` times in height and in width. */
export function upsampleNearest(x: Sums, factor: number): Sums {
  const [n, h, w, c] = x.shape;
  return moved(x, [n, h * factor, w * factor, c], (f, i, j, k) => {
    return ((f * h + Math.floor(i / factor)) * w + Math.floor(j / factor)) * c + k;
  });
}

/** PyTorch's PixelShuffle: channel c * factor^2 + row * factor + column becomes channel c of that pixel of a square. */
export function pixelShuffle(x: Sums, factor: number): Sums {
  const [n, h, w, c] = x.shape;
  return moved(x, [n, h * factor, w * factor, c / factor ** 2], (f, i, j, k) => {
    const channel = k * factor ** 2 + (i % factor) * factor + (j % factor);
    return ((f * h + Math.floor(i / factor)) * w + Math.floor(j / factor)) * c + channel;
  });
}

/** PyTorch's PixelUnshuffle, the inverse. */
export function pixelUnshuffle(x: Sums, factor: number): Sums {
  const [n, h, w, c] = x.shape;
  return moved(x, [n, h / factor, w / factor, c * factor ** 2], (f, i, j, channel) => {
    const [k, square] = [Math.floor(channel / factor ** 2), channel % factor ** 2];
    return ((f * h + i * factor + Math.floor(square / factor)) * w + j * factor + (square % factor)) * c + k;
  });
}

/** Channels in `frames` groups become as many frames, the first group the earliest (TGrow's layout). */
export function channelsToFrames(x: Sums, frames: number): Sums {
  const [n, h, w, c] = x.shape;
  const out = c / frames;
  return moved(x, [n * frames, h, w, out], (f, i, j, k) => {
    return ((Math.floor(f / frames) * h + i) * w + j) * c + (f % frames) * out + k;
  });
}

/** The inverse: `frames` frames stacked on channels, the earliest first (TPool's layout). */
export function framesToChannels(x: Sums, frames: number): Sums {
  const [n, h, w, c] = x.shape;
  return moved(x, [n / frames, h, w, c * frames], (f, i, j, k) => {
    return (((f * frames + Math.floor(k / c)) * h + i) * w + j) * c + (k % c);
  });
}
