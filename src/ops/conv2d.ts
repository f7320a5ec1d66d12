import { fail } from "../core/fail.ts";
import { defineOp } from "../core/op.ts";
import { channels, elements, extent, quads, rows, shapeText, type TensorSpec, tensor } from "../core/tensor.ts";
import { type Activation, checkStore, type Edge, type Gather, matmulDispatch, packedLength } from "./matmul.ts";

/** Pixels around the input that the window sees. */
export interface Padding {
  readonly top: number;
  readonly left: number;
  readonly bottom: number;
  readonly right: number;
}

export const pad = (n: number): Padding => ({ top: n, left: n, bottom: n, right: n });

/** TensorFlow's SAME: output = ceil(input / stride), the odd pixel of padding below and to the right. */
export function samePadding(height: number, width: number, kernel: number, stride: number): Padding {
  const total = (n: number) => Math.max(0, (Math.ceil(n / stride) - 1) * stride + kernel - n);
  const [h, w] = [total(height), total(width)];
  return { top: h >> 1, left: w >> 1, bottom: h - (h >> 1), right: w - (w >> 1) };
}

/** The temporal shift in front of a 1x1 convolution (Lin et al., TSM, section 3). */
export interface Shift {
  /** `both`: offline, one neighbour each way; `past`: from the frame before only. */
  readonly mode: "both" | "past";
  /** Channels taken from each neighbour. */
  readonly fold: number;
  /** Frames in a clip; x holds one clip or several, one behind the other. Default: all of x is one. */
  readonly frames?: number;
}

export interface ConvAttrs {
  /** Output channels. */
  readonly out: number;
  /** Height and width of the window. */
  readonly kernel: number;
  readonly stride: number;
  readonly padding: Padding;
  /** What stands in the padding. Default zeros. `reflect` needs a padding smaller than the frame. */
  readonly edge?: Edge;
  readonly activation: Activation;
  readonly shift?: Shift;
  /** First frame of x that is read. Default 0. */
  readonly first?: number;
  /** Frames of x that are read. Default: all from the first on. */
  readonly frames?: number;
  /**
   * With a residual: y and the residual are token tensors [frames, lead + height * width, out], whose first `lead` rows a
   * frame (the class token's) stay as they are. Default 0.
   */
  readonly lead?: number;
}

/** Output extent of a window that slides by `stride`. */
export function slide(size: number, kernel: number, stride: number, before: number, after: number): number {
  const out = Math.floor((size + before + after - kernel) / stride) + 1;
  if (out < 1)
    fail(
      "graph",
      `an extent of ${size} is too small for a window of ${kernel} with padding ${before} + ${after}; use a larger input`,
    );
  return out;
}

/** Spatial output shape of a window over [N, H, W, C]. */
export function slideShape(x: TensorSpec, out: number, kernel: number, stride: number, padding: Padding): TensorSpec {
  if (x.shape.length !== 4) fail("graph", `a window needs [frames, height, width, channels], got ${shapeText(x)}`);
  const height = slide(extent(x, 1), kernel, stride, padding.top, padding.bottom);
  const width = slide(extent(x, 2), kernel, stride, padding.left, padding.right);
  return tensor(extent(x, 0), height, width, out);
}

/** x without the frames that are not read. */
function framesRead(x: TensorSpec, { first = 0, frames, shift }: ConvAttrs): TensorSpec {
  if (x.shape.length !== 4) fail("graph", `a window needs [frames, height, width, channels], got ${shapeText(x)}`);
  const all = extent(x, 0);
  const count = frames ?? all - first;
  if (![first, count].every(Number.isInteger) || first < 0 || count < 1 || first + count > all)
    fail(
      "graph",
      `${count} frames from frame ${first} do not fit ${shapeText(x)}, which has ${all}; frames count from 0`,
    );
  if (shift && count !== all)
    fail("graph", "a temporal shift needs all frames of its clip; leave first and frames out, or the shift");
  return tensor(count, ...x.shape.slice(1));
}

