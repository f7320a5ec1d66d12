import { fail } from "../core/fail.ts";
import type { Graph } from "../core/graph.ts";
import { isLatentModel, type ModelDescription, takesClips } from "./describe.ts";
import { buildMobileNetV2 } from "./mobilenetv2.ts";
import { buildResNet } from "./resnet.ts";
import { buildStam } from "./stam.ts";
import { buildLatentHalf } from "./taesd.ts";
import { buildViT } from "./vit.ts";

export {
  isLatentModel,
  type LatentHalf,
  MODEL_NAMES,
  type ModelDescription,
  type ModelName,
  standardShift,
  type TransformerShape,
  takesClips,
} from "./describe.ts";
export { pictureOf, standardLatents } from "./taesd.ts";
export { ACTIVATION_BYTES } from "./vit.ts";

/** The graph of a model at one clip length and frame size. @throws "graph" when the size does not fit, or for several clips of a model that takes one */
export function buildModel(d: ModelDescription): Graph {
  if ((d.clips ?? 1) !== 1 && !takesClips(d))
    fail("graph", `${d.model} takes one clip a run, not ${d.clips}; run them one after another`);
  if (d.model === "stam") return buildStam(d);
  if (d.model === "vit") return buildViT(d);
  if (isLatentModel(d.model)) return buildLatentHalf(d);
  return d.model.startsWith("tsm-resnet") ? buildResNet(d) : buildMobileNetV2(d);
}
