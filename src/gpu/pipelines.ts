import { fail } from "../core/fail.ts";
import { type BindingKind, type Consts, type Kernel, variantName } from "../core/kernel.ts";
import { specialise } from "../core/specialise.ts";

/** A compiled kernel variant with the explicit layout that reflection gave. */
export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

const caches = new WeakMap<GPUDevice, Map<string, Promise<Pipeline>>>();

/**
 * The pipeline of a kernel variant, compiled once a device and shared by all sessions on it.
 * Variants asked for without waiting compile in parallel.
 */
export function compile(
  device: GPUDevice,
  kernel: Kernel,
  consts: Consts,
  retype: Readonly<Record<string, string>> = {},
): Promise<Pipeline> {
  let cache = caches.get(device);
  if (!cache) {
    cache = new Map();
    caches.set(device, cache);
  }
  const label = variantName(kernel, consts, retype);
  let pipeline = cache.get(label);
  if (!pipeline) {
    pipeline = create(device, kernel, label, specialise(kernel, consts, retype), retype);
    cache.set(label, pipeline);
    pipeline.catch(() => cache.delete(label));
  }
  return pipeline;
}

async function create(
  device: GPUDevice,
  kernel: Kernel,
  label: string,
  code: string,
  retype: Readonly<Record<string, string>>,
): Promise<Pipeline> {
  // What is wrong with a kernel is reported below, with its line; nobody else's scope shall see it.
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ label, code });
  const layout = device.createBindGroupLayout({
    label,
    entries: Object.entries(kernel.bindings).map(([name, { index, kind }]) => ({
      binding: index,
      visibility: 4 /* GPUShaderStage.COMPUTE */,
      ...layoutOf(kind, retype[name]),
    })),
  });
  const pending = device.createComputePipelineAsync({
    label,
    layout: device.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
    compute: { module, entryPoint: "main" },
  });
  device.popErrorScope().catch(() => {});
  try {
    return { pipeline: await pending, layout };
  } catch (error) {
    const info = await module.getCompilationInfo();
    const first = info.messages.find((message) => message.type === "error");
    const where = first
      ? `line ${first.lineNum}: ${first.message}`
      : error instanceof Error
        ? error.message
        : String(error);
    return fail("unsupported", `kernel ${label} does not compile on this adapter: ${where.split("\n")[0]}`, {}, error);
  }
}

function layoutOf(
  kind: BindingKind,
  type: string | undefined,
): Omit<GPUBindGroupLayoutEntry, "binding" | "visibility"> {
  if (type === "texture_external") return { externalTexture: {} };
  if (kind === "read") return { buffer: { type: "read-only-storage" } };
  if (kind === "read_write") return { buffer: { type: "storage" } };
  if (kind === "uniform") return { buffer: { type: "uniform" } };
  return kind === "texture" ? { texture: {} } : { sampler: {} };
}
