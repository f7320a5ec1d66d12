/** Facts about the released checkpoints of each model that their keys do not always state. */

/** Halves of latent auto-encoders: see LatentHalf. */
export const LATENT_MODELS = [
  "taesd-encoder",
  "taesd-decoder",
  "taesdv-decoder",
  "taehv-encoder",
  "taehv-decoder",
] as const;

export type LatentModel = (typeof LATENT_MODELS)[number];

/** The models that Kinema recognises and builds. */
export const MODEL_NAMES = [
  "tsm-resnet50",
  "tsm-resnet101",
  "tsm-resnet50-nl",
  "tsm-mobilenetv2",
  "tsm-mobilenetv2-online",
  "mobilenetv2",
  "stam",
  "vit",
  ...LATENT_MODELS,
] as const;

export type ModelName = (typeof MODEL_NAMES)[number];

export const isLatentModel = (model: ModelName): model is LatentModel =>
  LATENT_MODELS.some((latent) => latent === model);

/** Bottleneck blocks in layer1..layer4 of a ResNet. */
export const resnetBlocks = (model: ModelName): readonly number[] =>
  model === "tsm-resnet101" ? [3, 4, 23, 3] : [3, 4, 6, 3];

/** MobileNetV2 blocks with an expansion and an identity shortcut (TSM; table 1.4 of the specification). */
const MOBILENET_BLOCKS = [3, 5, 6, 8, 9, 10, 12, 13, 15, 16];

/**
 * Units that a temporal shift precedes, in network order: every bottleneck of ResNet-50, every second one of ResNet-101
 * (TSM's n_round = 2 for deep networks), the ten residual blocks of MobileNetV2.
 */
export function standardShift(model: ModelName): readonly string[] {
  if (model === "mobilenetv2" || model === "vit" || model === "stam" || isLatentModel(model)) return [];
  if (model.startsWith("tsm-mobilenetv2")) return MOBILENET_BLOCKS.map((i) => `blocks.${i}.expand`);
  const every = model === "tsm-resnet101" ? 2 : 1;
  return resnetBlocks(model).flatMap((blocks, layer) =>
    Array.from({ length: Math.ceil(blocks / every) }, (_, i) => `layer${layer + 1}.${i * every}.conv1`),
  );
}
