// Kinema's public API.
export {
  Classifier,
  type ClassifierOptions,
  describeModel,
  fpsOf,
  labelsOf,
  loadSession,
  type ModelOptions,
  preprocessingOf,
} from "./classifier.ts";
export { compareTensors, type TensorError } from "./compare.ts";
export { type ErrorCode, KinemaError } from "./core/fail.ts";
export {
  countMacs,
  countParameters,
  type Graph,
  GraphBuilder,
  type Node,
  type TensorSource,
  type Value,
  wantedTensors,
} from "./core/graph.ts";
export { type Plan, plan, printPlan } from "./core/plan.ts";
export { type TensorSpec, tensor, toChannelsFirst, toChannelsLast } from "./core/tensor.ts";
export type { Tuning } from "./core/tuning.ts";
export type { Explanation } from "./explain.ts";
export { type Gpu, type GpuOptions, openGpu } from "./gpu/device.ts";
export type { Profile, ProfileOptions, StepProfile } from "./gpu/profile.ts";
export { type Ranked, softmax, top } from "./labels/top.ts";
export { buildModel, type LatentHalf, MODEL_NAMES, type ModelDescription, type ModelName } from "./models/index.ts";
export { type DType, withPrecision } from "./precision.ts";
export { type NamedTensor, type RunModelOptions, type RunResult, runModel } from "./run.ts";
export { createSession, type Feed, type GpuRange, type RunOptions, Session, type SessionOptions } from "./session.ts";
export { keepTuning, keptTuning, type TunedClass, type TuneOptions, tune, withTuning } from "./tune.ts";
export { IMAGENET, type Preprocessing } from "./video/geometry.ts";
export { type Frame, FrameIngest, type IngestOptions, type Orientation, type Pixels } from "./video/ingest.ts";
export { sampleDense, sampleStam, sampleUniform } from "./video/sampling.ts";
export { fromBlob, fromBytes } from "./weights/byte_source.ts";
export { type ByteSource, type Checkpoint, openCheckpoint, type TensorInfo } from "./weights/checkpoint.ts";
export { fromUrl } from "./weights/url_source.ts";
