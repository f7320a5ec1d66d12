// The neural compressor of "Compressed Vision" (Wiles et al., ACCV 2022): frames to codes and back.
import { fail } from "../core/fail.ts";
import { type Graph, GraphBuilder, type Value } from "../core/graph.ts";
import { channels, tensor } from "../core/tensor.ts";
import { conv2d, conv3d, convTranspose, LINEAR, pad, RELU, relu } from "../ops/index.ts";
import type { CompressorShape } from "../weights/types.ts";
import { CODEBOOK, embedCodes, quantise, quantiserChannels } from "./codebooks.ts";
import { conv, convFilters, transposed, transposedFilters } from "./filters.ts";

/** What a compressor's graph is built for. */
export interface CompressorGraph {
  readonly shape: CompressorShape;
  /** Of the video, a multiple of the frames a code covers. */
  readonly frames: number;
  /** Pixels, multiples of the pixels a code covers. */
  readonly height: number;
  readonly width: number;
  /** The decoder reads the words of a store's chunk, codes of so many bits, in the place of numbers. */
  readonly packedBits?: number;
}

/** Channels of the layers from the picture inwards: 3, C / 2^(n - 1), ..., C. */
const widths = ({ channels: top, layers }: CompressorShape): number[] => [
  3,
  ...Array.from({ length: layers }, (_, i) => top >> (layers - 1 - i)),
];

function grid({ shape, frames, height, width }: CompressorGraph): [steps: number, rows: number, columns: number] {
  const side = 2 ** shape.layers;
  if (height % side !== 0 || width % side !== 0 || frames % shape.time !== 0)
    fail(
      "graph",
      `${frames} frames of ${height} x ${width} do not divide into codes of ${shape.time} x ${side} x ${side}; give multiples`,
    );
  return [frames / shape.time, height / side, width / side];
}

/**
 * `image` [frames, height, width, 3] in [0, 1] -> `codes` [steps, rows, columns, codebooks], whole numbers in f32. Strided 4x4 convolutions with
 * reflected edges, ReLU between them; pairs of frames into one where a code covers two; residual blocks; 1x1 and quantiser.
 */
export function buildCompressorEncoder(d: CompressorGraph): Graph {
  grid(d);
  const { shape } = d;
  const g = new GraphBuilder("compressor-encoder");
  let x = g.input("image", tensor(d.frames, d.height, d.width, 3));
  for (const [i, out] of widths(shape).slice(1).entries()) {
    const name = `encoder.conv.${i}`;
    const activation = i === shape.layers - 1 ? LINEAR : RELU;
    const weights = convFilters(g, name, conv(channels(x.spec), out, 4), { weight: `${name}.weight` });
    const window = { out, kernel: 4, stride: 2, padding: pad(1), edge: "reflect", activation } as const;
    x = g.apply(conv2d, name, { x, ...weights }, window).y!;
  }
  if (shape.time === 2) {
    const name = "encoder.time";
    const weights = convFilters(g, name, conv(shape.channels, shape.channels, [2, 1, 1]), { weight: `${name}.weight` });
    const padding = { front: 0, back: 0, ...pad(0) };
    const window = { out: shape.channels, kernel: [2, 1, 1], stride: [2, 1, 1], padding, activation: LINEAR } as const;
    x = g.apply(conv3d, name, { x, ...weights }, window).y!;
  }
  for (let i = 0; i < shape.encoderBlocks; i++) x = residual(g, `encoder.blocks.${i}`, x, shape);
  const out = quantiserChannels(shape.quantiser);
  const names = { weight: "project_in.weight", bias: "project_in.bias" };
  const weights = convFilters(g, "project_in", conv(shape.channels, out, 1), names);
  const point = { out, kernel: 1, stride: 1, padding: pad(0), activation: LINEAR };
  const z = g.apply(conv2d, "project_in", { x, ...weights }, point).y!;
  g.output("codes", quantise(g, "quantise", z, shape.quantiser, CODEBOOK));
  return g.build();
}

/**
 * `codes` [steps, rows, columns, codebooks] -> `image` [frames, height, width, 3], not clamped. The embedding holds the 1x1 convolution behind the
 * codebooks; residual blocks; one frame into two where a code covers two; transposed 4x4 convolutions, ReLU between them.
 */
export function buildCompressorDecoder(d: CompressorGraph): Graph {
  const size = grid(d);
  const { shape, packedBits } = d;
  const q = shape.quantiser;
  const books = q.kind === "vq" ? q.codebooks : 1;
  const g = new GraphBuilder("compressor-decoder");
  const words = packedBits && books * Math.ceil((size[0] * size[1] * size[2] * packedBits) / 32);
  const codes = g.input("codes", words ? { type: "u32", shape: [words] } : tensor(...size, books));
  const projection = { weight: "project_out.weight", bias: "project_out.bias", out: shape.channels };
  const packed = packedBits ? { bits: packedBits, grid: size } : undefined;
  let x = embedCodes(g, "project_out", codes, q, CODEBOOK, projection, packed);
  for (let i = 0; i < shape.decoderBlocks; i++) x = residual(g, `decoder.blocks.${i}`, x, shape);
  if (shape.time === 2) {
    const window = { kernel: [2, 1, 1], stride: [2, 1, 1], padding: [0, 0, 0] } as const;
    const up = transposed(shape.channels, shape.channels, window);
    const weights = transposedFilters(g, "decoder.time", up, {
      weight: "decoder.time.weight",
      bias: "decoder.time.bias",
    });
    x = g.apply(convTranspose, "decoder.time", { x, ...weights }, { out: up.out, ...window, activation: LINEAR }).y!;
  }
  for (const [i, out] of widths(shape).slice(0, -1).reverse().entries()) {
    const name = `decoder.conv.${i}`;
    const window = { kernel: [1, 4, 4], stride: [1, 2, 2], padding: [0, 1, 1] } as const;
    const input = channels(x.spec);
    const up = { ...transposed(input, out, window), shape: [input, out, 4, 4] };
    const weights = transposedFilters(g, name, up, { weight: `${name}.weight`, bias: `${name}.bias` });
    const activation = i === shape.layers - 1 ? LINEAR : RELU;
    x = g.apply(convTranspose, name, { x, ...weights }, { out, ...window, activation }).y!;
  }
  g.output("image", x);
  return g.build();
}

/** x + conv1x1(relu(conv3x3(relu(x)))), without bias, edges reflected. */
function residual(g: GraphBuilder, name: string, x: Value, { channels: top, multiple }: CompressorShape): Value {
  const hidden = top * multiple;
  const positive = g.apply(relu, `${name}.relu`, { x }, {}).y!;
  const wide = convFilters(g, `${name}.conv1`, conv(top, hidden, 3), { weight: `${name}.conv1.weight` });
  const window = { out: hidden, kernel: 3, stride: 1, padding: pad(1), edge: "reflect", activation: RELU } as const;
  const h = g.apply(conv2d, `${name}.conv1`, { x: positive, ...wide }, window).y!;
  const back = convFilters(g, name, conv(hidden, top, 1), { weight: `${name}.conv2.weight` });
  const point = { out: top, kernel: 1, stride: 1, padding: pad(0), activation: LINEAR };
  return g.apply(conv2d, name, { x: h, ...back, residual: x }, point).y!;
}
