/** Name lists of published checkpoints, written out from tsm-stam.md 2.4 and 2.5, and a checkpoint without bytes. */

import { fail } from "../../../src/core/fail.ts";
import type { Checkpoint, DType, TensorInfo } from "../../../src/weights/checkpoint.ts";

import type { Recognised } from "../../../src/weights/recognise.ts";

export type Shapes = Record<string, readonly number[]>;

export function fake(shapes: Shapes, name = "file.pth", metadata: Record<string, string> = {}): Checkpoint {
  const tensors = new Map<string, TensorInfo>();
  for (const [key, shape] of Object.entries(shapes)) {
    const dtype: DType = key.endsWith("num_batches_tracked") ? "I64" : "F32";
    const byteLength = shape.reduce((product, extent) => product * extent, dtype === "I64" ? 8 : 4);
    tensors.set(key, { name: key, dtype, shape, byteLength, present: true });
  }
  const unreadable = async (): Promise<never> => fail("closed", "a fake checkpoint has no bytes");
  return {
    container: "torch-legacy",
    name,
    size: 0,
    missingBytes: 0,
    metadata,
    tensors,
    read: unreadable,
    readF32: unreadable,
  };
}

function norm(shapes: Shapes, prefix: string, channels: number): void {
  for (const part of ["weight", "bias", "running_mean", "running_var"]) shapes[`${prefix}.${part}`] = [channels];
  shapes[`${prefix}.num_batches_tracked`] = [];
}

export interface ResNetOptions {
  readonly depths?: readonly number[];
  /** "module.base_model." */
  readonly prefix?: string;
  readonly shifted?: (block: number) => boolean;
  readonly head?: string;
  readonly classes?: number;
  readonly nonLocal?: boolean;
  readonly mmaction?: boolean;
}

/** Official ("conv1", "bn1") or mmaction2 ("conv1.conv", "conv1.bn") ResNet names. */
export function resNet(options: ResNetOptions = {}): Shapes {
  const {
    depths = [3, 4, 6, 3],
    prefix = "module.base_model.",
    shifted = () => true,
    head = "module.new_fc",
    classes = 400,
    nonLocal = false,
    mmaction = false,
  } = options;
  const shapes: Shapes = {};
  const unit = (at: string, index: number | "stem", shape: readonly number[], net = false): void => {
    const conv = index === "stem" ? "conv1" : `conv${index}`;
    shapes[`${at}${conv}${mmaction ? ".conv" : ""}${net ? ".net" : ""}.weight`] = shape;
    norm(shapes, mmaction ? `${at}${conv}.bn` : `${at}bn${index === "stem" ? 1 : index}`, shape[0]!);
  };
  unit(prefix, "stem", [64, 3, 7, 7]);
  let from = 64;
  depths.forEach((depth, i) => {
    const planes = 64 << i;
    for (let block = 0; block < depth; block++) {
      const wrapped = nonLocal && (i === 1 || i === 2) && block % 2 === 0;
      const outer = `${prefix}layer${i + 1}.${block}.`;
      const at = wrapped ? `${outer}block.` : outer;
      unit(at, 1, [planes, from, 1, 1], shifted(block));
      unit(at, 2, [planes, planes, 3, 3]);
      unit(at, 3, [4 * planes, planes, 1, 1]);
      if (block === 0) {
        shapes[`${at}downsample.${mmaction ? "conv" : "0"}.weight`] = [4 * planes, from, 1, 1];
        norm(shapes, `${at}downsample.${mmaction ? "bn" : "1"}`, 4 * planes);
      }
      from = 4 * planes;
      if (wrapped) (mmaction ? mmactionNonLocal : officialNonLocal)(shapes, outer, from);
    }
  });
  shapes[`${head}.weight`] = [classes, 2048];
  shapes[`${head}.bias`] = [classes];
  return shapes;
}

function conv3d(shapes: Shapes, name: string, to: number, from: number): void {
  shapes[`${name}.weight`] = [to, from, 1, 1, 1];
  shapes[`${name}.bias`] = [to];
}

function officialNonLocal(shapes: Shapes, at: string, channels: number): void {
  for (const role of ["g.0", "theta", "phi.0"]) conv3d(shapes, `${at}nl.${role}`, channels / 2, channels);
  conv3d(shapes, `${at}nl.W.0`, channels, channels / 2);
  norm(shapes, `${at}nl.W.1`, channels);
}

function mmactionNonLocal(shapes: Shapes, at: string, channels: number): void {
  for (const role of ["g.0", "theta", "phi.0"])
    conv3d(shapes, `${at}non_local_block.${role}.conv`, channels / 2, channels);
  shapes[`${at}non_local_block.conv_out.conv.weight`] = [channels, channels / 2, 1, 1, 1];
  norm(shapes, `${at}non_local_block.conv_out.bn`, channels);
}

/** [expansion, channels, blocks, stride] of MobileNetV2. */
const STAGES = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
] as const;

export type MobileNetNaming = "official" | "torchvision" | "torchvision-folded" | "mmaction2";

/** @param shift writes `.net` on the blocks with expansion and identity shortcut */
export function mobileNet(
  naming: MobileNetNaming,
  prefix: string,
  head: string | null,
  classes: number,
  shift: boolean,
): Shapes {
  const shapes: Shapes = {};
  const unit = (conv: string, bn: string, shape: readonly number[]): void => {
    shapes[`${prefix}${conv}.weight`] = shape;
    if (naming === "torchvision-folded") shapes[`${prefix}${conv}.bias`] = [shape[0]!];
    else norm(shapes, `${prefix}${bn}`, shape[0]!);
  };
  const mm = naming === "mmaction2";
  unit(mm ? "conv1.conv" : "features.0.0", mm ? "conv1.bn" : "features.0.1", [32, 3, 3, 3]);
  let from = 32;
  let index = 1;
  STAGES.forEach(([expansion, to, count, stride], stage) => {
    for (let block = 0; block < count; block++, index++) {
      const hidden = from * expansion;
      const net = shift && expansion > 1 && from === to && (block > 0 || stride === 1) ? ".net" : "";
      const convs = [...(expansion > 1 ? [[hidden, from, 1, 1]] : []), [hidden, 1, 3, 3], [to, hidden, 1, 1]];
      convs.forEach((shape, step) => {
        const wrap = step === 0 ? net : "";
        const last = step === convs.length - 1;
        if (mm)
          unit(
            `layer${stage + 1}.${block}.conv.${step}${wrap}.conv`,
            `layer${stage + 1}.${block}.conv.${step}${wrap}.bn`,
            shape,
          );
        else if (naming === "official")
          unit(`features.${index}.conv.${3 * step}${wrap}`, `features.${index}.conv.${3 * step + 1}`, shape);
        else if (last) unit(`features.${index}.conv.${step}`, `features.${index}.conv.${step + 1}`, shape);
        else unit(`features.${index}.conv.${step}${wrap}.0`, `features.${index}.conv.${step}${wrap}.1`, shape);
      });
      from = to;
    }
  });
  unit(mm ? "conv2.conv" : "features.18.0", mm ? "conv2.bn" : "features.18.1", [1280, 320, 1, 1]);
  if (head !== null) {
    shapes[`${head}.weight`] = [classes, 1280];
    shapes[`${head}.bias`] = [classes];
  }
  return shapes;
}

/** Parameters of the network: all but statistics and counters. */
export function countParameters(shapes: Shapes, found: Recognised): number {
  let sum = 0;
  for (const [name, raw] of found.tensors) {
    if (!name.includes("running")) sum += shapes[raw]!.reduce((product, extent) => product * extent, 1);
  }
  return sum;
}
