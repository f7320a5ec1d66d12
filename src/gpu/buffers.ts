import { fail } from "../core/fail.ts";
import type { Value } from "../core/graph.ts";
import { keptBytes } from "../core/kept.ts";
import { BINDING_ALIGNMENT, type Plan } from "../core/plan.ts";
import { roundUp } from "../core/tensor.ts";

/** All memory of a session. */
export interface SessionBuffers {
  readonly params: GPUBuffer;
  readonly states: GPUBuffer;
  /** The range a value lives in; for null, memory that binding `index` may point at and nothing reads. */
  range(value: Value | null, index: number): { buffer: GPUBuffer; offset: number; size: number };
  destroy(): void;
}

/** Weights are spread over buffers of at most this many bytes: it fits WebGPU's default limit for a binding. */
const WEIGHT_CHUNK = 128 * 2 ** 20;
const MAX_BINDINGS = 10;

/** Offsets of values laid one after another in buffers of at most `chunk` bytes. */
function layOut(
  values: readonly Value[],
  chunk: number,
  bytesOf: (value: Value) => number,
): { places: Map<number, { buffer: number; offset: number }>; sizes: number[] } {
  const places = new Map<number, { buffer: number; offset: number }>();
  const sizes: number[] = [0];
  for (const value of values) {
    const bytes = roundUp(bytesOf(value), BINDING_ALIGNMENT);
    if (sizes.at(-1)! > 0 && sizes.at(-1)! + bytes > chunk) sizes.push(0);
    places.set(value.id, { buffer: sizes.length - 1, offset: sizes.at(-1)! });
    sizes[sizes.length - 1]! += bytes;
  }
  return { places, sizes };
}

/** Throws "limit-exceeded", naming the tensor, before anything is allocated. */
export function checkLimits(device: GPUDevice, plan: Plan): void {
  const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
  const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  const largest = plan.graph.values.reduce((a, b) => (b.bytes > a.bytes ? b : a));
  if (largest.bytes > maxStorageBufferBindingSize) {
    const remedy = largest.kind === "weight" ? "use another adapter" : "use fewer frames or a smaller size";
    fail(
      "limit-exceeded",
      `${plan.graph.name}: "${largest.name}" takes ${mib(largest.bytes)}, this device binds at most ${mib(maxStorageBufferBindingSize)}; ${remedy}`,
      { needed: largest.bytes, limit: maxStorageBufferBindingSize },
    );
  }
  for (const bytes of [...plan.arenas, plan.bytes.states]) {
    if (bytes > maxBufferSize)
      fail(
        "limit-exceeded",
        `${plan.graph.name} needs ${mib(bytes)} of activations in a buffer, this device allows ${mib(maxBufferSize)}; use fewer frames or a smaller size`,
        { needed: bytes, limit: maxBufferSize },
      );
  }
}

/** Allocates what the plan asks for and nothing more. */
export function makeBuffers(device: GPUDevice, plan: Plan): SessionBuffers {
  const all: GPUBuffer[] = [];
  const make = (label: string, bytes: number, usage: number): GPUBuffer => {
    const buffer = device.createBuffer({ label: `kinema/${label}`, size: Math.max(bytes, BINDING_ALIGNMENT), usage });
    all.push(buffer);
    return buffer;
  };
  const { COPY_DST, COPY_SRC, STORAGE, UNIFORM } = GPUBufferUsage;
  const weightBytes = (value: Value) => keptBytes(value.bytes, plan.kept.get(value.id));
  const of = (kind: Value["kind"]) => plan.graph.values.filter((value) => value.kind === kind);
  const weightLayout = layOut(of("weight"), Math.min(WEIGHT_CHUNK, device.limits.maxBufferSize), weightBytes);
  const stateLayout = layOut(of("state"), Number.POSITIVE_INFINITY, (value) => value.bytes);
  const weights = weightLayout.sizes.map((bytes) => make("weights", bytes, STORAGE | COPY_DST));
  const states = make("states", stateLayout.sizes[0]!, STORAGE | COPY_DST | COPY_SRC);
  const arenas = plan.arenas.map((bytes) => make("activations", bytes, STORAGE | COPY_DST | COPY_SRC));
  const nothing = make("nothing", MAX_BINDINGS * BINDING_ALIGNMENT, STORAGE);
  const params = make("params", plan.steps.length * BINDING_ALIGNMENT, UNIFORM | COPY_DST);
  return {
    params,
    states,
    range(value, index) {
      if (!value) return { buffer: nothing, offset: index * BINDING_ALIGNMENT, size: BINDING_ALIGNMENT };
      const temp = plan.places.get(value.id);
      if (temp) return { buffer: arenas[temp.arena]!, offset: temp.offset, size: value.bytes };
      const weight = weightLayout.places.get(value.id);
      if (weight) return { buffer: weights[weight.buffer]!, offset: weight.offset, size: weightBytes(value) };
      return { buffer: states, offset: stateLayout.places.get(value.id)!.offset, size: value.bytes };
    },
    destroy() {
      for (const buffer of all) buffer.destroy();
    },
  };
}

/**
 * Runs `work`, which must not wait, under error scopes: what WebGPU reports later becomes a typed error here. A device's
 * scopes are one stack for all its users, so they are closed again before anybody else has a turn.
 * @param undo frees what `work` made, if WebGPU turns out to have refused some of it
 */
export async function scoped<T>(
  device: GPUDevice,
  what: string,
  work: () => T,
  undo: (made: T) => void = () => {},
): Promise<T> {
  device.pushErrorScope("validation");
  device.pushErrorScope("out-of-memory");
  const pop = () => device.popErrorScope().catch(() => null); // a lost device has no scopes; the session tells of the loss
  let scopes: [Promise<GPUError | null>, Promise<GPUError | null>];
  let made: T;
  try {
    made = work();
  } finally {
    scopes = [pop(), pop()];
  }
  const [memory, validation] = await Promise.all(scopes);
  const error = memory ?? validation;
  if (!error) return made;
  undo(made);
  return fail(memory ? "out-of-memory" : "graph", `${what}: ${error.message.split("\n")[0]}`);
}
