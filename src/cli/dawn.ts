import { type Gpu, openGpu } from "../gpu/device.ts";
import { openDawn } from "../host/dawn.ts";
import { readTuning } from "../host/tuning.ts";
import { withTuning } from "../tune.ts";

/**
 * Does work on Dawn in this process, with the kernels that `kinema tune` found for the adapter, and lets go of the driver in any case.
 * @param work is given the adapter's description too
 */
export async function onDawn<T>(
  note: (line: string) => void,
  work: (gpu: Gpu, adapter: string) => Promise<T>,
): Promise<T> {
  const dawn = await openDawn();
  try {
    const opened = await openGpu({ gpu: dawn.gpu });
    using gpu = withTuning(opened, readTuning(opened.identity, note));
    return await work(gpu, dawn.adapterDescription);
  } finally {
    dawn.close();
  }
}
