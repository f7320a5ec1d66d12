// How long does each step of a run take, by the GPU's clock or by the wall's? What is too short for the clock is repeated.
import type { Plan } from "../core/plan.ts";
import type { SessionBuffers } from "./buffers.ts";
import type { Gpu } from "./device.ts";
import { commonDivisor, type Timer } from "./grain.ts";
import { unlessLost } from "./lost.ts";
import type { ReadyStep } from "./prepare.ts";
import { mapped, recordSteps, stagingBuffer } from "./record.ts";

/** What a session lends: its steps, its memory, and how its inputs are filled. */
export interface Profiled {
  readonly gpu: Gpu;
  readonly plan: Plan;
  readonly steps: readonly ReadyStep[];
  readonly buffers: SessionBuffers;
  fill(encoder: GPUCommandEncoder): void;
  /** Throws once the session is closed. */
  check(): void;
}

export type Clock = "timestamps" | "submits";

/** A run that times its steps: each is dispatched so often, in a pass or a submit of its own. */
export interface Stopwatch extends Timer {
  readonly clock: Clock;
  close(): void;
}

/** WebGPU's limit for queries of a set, two of which time a step. */
const STEPS_PER_SET = 2048;

export function submit({ gpu: { device }, check }: Profiled, record: (encoder: GPUCommandEncoder) => void): void {
  check();
  const encoder = device.createCommandEncoder();
  record(encoder);
  device.queue.submit([encoder.finish()]);
}

/** Time from before `record` until the GPU is done with it, ms. */
export async function timed(
  profiled: Profiled,
  now: () => number,
  record: (encoder: GPUCommandEncoder) => void,
): Promise<number> {
  const { device, lost } = profiled.gpu;
  const start = now();
  submit(profiled, record);
  await unlessLost(lost, device.queue.onSubmittedWorkDone());
  return now() - start;
}

export function median(list: readonly number[]): number {
  const sorted = [...list].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

export const COPY = 4 | 8; // GPUBufferUsage.COPY_SRC | COPY_DST; the global is not there before WebGPU is

/** A pass a step, with a timestamp at its beginning and at its end; one submit. */
export function byTimestamps(profiled: Profiled): Stopwatch {
  const { gpu, steps } = profiled;
  const { states, range } = profiled.buffers;
  const { device } = gpu;
  const sets: GPUQuerySet[] = [];
  for (let left = steps.length; left > 0; left -= STEPS_PER_SET)
    sets.push(device.createQuerySet({ type: "timestamp", count: 2 * Math.min(STEPS_PER_SET, left) }));
  const bytes = Math.max(1, steps.length) * 16;
  const staging = stagingBuffer(device, bytes);
  const made = steps.map((step) => step.made.reduce((sum, value) => sum + value.bytes, 0));
  // The timestamps, and behind them what a repeated step writes over.
  const kept = device.createBuffer({
    label: "kinema/timestamps",
    size: bytes + states.size + Math.max(0, ...made),
    usage: GPUBufferUsage.QUERY_RESOLVE | COPY,
  });
  const copy = (encoder: GPUCommandEncoder, step: number, back: boolean) => {
    let at = bytes;
    // What a step writes: the node's outputs that it binds, and states, of which it may move some.
    const ranges = steps[step]!.made.map((value) => range(value, 0));
    for (const { buffer, offset, size } of [{ buffer: states, offset: 0, size: states.size }, ...ranges]) {
      if (back) encoder.copyBufferToBuffer(kept, at, buffer, offset, size);
      else encoder.copyBufferToBuffer(buffer, offset, kept, at, size);
      at += size;
    }
  };
  let first: bigint | undefined;
  /** What all times are multiples of apart from the first one. */
  let ns = 0;
  return {
    clock: "timestamps",
    grain: () => ns / 1e6,
    async run(repeats) {
      submit(profiled, (encoder) => {
        profiled.fill(encoder);
        for (const [i, count] of repeats.entries()) {
          const at = 2 * (i % STEPS_PER_SET);
          const timestampWrites = {
            querySet: sets[Math.floor(i / STEPS_PER_SET)]!,
            beginningOfPassWriteIndex: at,
            endOfPassWriteIndex: at + 1,
          };
          if (count > 1) copy(encoder, i, false);
          recordSteps(encoder, Array(count).fill(steps[i]), [], undefined, { timestampWrites });
          if (count === 1) continue;
          // Steps behind it find what one dispatch leaves: a sum in place would grow, and a state move on, with each.
          copy(encoder, i, true);
          recordSteps(encoder, [steps[i]!]);
        }
        for (const [i, set] of sets.entries()) encoder.resolveQuerySet(set, 0, set.count, kept, i * STEPS_PER_SET * 16);
        encoder.copyBufferToBuffer(kept, 0, staging, 0, bytes);
      });
      await mapped(gpu, staging, bytes, profiled.check);
      const times = new BigUint64Array(staging.getMappedRange().slice(0));
      staging.unmap();
      first ??= times[0]!;
      for (const time of times) ns = commonDivisor(ns, Math.abs(Number(time - first)));
      return Float64Array.from(steps, (_, i) => Math.max(0, Number(times[2 * i + 1]! - times[2 * i]!) / 1e6));
    },
    close() {
      for (const object of [...sets, kept, staging]) object.destroy();
    },
  };
}

/** A submit a step, each waited for, less what an empty one takes. Its clock is taken at its word: nothing is repeated. */
export function bySubmits(profiled: Profiled, now: () => number): Stopwatch {
  const overheads: number[] = [];
  return {
    clock: "submits",
    grain: () => 0,
    async run() {
      await timed(profiled, now, profiled.fill);
      for (let i = 0; i < 5; i++) overheads.push(await timed(profiled, now, () => {}));
      const overhead = median(overheads);
      const times = new Float64Array(profiled.steps.length);
      for (const [i, step] of profiled.steps.entries()) {
        const wall = await timed(profiled, now, (encoder) => recordSteps(encoder, [step]));
        times[i] = Math.max(0, wall - overhead);
      }
      return times;
    },
    close() {},
  };
}
