import { type ModelDescription, type ModelName, standardShift } from "../src/models/index.ts";

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
    ...changes,
  };
}
