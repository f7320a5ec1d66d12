/** The page of engine.test.ts: Kinema in a browser on made models, frames and op cases; Node judges what comes back. */

export { serve } from "../../../src/host/page/rpc.ts";
export { adapterKind, keptBodies, openGpuFails, pushedCreations, runSynthetic } from "./engine.ts";
export { ingestCanvas, ingestVideoFrame, refusedFrames } from "./frames.ts";
export { countCases, runCases } from "./op_cases.ts";
