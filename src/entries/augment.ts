// kinema/augment: codes of pictures to codes of flipped, turned, cut or recoloured ones, with the augmentation network's weights.
export { Augmenter, augmenterOf } from "../augmenter.ts";
export { type ErrorCode, KinemaError } from "../core/fail.ts";
export { type Gpu, type GpuOptions, openGpu } from "../gpu/device.ts";
export { type Changes, type Transform, transformOf } from "../latent_transform.ts";
export { type ByteSource, fromBlob, fromBytes } from "../weights/byte_source.ts";
export { type Checkpoint, openCheckpoint } from "../weights/checkpoint.ts";
export type { AugmenterShape } from "../weights/types.ts";
export { fromUrl } from "../weights/url_source.ts";
