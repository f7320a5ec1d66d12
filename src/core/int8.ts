import { fail } from "./fail.ts";

/** Kernels read a byte as if it were the highest of a word: 2^24 times its number. Scales are kept divided by that. */
const RAISED = 2 ** 24;
/** Scales that would be kept below the smallest normal number are not: GPUs may take them for zero. */
const LEAST = RAISED * 2 ** -126;

/**
 * 4x4 blocks [panels, blocks], a column per input channel -> [panels, 1 + blocks] of 16 bytes each: the scales of a panel's 4 output
 * channels in f32, each / 2^24, then its blocks in signed bytes. Symmetric, a scale for each channel (Krishnamoorthi, "Quantizing deep
 * convolutional networks for efficient inference", 2018, section 2): scale = max |w| / 127, byte = round(w / scale), so that
 * |byte * scale - w| <= scale / 2; where all weights are zero, or too small for a scale, it is 1.
 * @throws "not-finite" for NaN and infinity
 */
export function toInt8(name: string, values: Float32Array, blocks: number): Int8Array<ArrayBuffer> {
  const panel = 16 * blocks;
  const out = new Int8Array((values.length / panel) * (16 + panel));
  const scales = new Float32Array(out.buffer);
  for (let from = 0, to = 0; from < values.length; from += panel, to += 16 + panel)
    for (let channel = 0; channel < 4; channel++) {
      let most = 0;
      for (let i = channel; i < panel; i += 4) most = Math.max(most, Math.abs(values[from + i]!));
      if (!Number.isFinite(most))
        fail("not-finite", `NaN or infinity in "${name}", which int8 cannot keep; use f32, or other weights`);
      const scale = most / 127 < LEAST ? 1 : Math.fround(most / 127);
      scales[to / 4 + channel] = scale / RAISED;
      for (let i = channel; i < panel; i += 4) out[to + 16 + i] = Math.round(values[from + i]! / scale);
    }
  return out;
}
