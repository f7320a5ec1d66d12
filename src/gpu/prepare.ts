import { fail } from "../core/fail.ts";
import type { TensorSource, Value } from "../core/graph.ts";
import { keep } from "../core/kept.ts";
import { packParams, type Workgroups } from "../core/kernel.ts";
import { BINDING_ALIGNMENT, type Plan } from "../core/plan.ts";
import { type SessionBuffers, scoped } from "./buffers.ts";
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

/** Packed bytes that may wait for the GPU: its own copies of them are freed before more are made. */
const IN_FLIGHT = 8 * 2 ** 20;

/**
 * Takes each weight's tensors from `weights`, packs them and writes the result to the GPU, in the order that `weights`
 * prefers. A tensor is let go once the weight behind it no longer wants it; about 8 MiB of packed weights are in memory.
 * @throws "weights-mismatch" for a tensor that `weights` lacks, and what reading one throws
 */
export async function uploadWeights(
  device: GPUDevice,
  { graph, kept }: Plan,
  buffers: SessionBuffers,
  weights: TensorSource,
  onProgress: (fraction: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  const wanted = inOrderOf(
    weights.keys(),
    graph.values.filter((value) => value.kind === "weight"),
  );
  let held = new Map<string, Float32Array>();
  let packed: { readonly value: Value; readonly data: ReturnType<typeof keep> }[] = [];
  let bytes = 0;
  for (const [i, { value, names }] of wanted.entries()) {
    held = await tensorsOf(names, weights, held, signal);
    packed.push({ value, data: keep(value.name, pack(value, held), kept.get(value.id)) });
    bytes += packed.at(-1)!.data.byteLength;
    if (bytes >= IN_FLIGHT || i === wanted.length - 1) {
      const write = () => {
        for (const { value, data } of packed) {
          const { buffer, offset } = buffers.range(value, 0);
          device.queue.writeBuffer(buffer, offset, data);
        }
      };
      await scoped(device, `weights of ${graph.name}`, write);
      packed = [];
      bytes = 0;
      await device.queue.onSubmittedWorkDone();
    }
    onProgress((i + 1) / wanted.length);
  }
}

/** Weights and the tensors that they want, as the order of `keys` has them. */
function inOrderOf(
  keys: Iterable<string>,
  values: readonly Value[],
): readonly { readonly value: Value; readonly names: readonly string[] }[] {
  const place = new Map([...keys].map((name, i) => [name, i]));
  const at = (name: string | undefined) => place.get(name ?? "") ?? place.size;
  return values
    .map((value) => ({ value, names: Object.keys(value.source!.tensors).sort((a, b) => at(a) - at(b)) }))
    .sort((a, b) => at(a.names[0]) - at(b.names[0]));
}

/** The tensors of those names: what the weight before held of them, and the others from `weights`. */
async function tensorsOf(
  names: readonly string[],
  weights: TensorSource,
  held: ReadonlyMap<string, Float32Array>,
  signal?: AbortSignal,
): Promise<Map<string, Float32Array>> {
  const tensors = new Map([...held].filter(([name]) => names.includes(name)));
  for (const name of names) {
    if (tensors.has(name)) continue;
    const tensor = await weights.get(name);
    signal?.throwIfAborted();
    tensors.set(name, tensor ?? fail("weights-mismatch", `the tensor "${name}" was not loaded`));
  }
  return tensors;
}

function pack({ name, source }: Value, tensors: ReadonlyMap<string, Float32Array>): Float32Array<ArrayBuffer> {
  const packed = source!.pack(
    (tensor) => tensors.get(tensor) ?? fail("graph", `weight "${name}" packs "${tensor}", which it does not declare`),
  );
  if (packed.length !== source!.length)
    fail("graph", `weight "${name}" packed to ${packed.length} elements, ${source!.length} declared`);
  return packed;
}
