import { fail } from "../core/fail.ts";
import type { Value } from "../core/graph.ts";
import { toHalf } from "../core/half.ts";
import { packParams, type Workgroups } from "../core/kernel.ts";
import { BINDING_ALIGNMENT, type Plan } from "../core/plan.ts";
import type { SessionBuffers } from "./buffers.ts";
import { compile, type Pipeline } from "./pipelines.ts";

/** A step of the plan with everything that its dispatch needs. */
export interface ReadyStep {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly groups: Workgroups;
  /** The node's outputs that this dispatch writes. */
  readonly made: readonly Value[];
}

/** Compiles every step's pipeline, all at once; equal variants share one. */
export function compileSteps(
  device: GPUDevice,
  plan: Plan,
  onProgress: (fraction: number) => void,
): Promise<readonly Pipeline[]> {
  let done = 0;
  const pending = plan.steps.map(async ({ dispatch }) => {
    const pipeline = await compile(device, dispatch.kernel, dispatch.consts, dispatch.retype);
    onProgress(++done / plan.steps.length);
    return pipeline;
  });
  const all = Promise.all(pending);
  all.catch(() => {}); // the caller packs weights before it looks
  return all;
}

/** Writes every step's params and makes its bind group. */
export function bindSteps(
  device: GPUDevice,
  plan: Plan,
  buffers: SessionBuffers,
  pipelines: readonly Pipeline[],
): ReadyStep[] {
  const params = new DataView(new ArrayBuffer(plan.steps.length * BINDING_ALIGNMENT));
  const steps = plan.steps.map(({ node, dispatch }, i): ReadyStep => {
    const offset = i * BINDING_ALIGNMENT;
    packParams(dispatch.kernel, dispatch.params, params, offset);
    const { pipeline, layout } = pipelines[i]!;
    const own = { buffer: buffers.params, offset, size: dispatch.kernel.paramsBytes };
    const entries = Object.entries(dispatch.kernel.bindings).map(([name, { index }]) => ({
      binding: index,
      resource: name === "params" ? own : buffers.range(dispatch.bind[name] ?? null, index),
    }));
    const outputs = Object.values(node.outputs);
    return {
      pipeline,
      group: device.createBindGroup({ label: node.name, layout, entries }),
      groups: dispatch.groups,
      made: Object.values(dispatch.bind).filter((value): value is Value => value !== null && outputs.includes(value)),
    };
  });
  device.queue.writeBuffer(buffers.params, 0, params.buffer);
  return steps;
}

/** Packs the weights one by one and writes them to the GPU; no two packed tensors are in memory at a time. */
export function uploadWeights(
  device: GPUDevice,
  { graph, half }: Plan,
  buffers: SessionBuffers,
  weights: ReadonlyMap<string, Float32Array>,
  onProgress: (fraction: number) => void,
): void {
  const get = (name: string): Float32Array =>
    weights.get(name) ?? fail("weights-mismatch", `the tensor "${name}" was not loaded`);
  const values = graph.values.filter((value) => value.kind === "weight");
  for (const [i, value] of values.entries()) {
    const packed = value.source!.pack(get);
    if (packed.length !== value.source!.length)
      fail("graph", `weight "${value.name}" packed to ${packed.length} elements, ${value.source!.length} declared`);
    const { buffer, offset } = buffers.range(value, 0);
    device.queue.writeBuffer(buffer, offset, half.has(value.id) ? toHalf(packed) : packed);
    onProgress((i + 1) / values.length);
  }
}
