import { type Graph, GraphBuilder, type Value } from "../core/graph.ts";
import { channels, extent, tensor } from "../core/tensor.ts";
import type { ConvAttrs } from "../ops/conv2d.ts";
import { depthwise, LINEAR, pad, RELU6, samePadding, stateSpec } from "../ops/index.ts";
import { framesIn, type ModelDescription } from "./describe.ts";
import { classify } from "./head.ts";
import { convolution, unit } from "./layers.ts";

/** Expansion, output channels, blocks, stride of the first (Sandler et al., MobileNetV2, table 2). */
const STAGES = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
] as const;

/** MobileNetV2 1.0: per frame, with the temporal shift both ways, or online with its state. */
export function buildMobileNetV2(d: ModelDescription): Graph {
  const g = new GraphBuilder(d.model);
  let x = g.input(d.model === "mobilenetv2" ? "image" : "video", tensor(framesIn(d), d.height, d.width, 3));
  x = conv(g, d, "stem", x, { out: 32, kernel: 3, stride: 2, activation: RELU6 });
  let index = 1;
  for (const [expansion, out, blocks, first] of STAGES) {
    for (let b = 0; b < blocks; b++) x = block(g, d, `blocks.${index++}`, x, expansion, out, b === 0 ? first : 1);
  }
  x = conv(g, d, "last", x, { out: 1280, kernel: 1, stride: 1, activation: RELU6 });
  return classify(g, d, x);
}

type ConvShape = Pick<ConvAttrs, "out" | "kernel" | "stride" | "activation" | "shift">;

function paddingOf(d: ModelDescription, x: Value, kernel: number, stride: number) {
  return d.padding === "same"
    ? samePadding(extent(x.spec, 1), extent(x.spec, 2), kernel, stride)
    : pad((kernel - 1) / 2);
}

function conv(
  g: GraphBuilder,
  d: ModelDescription,
  name: string,
  x: Value,
  shape: ConvShape,
  more: Parameters<typeof convolution>[5] = {},
): Value {
  const attrs = { ...shape, padding: paddingOf(d, x, shape.kernel, shape.stride) };
  return convolution(g, name, x, attrs, d.folded, more);
}

/** Inverted residual: expand 1x1, depthwise 3x3, project 1x1, and the sum with the input where shapes allow. */
function block(
  g: GraphBuilder,
  d: ModelDescription,
  name: string,
  x: Value,
  expansion: number,
  out: number,
  stride: 1 | 2,
): Value {
  const input = channels(x.spec);
  const hidden = input * expansion;
  const residual = stride === 1 && input === out ? x : undefined;
  let state: Value | undefined;
  let h = x;
  if (expansion !== 1) {
    const shifted = d.shifted.has(`${name}.expand`);
    const fold = Math.floor(input / d.shiftDivisor);
    const mode = d.model === "tsm-mobilenetv2-online" ? "past" : "both";
    // One frame at a time is a stream; a longer clip is the same network offline, zeros before its first frame.
    if (shifted && mode === "past" && d.frames === 1) state = g.state(`${name}.past`, stateSpec(x.spec, fold));
    const shift = shifted ? { shift: { mode, fold, frames: d.frames } as const } : {};
    const shape = { out: hidden, kernel: 1, stride: 1, activation: RELU6, ...shift };
    h = conv(g, d, `${name}.expand`, x, shape, { past: state });
  }
  const filter = unit(
    g,
    `${name}.depthwise`,
    { out: hidden, input: 1, kernel: 3, batchNorm: !d.folded, bias: d.folded },
    true,
  );
  h = g.apply(
    depthwise,
    `${name}.depthwise`,
    { x: h, ...filter },
    { stride, padding: paddingOf(d, h, 3, stride), activation: RELU6 },
  ).y!;
  // The projection sums into x's memory; as it reads x's first channels for the sum, it keeps them for the next frame.
  const shape = { out, kernel: 1, stride: 1, activation: LINEAR };
  return conv(g, d, `${name}.project`, h, shape, { residual, carry: state });
}
