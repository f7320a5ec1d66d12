import { fail, KinemaError } from "../core/fail.ts";
import type { Caps, MatrixShape } from "../core/op.ts";

/** A device and what Kinema knows of it. */
export interface Gpu {
  readonly device: GPUDevice;
  readonly caps: Caps;
  /** Vendor, architecture and description as the adapter gives them, for people and for reports. */
  readonly adapter: string;
  /** Names the adapter and its features: equal where measurements carry over. */
  readonly identity: string;
  /** Rejects with code "device-lost" once the device is gone; never resolves. */
  readonly lost: Promise<never>;
  /** Destroys the device if Kinema made it; a device of the caller's is left alone. Idempotent. */
  dispose(): void;
  [Symbol.dispose](): void;
}

export interface GpuOptions {
  /** Where WebGPU comes from; `navigator.gpu` when absent (pass Dawn's in Node). */
  readonly gpu?: GPU;
  /** A device of the caller's, shared and never destroyed by Kinema. */
  readonly device?: GPUDevice;
  readonly powerPreference?: GPUPowerPreference;
}

const LIMITS = ["maxBufferSize", "maxStorageBufferBindingSize"] as const;
const MATRICES = "chromium-experimental-subgroup-matrix";
const FEATURES = ["shader-f16", "subgroups", "timestamp-query", MATRICES];

/**
 * Opens the GPU: the best adapter there is, software ones included, with the features and limits that Kinema can use.
 * @throws "no-webgpu" without WebGPU (or in an insecure context), "no-adapter" when it offers none
 */
export async function openGpu(options: GpuOptions = {}): Promise<Gpu> {
  if (options.device) return wrap(options.device, options.device.adapterInfo, false);
  const gpu = options.gpu ?? (globalThis.navigator as Navigator | undefined)?.gpu;
  if (!gpu) {
    const insecure = globalThis.isSecureContext === false;
    fail(
      "no-webgpu",
      insecure
        ? "WebGPU needs a secure context: serve the page over https or from localhost"
        : "this browser or runtime has no WebGPU (navigator.gpu); use a recent Chrome, Edge, Safari or Firefox",
    );
  }
  const adapter = await gpu.requestAdapter({ powerPreference: options.powerPreference ?? "high-performance" });
  if (!adapter)
    fail(
      "no-adapter",
      "WebGPU offers no adapter; check the graphics driver, or start the browser with a software adapter",
    );
  const requiredLimits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]]));
  const requiredFeatures = FEATURES.filter((name) => adapter.features.has(name)) as GPUFeatureName[];
  try {
    return wrap(await adapter.requestDevice({ requiredLimits, requiredFeatures, label: "kinema" }), adapter.info, true);
  } catch (error) {
    if (error instanceof KinemaError) throw error;
    return fail(
      "no-adapter",
      `the adapter gave no device: ${error instanceof Error ? error.message : error}`,
      {},
      error,
    );
  }
}

function wrap(device: GPUDevice, info: GPUAdapterInfo | undefined, owned: boolean): Gpu {
  const lost = device.lost.then((reason) =>
    fail(
      "device-lost",
      `the GPU device was lost (${reason.reason || "unknown"}): ${reason.message || "no reason given"}; open it again`,
    ),
  );
  lost.catch(() => {}); // a session that waits for it sees the rejection; nobody else must
  const dispose = () => {
    if (owned) device.destroy();
  };
  return {
    device,
    caps: capabilities(device, info),
    adapter: describe(info),
    identity: identify(device, info),
    lost,
    dispose,
    [Symbol.dispose]: dispose,
  };
}

function capabilities(device: GPUDevice, info: GPUAdapterInfo | undefined): Caps {
  return {
    kind: isSoftware(info) ? "cpu" : "gpu",
    f16: device.features.has("shader-f16"),
    subgroups: device.features.has("subgroups" as GPUFeatureName),
    timestamps: device.features.has("timestamp-query"),
    ...matricesOf(device, info as MatrixInfo | undefined),
  };
}

/** What Chromium's experimental feature adds to an adapter's description. */
interface MatrixInfo {
  readonly subgroupMinSize?: number;
  readonly subgroupMaxSize?: number;
  readonly subgroupMatrixConfigs?: Iterable<{
    readonly componentType: string;
    readonly resultType: string;
    readonly M: number;
    readonly N: number;
    readonly K: number;
  }>;
}

/** Matrices with f32 sums, if all subgroups have as many threads: the kernel deals them out by number. */
function matricesOf(device: GPUDevice, info: MatrixInfo | undefined): Pick<Caps, "matrices" | "subgroupSize"> {
  const { subgroupMinSize, subgroupMaxSize, subgroupMatrixConfigs } = info ?? {};
  if (!device.features.has(MATRICES as GPUFeatureName) || !subgroupMaxSize || subgroupMinSize !== subgroupMaxSize)
    return {};
  const matrices = [...(subgroupMatrixConfigs ?? [])].flatMap(
    ({ componentType, resultType, M, N, K }): MatrixShape[] => {
      const known = (componentType === "f16" || componentType === "f32") && resultType === "f32";
      return known ? [{ component: componentType, m: M, n: N, k: K }] : [];
    },
  );
  return matrices.length > 0 ? { matrices, subgroupSize: subgroupMaxSize } : {};
}

/** SwiftShader and llvmpipe run kernels on the CPU, where other kernels are fast; isFallbackAdapter is not set by all of them. */
function isSoftware(info: GPUAdapterInfo | undefined): boolean {
  if (!info) return false;
  const text = `${info.vendor} ${info.architecture} ${info.device} ${info.description}`.toLowerCase();
  return info.isFallbackAdapter === true || /swiftshader|llvmpipe|lavapipe|software/.test(text);
}

function identify(device: GPUDevice, info: GPUAdapterInfo | undefined): string {
  const { vendor = "", architecture = "", device: model = "", description = "" } = info ?? {};
  const features = [...FEATURES].filter((name) => device.features.has(name as GPUFeatureName));
  return [vendor, architecture, model, description, ...features].join("|");
}

function describe(info: GPUAdapterInfo | undefined): string {
  if (!info) return "unknown adapter";
  const words = [info.vendor, info.architecture, info.description || info.device].filter((word) => word);
  const text = [...new Set(words)].join(" ") || "unnamed adapter";
  return isSoftware(info) ? `${text} (software)` : text;
}
