// Counts the GPU objects that code makes. Runs in Node and in a page.

/** Methods of a device that make what must not be made once it is warm; encoders and passes are made for every run. */
const MAKERS = [
  "createBuffer",
  "createTexture",
  "createSampler",
  "createBindGroup",
  "createBindGroupLayout",
  "createPipelineLayout",
  "createShaderModule",
  "createComputePipeline",
  "createComputePipelineAsync",
  "createRenderPipeline",
  "createRenderPipelineAsync",
  "createQuerySet",
  "importExternalTexture",
] as const;

export interface Creations {
  /** Calls by method, of those that were called. */
  readonly counts: Readonly<Record<string, number>>;
  /** Gives the device its own methods back. */
  stop(): void;
}

/** Counts what is made from `device` until `stop()`. */
export function recordCreations(device: GPUDevice): Creations {
  const counts: Record<string, number> = {};
  const shadow = device as unknown as Record<string, unknown>;
  const present = MAKERS.filter((name) => typeof shadow[name] === "function");
  for (const name of present) {
    const make = shadow[name] as (...given: unknown[]) => unknown;
    shadow[name] = (...given: unknown[]) => {
      counts[name] = (counts[name] ?? 0) + 1;
      return make.apply(device, given);
    };
  }
  return {
    counts,
    stop: () => {
      for (const name of present) delete shadow[name];
    },
  };
}
