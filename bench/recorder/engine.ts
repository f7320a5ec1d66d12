// The GPU, and what encodes and decodes on it.
import {
  COMPRESSOR_SIZE,
  codesTrackOf,
  compressorOf,
  FrameDecoder,
  FrameEncoder,
  rateOf,
  trackOfWeights,
} from "../../src/compressor.ts";
import { fail } from "../../src/core/fail.ts";
import { type Gpu, openGpu } from "../../src/gpu/device.ts";
import type { CodesTrack, StoreDescription } from "../../src/store/index.ts";
import type { Checkpoint } from "../../src/weights/checkpoint.ts";
import type { Input } from "./inputs.ts";
import { RATES, weightsOf } from "./rates.ts";

let gpu: Promise<Gpu> | null = null;

/** The page's GPU; another one after it failed or was lost. */
export function theGpu(): Promise<Gpu> {
  if (gpu) return gpu;
  const opening = openGpu();
  const forget = () => {
    if (gpu === opening) gpu = null;
  };
  opening.then(({ lost }) => lost.catch(forget), forget);
  gpu = opening;
  return opening;
}

/** An encoder of an input's runs. Whoever gets it disposes of it. */
export async function encoderFor(checkpoint: Checkpoint, input: Input): Promise<FrameEncoder> {
  const { time } = compressorOf(checkpoint);
  const frames = input.stepsARun(time) * time;
  return FrameEncoder.create(await theGpu(), checkpoint, { frames, size: COMPRESSOR_SIZE });
}

/**
 * A decoder of a store, a step a run, with the weights that it was written with. Whoever gets it disposes of it.
 * @throws "unsupported" for a store without codes or of weights that are not here, "weights-mismatch" for one of others of that name
 */
export async function decoderFor(
  description: StoreDescription,
  name: string,
): Promise<{ readonly decoder: FrameDecoder; readonly track: CodesTrack }> {
  const written = codesTrackOf(description, name);
  const rate = RATES.find((one) => one === rateOf(written));
  if (!rate)
    fail(
      "unsupported",
      `${name} was written by ${written.model}, which this page has not; use kinema decode --weights`,
    );
  const checkpoint = await weightsOf(rate);
  const track = await trackOfWeights(description, checkpoint, name);
  const { width, height } = description;
  return { decoder: await FrameDecoder.create(await theGpu(), checkpoint, { steps: 1, width, height }), track };
}