/** Pixels of the output: y, unless they stand behind the leading rows of a token tensor. */
const pixelsOf = (x: TensorSpec, attrs: ConvAttrs): TensorSpec =>
  slideShape(framesRead(x, attrs), attrs.out, attrs.kernel, attrs.stride, attrs.padding);

/** The token tensor that holds `lead` rows and the pixels of every frame. */
function tokensSpec(pixels: TensorSpec, lead: number, residual: TensorSpec | undefined, states: boolean): TensorSpec {
  if (!Number.isInteger(lead) || lead < 0) fail("graph", `a frame has ${lead} leading rows; give a whole number`);
  if (!residual || states)
    fail("graph", "leading rows stay as they are in the residual; give a residual, and neither past nor carry");
  return tensor(extent(pixels, 0), lead + extent(pixels, 1) * extent(pixels, 2), channels(pixels));
}

/**
 * Convolution over [frames, height, width, in] with bias, residual and activation in the same kernel; w is packed [out/4, k*k, in/4] blocks of 4x4.
 * A `shift` takes some of x's channels from neighbour frames of their clip, zeros beyond its ends. In a stream x is one frame and the
 * state `past` [1, height, width, fold] stands for the frame before; `carry`, given with `residual`, is the state that keeps the
 * first channels of the residual's last frame (all of them, where it has as many) for the next call. With `lead` the pixels are summed into a token tensor (patch embedding).
 */
export const conv2d = defineOp<ConvAttrs>({
  name: "conv2d",
  takes: ["x", "w", "bias", "residual?", "past?", "carry?"],
  inPlace: { y: "residual" },
  infer({ x, w, bias, residual, past, carry }, attrs) {
    const { out, kernel, stride, padding, edge, shift, lead = 0 } = attrs;
    const pixels = pixelsOf(x!, attrs);
    checkEdge(x!, padding, edge);
    const y = lead === 0 ? pixels : tokensSpec(pixels, lead, residual, (past ?? carry) !== undefined);
    const want = packedLength(out, blockRanges(channels(x!), kernel * kernel, shift).length);
    if (w!.shape[0] !== want)
      fail(
        "graph",
        `w holds ${w!.shape[0]} packed elements, ${kernel}x${kernel} ${channels(x!)} -> ${out} needs ${want}`,
      );
    checkStore(y, bias!, residual);
    if (past && !shift) fail("graph", "a past needs a shift that takes channels from it; give both or neither");
    if (carry) checkCarry(y, carry, residual, past);
    if (shift) {
      if (kernel !== 1 || stride !== 1 || padded(padding))
        fail(
          "graph",
          "the temporal shift is fused into 1x1 convolutions of stride 1 without padding; use temporalShift before this one",
        );
      const groups = shift.mode === "both" ? 2 : 1;
      if (shift.fold < 1 || shift.fold * groups > channels(x!))
        fail("graph", `a shift of ${groups} x ${shift.fold} channels does not fit ${channels(x!)}`);
      if (shift.frames !== undefined && extent(x!, 0) % shift.frames !== 0)
        fail("graph", `${extent(x!, 0)} frames do not divide into clips of ${shift.frames}`);
      const kept = stateSpec(x!, shift.fold);
      if (past && (shift.mode !== "past" || extent(x!, 0) !== 1))
        fail("graph", "a stream is shifted from the past, one frame at a time");
      if (past && shapeText(past) !== shapeText(kept))
        fail("graph", `the state ${shapeText(past)} must be ${shapeText(kept)}`);
    }
    return { y };
  },
  lower({ x, w, bias, y, residual, past, carry }, attrs, caps) {
    const values = { x: x!, w: w!, bias: bias!, y: y!, residual, past, carry };
    return [matmulDispatch(values, attrs.activation, gather(attrs, x!.spec, past !== undefined), caps)];
  },
  macs: ({ x }, _outputs, attrs) => elements(pixelsOf(x!, attrs)) * channels(x!) * attrs.kernel ** 2,
});

