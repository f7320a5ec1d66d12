// kinema/compressor: frames to codes and back with a compressor's weights, and what happens in codes, without a pixel.
export {
  CodesClassifier,
  type CodesClassifierOptions,
  type CodesStep,
  checkQuantiser,
  motionCodesOf,
} from "../codes_classifier.ts";
export {
  CODES_TRACK,
  COMPRESSOR_SIZE,
  codesTrackOf,
  compressorOf,
  FrameDecoder,
  FrameEncoder,
  rateOf,
  storeDescription,
  trackOfWeights,
} from "../compressor.ts";
export { type ErrorCode, KinemaError } from "../core/fail.ts";
export { type Gpu, type GpuOptions, openGpu } from "../gpu/device.ts";
export { findSimilar, type Moment, MomentWriter, type Similar, withMomentTracks } from "../moments.ts";
export type { Codes, CodesTrack, StoreDescription } from "../store/index.ts";
export { type LostTime, type Second, type TimedStep, type WatchOptions, watch } from "../timeline.ts";
export type { Frame, Orientation, Pixels } from "../video/ingest.ts";
export { type ByteSource, fromBlob, fromBytes } from "../weights/byte_source.ts";
export { type Checkpoint, openCheckpoint } from "../weights/checkpoint.ts";
export type { CompressorShape, MotionCodesShape } from "../weights/types.ts";
export { fromUrl } from "../weights/url_source.ts";
