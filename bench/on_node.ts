// The bench in this Node process, through Dawn: a real GPU's driver first, then the software adapter.
import { openGpu } from "../src/gpu/device.ts";
import { openDawn } from "../src/host/dawn.ts";
import type { Host } from "./command.ts";
import { runBench } from "./run.ts";

export const onNode: Host = async (options, progress) => {
  const dawn = await openDawn(progress);
  try {
    using gpu = await openGpu({ gpu: dawn.gpu });
    progress(dawn.adapterDescription);
    if (gpu.caps.kind === "cpu") progress("no real GPU answers here: these times say nothing of one");
    return await runBench(gpu, { ...options, browser: `Node ${process.versions.node}, Dawn` }, progress);
  } finally {
    dawn.close();
  }
};
