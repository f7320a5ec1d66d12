import {
  isLatentModel,
  type ModelDescription,
  type ModelName,
  standardLatents,
  standardShift,
  type TransformerShape,
} from "../src/models/index.ts";

/** ViT-B/16. */
const BASE: TransformerShape = {
  ...{ width: 768, depth: 12, heads: 12, hidden: 3072, patch: 16, frames: null, qkvBias: true, epsilon: 1e-6 },
  ...{ temporalDepth: 0, temporalHeads: 0, temporalHidden: 0 },
};

/** STAM over ViT-B/16, for clips of so many frames. */
export const stamShape = (frames: number): TransformerShape => ({
  ...BASE,
  ...{ frames, epsilon: 1e-5, temporalDepth: 6, temporalHeads: 8, temporalHidden: 2048 },
});

function transformerOf(model: ModelName, frames: number): TransformerShape | null {
  return model === "stam" ? stamShape(frames) : model === "vit" ? BASE : null;
}

/** A model as its authors' checkpoint describes it, at the size that the test asks for. */
export function describeModel(model: ModelName, changes: Partial<ModelDescription> = {}): ModelDescription {
  return {
    model,
    frames: 8,
    height: 224,
    width: 224,
    classes: 400,
    shifted: new Set(standardShift(model)),
    shiftDivisor: 8,
    padding: "symmetric",
    folded: false,
    latents: isLatentModel(model) ? standardLatents(model) : null,
    transformer: transformerOf(model, changes.frames ?? 8),
    ...changes,
  };
}
