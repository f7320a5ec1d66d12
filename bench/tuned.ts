// The bodies that are measured to be fastest, in place of those that are taken by rule.
import type { Graph } from "../src/core/graph.ts";
import type { Gpu } from "../src/gpu/device.ts";
import { tune, withTuning } from "../src/tune.ts";

/** The GPU, tuned for a graph where that is asked for. */
export const tunedFor = async (gpu: Gpu, graph: Graph, asked: boolean): Promise<Gpu> =>
  asked ? withTuning(gpu, (await tune(gpu, graph)).tuning) : gpu;
