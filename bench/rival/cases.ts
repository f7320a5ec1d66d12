// What both engines can run, and when their answers are one.
import type { Comparison } from "./compare.ts";

/** By name of the model and of its file models/NAME.onnx. */
export const RIVAL_CASES = {
  "tsm-mobilenetv2": { shape: [8, 3, 224, 224], classes: 400 },
  mobilenetv2: { shape: [1, 3, 224, 224], classes: 1000 },
} as const;

export type RivalModel = keyof typeof RIVAL_CASES;

/** 1e-3 of logits of order 1 is what any two f32 engines agree to; a wrong answer is not timed. */
export const agree = ({ maxDifference, maxOutput }: Comparison): boolean =>
  maxDifference <= 1e-3 * Math.max(1, maxOutput);
