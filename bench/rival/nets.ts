// The convolutional networks written in an engine's own ops, for engines that take no ONNX.
import { standardShift } from "../../src/models/index.ts";
import type { CaseName } from "./cases.ts";

/** What an engine's adapter offers. Units are named as in the recipe; a window is padded by (size - 1) / 2 and its bias added. */
export interface Ops<T> {
  conv(x: T, unit: string, stride: 1 | 2, activation: "relu" | "relu6" | "linear"): T;
  depthwise(x: T, unit: string, stride: 1 | 2, activation: "relu6" | "linear"): T;
  linear(x: T, unit: string): T;
  /** TSM: an eighth of the channels from the next frame, an eighth from the one before. */
  shift(x: T): T;
  sum(x: T, y: T): T;
  relu(x: T): T;
  /** 3x3, stride 2, padding 1. */
  maxPool(x: T): T;
  /** Over the pixels: [frames, channels]. */
  pool(x: T): T;
  /** Over the frames: the consensus of a TSM. */
  consensus(x: T): T;
  /** The same tensor for one more use, where an engine's ops consume what they are given. */
  again(x: T): T;
}

/** Blocks of MobileNetV2 with stride 2, and those whose input is added to their output. */
const HALVING = new Set([2, 4, 7, 14]);
const RESIDUAL = new Set([3, 5, 6, 8, 9, 10, 12, 13, 15, 16]);
/** ResNet-50's blocks a stage. */
const BLOCKS = [3, 4, 6, 3] as const;

function mobilenetv2<T>(ops: Ops<T>, image: T, shifted: ReadonlySet<string>): T {
  let x = ops.conv(image, "stem", 2, "relu6");
  for (let n = 1; n <= 17; n++) {
    const name = `blocks.${n}`;
    const residual = RESIDUAL.has(n) ? ops.again(x) : null;
    if (shifted.has(`${name}.expand`)) x = ops.shift(x);
    if (n > 1) x = ops.conv(x, `${name}.expand`, 1, "relu6");
    x = ops.depthwise(x, `${name}.depthwise`, HALVING.has(n) ? 2 : 1, "relu6");
    x = ops.conv(x, `${name}.project`, 1, "linear");
    if (residual !== null) x = ops.sum(x, residual);
  }
  x = ops.conv(x, "last", 1, "relu6");
  return ops.linear(ops.pool(x), "head");
}

function resnet50<T>(ops: Ops<T>, image: T, shifted: ReadonlySet<string>): T {
  let x = ops.maxPool(ops.conv(image, "stem", 2, "relu"));
  for (const [stage, blocks] of BLOCKS.entries())
    for (let b = 0; b < blocks; b++) {
      const name = `layer${stage + 1}.${b}`;
      const stride = b === 0 && stage > 0 ? 2 : 1;
      const kept = ops.again(x);
      const residual = b === 0 ? ops.conv(kept, `${name}.downsample`, stride, "linear") : kept;
      if (shifted.has(`${name}.conv1`)) x = ops.shift(x);
      x = ops.conv(x, `${name}.conv1`, 1, "relu");
      x = ops.conv(x, `${name}.conv2`, stride, "relu");
      x = ops.relu(ops.sum(ops.conv(x, `${name}.conv3`, 1, "linear"), residual));
    }
  return ops.linear(ops.pool(x), "head");
}

/** The case in the engine's ops: x in, output out. @throws for a case that is not written here */
export function runNet<T>(ops: Ops<T>, name: CaseName, x: T): T {
  switch (name) {
    case "matmul-512":
      return ops.linear(x, "conv1");
    case "conv3x3":
      return ops.conv(x, "conv1", 1, "linear");
    case "depthwise":
      return ops.depthwise(x, "conv1", 1, "linear");
    case "mobilenetv2":
      return mobilenetv2(ops, x, new Set());
    case "tsm-mobilenetv2":
      return ops.consensus(mobilenetv2(ops, x, new Set(standardShift(name))));
    case "tsm-resnet50":
      return ops.consensus(resnet50(ops, x, new Set(standardShift(name))));
    default:
      throw new Error(`${name} is not written in an engine's own ops`);
  }
}
