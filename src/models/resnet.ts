import { type Graph, GraphBuilder, type Value } from "../core/graph.ts";
import { channels, extent, tensor } from "../core/tensor.ts";
import type { ConvAttrs } from "../ops/conv2d.ts";
import { LINEAR, matmul, maxPool, packOperand, pad, RELU, softmax } from "../ops/index.ts";
import { framesIn, type ModelDescription, resnetBlocks } from "./describe.ts";
import { classify } from "./head.ts";
import { convolution, unit, zeroBias } from "./layers.ts";

/** Blocks after which a non-local block stands: layer2 0 and 2, layer3 0, 2 and 4 (spec: TSM, section 1.5). */
const NON_LOCAL: ReadonlySet<string> = new Set(["layer2.0", "layer2.2", "layer3.0", "layer3.2", "layer3.4"]);

/** TSM-ResNet: bottlenecks with the stride on the 3x3 convolution (torchvision's v1.5), the shift in front of each block's first 1x1. */
export function buildResNet(d: ModelDescription): Graph {
  const g = new GraphBuilder(d.model);
  let x = g.input("video", tensor(framesIn(d), d.height, d.width, 3));
  x = conv(g, d, "stem", x, { out: 64, kernel: 7, stride: 2, activation: RELU });
  x = g.apply(maxPool, "stem.pool", { x }, { kernel: 3, stride: 2, pad: 1 }).y!;
  for (const [layer, blocks] of resnetBlocks(d.model).entries()) {
    for (let b = 0; b < blocks; b++) {
      const name = `layer${layer + 1}.${b}`;
      x = bottleneck(g, d, name, x, 64 << layer, b === 0 && layer > 0 ? 2 : 1);
      if (d.model === "tsm-resnet50-nl" && NON_LOCAL.has(name))
        x = nonLocal(g, `${name}.nl`, x, d.nonLocalBias ?? true);
    }
  }
  return classify(g, d, x);
}

type ConvShape = Pick<ConvAttrs, "out" | "kernel" | "stride" | "activation">;

function conv(g: GraphBuilder, d: ModelDescription, name: string, x: Value, shape: ConvShape, residual?: Value): Value {
  const fold = Math.floor(channels(x.spec) / d.shiftDivisor);
  const shift = d.shifted.has(name) ? { shift: { mode: "both", fold, frames: d.frames } as const } : {};
  const attrs = { ...shape, ...shift, padding: pad((shape.kernel - 1) / 2) };
  return convolution(g, name, x, attrs, d.folded, { residual });
}

function bottleneck(
  g: GraphBuilder,
  d: ModelDescription,
  name: string,
  x: Value,
  planes: number,
  stride: number,
): Value {
  const out = 4 * planes;
  const shortcut = stride !== 1 || channels(x.spec) !== out;
  const narrow = conv(g, d, `${name}.conv1`, x, { out: planes, kernel: 1, stride: 1, activation: RELU });
  // The shortcut comes after conv1, the shift's reader, and before conv2, so that x dies as early as it can.
  const residual = shortcut ? conv(g, d, `${name}.downsample`, x, { out, kernel: 1, stride, activation: LINEAR }) : x;
  const middle = conv(g, d, `${name}.conv2`, narrow, { out: planes, kernel: 3, stride, activation: RELU });
  return conv(g, d, `${name}.conv3`, middle, { out, kernel: 1, stride: 1, activation: RELU }, residual);
}

/**
 * Non-local block, embedded Gaussian, keys and values pooled 2x2 in space (Wang et al., Non-local Neural Networks, 3.3):
 * z = BN(W softmax(theta(x) phi(x)^T) g(x)) + x over all pixels of the clip, without a 1/sqrt(d) scale.
 */
function nonLocal(g: GraphBuilder, name: string, x: Value, biased: boolean): Value {
  const width = channels(x.spec) / 2;
  const project = (part: string): Value => {
    const weights = unit(g, `${name}.${part}`, {
      out: width,
      input: channels(x.spec),
      kernel: 1,
      volume: true,
      batchNorm: false,
      bias: true,
    });
    return g.apply(matmul, `${name}.${part}`, { x, ...weights }, { out: width, activation: LINEAR }).y!;
  };
  const operand = (part: string, transposed: boolean): Value => {
    const pooled = g.apply(maxPool, `${name}.${part}.pool`, { x: project(part) }, { kernel: 2, stride: 2, pad: 0 }).y!;
    return g.apply(packOperand, `${name}.${part}.packed`, { x: pooled }, { transposed }).w!;
  };
  const keys = operand("phi", false);
  const values = operand("g", true);
  const count = extent(x.spec, 0) * Math.floor(extent(x.spec, 1) / 2) * Math.floor(extent(x.spec, 2) / 2);
  const scores = g.apply(
    matmul,
    `${name}.scores`,
    { x: project("theta"), w: keys, bias: zeroBias(g, `${name}.scores.bias`, count) },
    { out: count, activation: LINEAR },
  ).y!;
  const shares = g.apply(softmax, `${name}.shares`, { x: scores }, {}).y!;
  const seen = g.apply(
    matmul,
    `${name}.seen`,
    { x: shares, w: values, bias: zeroBias(g, `${name}.seen.bias`, width) },
    { out: width, activation: LINEAR },
  ).y!;
  const weights = unit(g, `${name}.out`, {
    out: channels(x.spec),
    input: width,
    kernel: 1,
    volume: true,
    batchNorm: true,
    bias: biased,
  });
  return g.apply(matmul, name, { x: seen, ...weights, residual: x }, { out: channels(x.spec), activation: LINEAR }).y!;
}
