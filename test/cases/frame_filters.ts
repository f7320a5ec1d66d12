// Layers that pool frames and grow them (TPool and TGrow of TAEHV) as convolutions of their own. The models merge them with the layers
// beside them; here they stand alone, for windows and phases along the frames.
import type { Filters, TransposedFilters } from "../../src/models/filters.ts";

/** A 1x1 Conv2d over `frames` frames stacked on channels, earlier first (TPool), as a window of frames: stride [frames, 1, 1]. */
export function pooledFrames(input: number, out: number, frames: number): Filters {
  return {
    input,
    out,
    kernel: [frames, 1, 1],
    shape: [out, frames * input, 1, 1],
    rearrange(weight) {
      const taps = new Float32Array(weight.length);
      for (let o = 0; o < out; o++)
        for (let c = 0; c < input; c++)
          for (let t = 0; t < frames; t++) taps[(o * input + c) * frames + t] = weight[(o * frames + t) * input + c]!;
      return taps;
    },
  };
}

/** A 1x1 Conv2d to frames * out channels whose channels become `frames` frames, earlier first (TGrow): [frames * out, input, 1, 1]. */
export function grownFrames(input: number, out: number, frames: number): TransposedFilters {
  return {
    input,
    out,
    window: { kernel: [frames, 1, 1], stride: [frames, 1, 1], padding: [0, 0, 0] },
    shape: [frames * out, input, 1, 1],
    rearrange(weight) {
      const taps = new Float32Array(weight.length);
      for (let c = 0; c < input; c++)
        for (let o = 0; o < out; o++)
          for (let t = 0; t < frames; t++) taps[(c * out + o) * frames + t] = weight[(t * out + o) * input + c]!;
      return taps;
    },
    biases: frames * out,
    biasOf: (phase, channel) => phase * out + channel,
  };
}
