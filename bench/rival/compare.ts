/** Times Kinema and onnxruntime-web on the same model, weights, input and adapter, in one page, runs interleaved. */
import { type OrtInput, type OrtOptions, openOrt } from "./ort.ts";

/** Anything that runs the model once and resolves with the logits in the page's memory. */
export interface Contender {
  readonly name: string;
  run(): Promise<Float32Array>;
}

export interface Timing {
  readonly name: string;
  /** The first run, with whatever is compiled lazily. */
  coldMs: number;
  warmMs: number[];
  medianMs: number;
}

export interface Comparison {
  ours: Timing;
  rival: Timing;
  rivalVersion: string;
  rivalPrepareMs: number;
  /** Rival's median over ours: 3 means that ours takes a third of the time. */
  ratio: number;
  /** Largest absolute difference of the two outputs, and the largest output, for scale. */
  maxDifference: number;
  maxOutput: number;
}

/** The median of a non-empty list; of an even count, the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

/**
 * Runs every contender once cold, then `runs` rounds in which each runs once, the order turning by one per round, so that a
 * machine that slows down or warms up does so for all. Returns timings and last outputs in the order given.
 */
export async function interleave(
  contenders: readonly Contender[],
  runs: number,
): Promise<{ timing: Timing; output: Float32Array }[]> {
  const entries = contenders.map(({ name }) => ({
    timing: { name, coldMs: 0, warmMs: [] as number[], medianMs: 0 },
    output: new Float32Array(0) as Float32Array,
  }));
  for (let round = 0; round <= runs; round++) {
    for (let i = 0; i < contenders.length; i++) {
      const index = (i + round) % contenders.length;
      const entry = entries[index]!;
      const start = performance.now();
      entry.output = await contenders[index]!.run();
      const ms = performance.now() - start;
      if (round === 0) entry.timing.coldMs = ms;
      else entry.timing.warmMs.push(ms);
    }
  }
  for (const { timing } of entries) timing.medianMs = median(timing.warmMs);
  return entries;
}

/**
 * The comparison itself: `ours` runs Kinema's session on `input` and reads the logits back. `runs` warm rounds (at least 1).
 * Throws if the two outputs have different lengths; how close they must be is the caller's to judge.
 */
export async function compareWithOrt(
  ours: Contender,
  input: OrtInput,
  options: OrtOptions,
  runs: number,
): Promise<Comparison> {
  const runner = await openOrt(options);
  const rival: Contender = { name: `onnxruntime-web ${runner.version} webgpu`, run: () => runner.run(input) };
  const [first, second] = await interleave([ours, rival], runs);
  await runner.close();
  const a = first!.output;
  const b = second!.output;
  if (a.length !== b.length) throw new Error(`${ours.name} gave ${a.length} logits, ${rival.name} ${b.length}`);
  return {
    ours: first!.timing,
    rival: second!.timing,
    rivalVersion: runner.version,
    rivalPrepareMs: runner.prepareMs,
    ratio: second!.timing.medianMs / first!.timing.medianMs,
    maxDifference: a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i]!)), 0),
    maxOutput: b.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0),
  };
}
