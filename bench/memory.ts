// What is alive in memory while a bench goes through an hour, part by part, in bytes.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Samples of parts of the memory, such as a process's and a GPU's. */
export interface Tenths<Parts> {
  readonly samples: number;
  /** The largest of the first and of the last tenth of the samples, part by part. */
  readonly first: Parts;
  readonly last: Parts;
}

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Bytes of this process's heap and buffers, after a collection of garbage. */
export async function aliveInNode(): Promise<number> {
  // Twice, a turn of the event loop apart: what a promise or a buffer's finaliser still holds goes with the second.
  collect();
  await new Promise((resolve) => setImmediate(resolve));
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** The samples in a few numbers; null of none. */
export function tenthsOf<Parts extends object>(samples: readonly Parts[]): Tenths<Parts> | null {
  if (samples.length === 0) return null;
  const tenth = Math.ceil(samples.length / 10);
  return { samples: samples.length, first: largest(samples.slice(0, tenth)), last: largest(samples.slice(-tenth)) };
}

function largest<Parts extends object>(samples: readonly Parts[]): Parts {
  const names = Object.keys(samples[0]!) as (keyof Parts)[];
  const most = (name: keyof Parts) => Math.max(...samples.map((sample) => Number(sample[name])));
  return Object.fromEntries(names.map((name) => [name, most(name)])) as Parts;
}

/** `12.34 MB node, 1.20 MB gpu` */
export const inMB = (parts: object): string =>
  Object.entries(parts)
    .map(([name, bytes]) => `${(bytes / 1e6).toFixed(2)} MB ${name}`)
    .join(", ");
