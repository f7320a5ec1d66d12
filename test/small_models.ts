import type { Graph } from "../src/core/graph.ts";
import { buildModel, MODEL_NAMES, type TransformerShape } from "../src/models/index.ts";
import { describeModel } from "./describe_model.ts";

const SHAPE: TransformerShape = {
  width: 24,
  depth: 2,
  heads: 2,
  hidden: 40,
  patch: 16,
  frames: null,
  temporalDepth: 0,
  temporalHeads: 2,
  temporalHidden: 0,
  qkvBias: true,
  epsilon: 1e-6,
};

/** Every model, small: for software adapters its kernels are those of the full one but for the largest tiles; GPUs choose tiles by size. */
export function smallModels(): Graph[] {
  return MODEL_NAMES.map((model) => {
    const stam = { frames: 2, temporalDepth: 2, temporalHidden: 40 };
    const transformer = model === "stam" ? { ...SHAPE, ...stam } : model === "vit" ? SHAPE : null;
    const frames = model === "tsm-mobilenetv2-online" ? 1 : model === "taehv-encoder" ? 4 : 2;
    return buildModel(describeModel(model, { frames, height: 64, width: 64, classes: 7, transformer }));
  });
}
