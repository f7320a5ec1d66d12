// Runs of a session in rounds: so many in one submit that a clock can tell their time.
import { unlessLost } from "../src/gpu/lost.ts";
import type { Session } from "../src/session.ts";

/**
 * What a round shall take at least, by the kind of adapter: a GPU's clock and queue need some milliseconds, and a browser
 * looks every few whether a software adapter is done.
 */
const ROUND_MS = { cpu: 40, gpu: 20 };
const MOST_RUNS_A_ROUND = 1000;

/** Commands in front of each run. */
export type Before = (encoder: GPUCommandEncoder) => void;

/** Wall time of so many runs in one submit, until the GPU is done, ms. */
export async function timeRuns(session: Session, runs: number, before: Before = () => {}): Promise<number> {
  const { device, lost } = session.gpu;
  const start = performance.now();
  const encoder = device.createCommandEncoder();
  for (let run = 0; run < runs; run++) {
    before(encoder);
    session.encode(encoder);
  }
  device.queue.submit([encoder.finish()]);
  await unlessLost(lost, device.queue.onSubmittedWorkDone());
  return performance.now() - start;
}

export async function runsARound(session: Session, before?: Before): Promise<number> {
  const wanted = ROUND_MS[session.gpu.caps.kind];
  let runs = 1;
  // Once more with more runs, as a single one may be shorter than the way to the GPU and back.
  for (let pilot = 0; pilot < 3; pilot++) {
    const each = Math.max(await timeRuns(session, runs, before), 0.01) / runs;
    runs = Math.min(MOST_RUNS_A_ROUND, Math.max(1, Math.ceil(wanted / each)));
  }
  return runs;
}