function gather(attrs: ConvAttrs, input: TensorSpec, stream: boolean): Gather {
  const { kernel, stride, padding, edge, shift, first = 0, lead = 0 } = attrs;
  const pixels = pixelsOf(input, attrs);
  const places = {
    blocks: blockRanges(channels(input), kernel * kernel, shift).length,
    rows: rows(pixels),
    frameRows: extent(pixels, 1) * extent(pixels, 2),
    skip: first * extent(input, 1) * extent(input, 2),
    lead,
  };
  if (shift) {
    const next = shift.mode === "both" ? shift.fold : 0;
    const clip = { next, past: shift.fold, frames: shift.frames ?? extent(input, 0) };
    return stream
      ? { ...places, load: "STREAM", taps: 2, shift: clip }
      : { ...places, load: "CLIP", taps: 3, shift: clip };
  }
  if (kernel === 1 && stride === 1 && !padded(padding)) return { ...places, load: "SAME", taps: 1 };
  return {
    ...places,
    load: "WINDOW",
    taps: kernel * kernel,
    window: {
      kernel: [1, kernel, kernel],
      stride: [1, stride, stride],
      before: [0, padding.top, padding.left],
      edge,
      input,
      plane: [extent(pixels, 1), extent(pixels, 2)],
    },
  };
}

/** A block of packed weights: which tap, which four of input channels, and which of them count (the others are zeros). */
export interface BlockRange {
  readonly tap: number;
  readonly four: number;
  readonly from: number;
  readonly to: number;
}

/** The blocks of a row of packed weights in the order in which the matmul kernel reads them. */
export function blockRanges(input: number, taps: number, shift: Shift | undefined): BlockRange[] {
  if (!shift) {
    return Array.from({ length: taps * quads(input) }, (_, i) => {
      return { tap: Math.floor(i / quads(input)), four: i % quads(input), from: 0, to: input };
    });
  }
  const next = shift.mode === "both" ? shift.fold : 0;
  const ends = [0, next, next + shift.fold, input];
  return ends.slice(1).flatMap((to, range) => {
    const from = ends[range]!;
    const first = Math.floor(from / 4);
    // The kernel's ranges begin at the four that holds their first channel, an empty range too.
    return Array.from({ length: Math.max(0, quads(to) - first) }, (_, i) => ({ tap: 0, four: first + i, from, to }));
  });
}

const padded = ({ top, left, bottom, right }: Padding): boolean => [top, left, bottom, right].some((n) => n !== 0);

/** A mirrored frame has as many pixels beyond its edge as there are behind the border pixel. */
export function checkEdge(x: TensorSpec, { top, left, bottom, right }: Padding, edge: Edge | undefined): void {
  if (edge !== "reflect") return;
  const [height, width] = [extent(x, 1), extent(x, 2)];
  if (Math.max(top, bottom) >= height || Math.max(left, right) >= width || Math.min(top, left, bottom, right) < 0)
    fail(
      "graph",
      `a frame of ${height} x ${width} cannot be reflected over a padding of ${top}, ${left}, ${bottom}, ${right}; make each one smaller than the frame, and not negative`,
    );
}

/** The state that a residual is carried to holds the first channels of its last frame. */
export function checkCarry(
  y: TensorSpec,
  carry: TensorSpec,
  residual: TensorSpec | undefined,
  past: TensorSpec | undefined,
): void {
  if (!residual) fail("graph", "a carry keeps channels of the residual, and there is none; give both or neither");
  if (past) fail("graph", "a convolution cannot read a past and write a carry; carry in the one that sums");
  const want = stateSpec(y, Math.min(channels(carry), channels(y)));
  if (shapeText(carry) !== shapeText(want))
    fail(
      "graph",
      `the carry ${shapeText(carry)} must hold the first channels of a frame of ${shapeText(y)}, ${shapeText(stateSpec(y, channels(y)))} at most`,
    );
}

/** Stored shape of a state that keeps `fold` channels of every pixel. */
export const stateSpec = (x: TensorSpec, fold: number): TensorSpec => tensor(1, extent(x, 1), extent(x, 2), fold);

/** Stored elements of a bias. */
export const biasLength = (out: number): number => quads(out) * 4;
