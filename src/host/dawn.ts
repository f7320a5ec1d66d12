import { fail } from "../core/fail.ts";
import { describeAdapter } from "./describe_adapter.ts";
import { paceWaiting } from "./pace.ts";
import { loadVulkan, needsVulkan, type VulkanDriver, vulkanDrivers, withManifests } from "./vulkan.ts";

/** WebGPU in Node. `close()` destroys the devices that were made from `gpu` and not yet destroyed. */
export interface Dawn {
  readonly gpu: GPU;
  /** One line for people: the adapter in words and how it is reached. */
  readonly adapterDescription: string;
  close(): void;
}

type DawnModule = { create(options: string[]): GPU; globals: Record<string, unknown> };

// Objects from create() are kept until the process ends. Dawn-node polls its instance from a timer that does not keep it
// alive: collected too early it is used after it was freed. Let go at close, a test program crashed or hung in between none
// and all of 150 runs, by how it was started; kept, it did so in none of 600. Node 20 with webgpu 0.6 exits by itself
// all the same, as test/host/dawn.test.ts shows.
const instances: GPU[] = [];

// shader-f16 on NVIDIA is behind a Dawn toggle (crbug 42251215); timestamps are for measuring, so not rounded.
const OPTIONS = [
  "enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia",
  "disable-dawn-features=timestamp_quantization",
];

/**
 * Opens WebGPU in this Node process: a real GPU's driver first, then SwiftShader (see {@link vulkanDrivers}).
 * WebGPU's globals (GPUBufferUsage, ...) are defined. Throws `no-webgpu` if the npm package `webgpu` or every
 * driver is missing, `no-adapter` if no driver offers an adapter.
 */
export async function openDawn(onFirst?: (message: string) => void): Promise<Dawn> {
  const dawn = await importDawn();
  if (!needsVulkan()) {
    const found = await probe(dawn, OPTIONS, process.platform === "darwin" ? "Metal" : "Direct3D 12");
    return found?.dawn ?? fail("no-adapter", `Dawn found no GPU adapter on ${process.platform}`);
  }
  const drivers = await vulkanDrivers(onFirst);
  if (drivers.length === 0) fail("no-webgpu", NO_DRIVER);
  let software: Dawn | null = null;
  for (const driver of drivers) {
    const found = await probeVulkan(dawn, driver);
    if (!found) continue;
    // A software driver of the system (Mesa's lavapipe) gives way to SwiftShader, which the tests are run on.
    if (!found.software || driver === drivers.at(-1)) {
      software?.close();
      return found.dawn;
    }
    software = found.dawn;
  }
  const tried = drivers.map((driver) => driver.manifests ?? `${driver.origin} drivers`).join(", ");
  return software ?? fail("no-adapter", `no Vulkan driver offers a WebGPU adapter (tried ${tried})`);
}

/** Opens Dawn's null backend: it compiles and validates every shader variant, f16 and subgroup matrix too, and runs nothing. */
export async function openNullDawn(): Promise<Dawn> {
  const found = await probe(await importDawn(), ["backend=null", "enable-dawn-features=allow_unsafe_apis"], "null");
  return found?.dawn ?? fail("no-adapter", "Dawn's null backend offers no adapter; is the npm package webgpu intact?");
}

const NO_DRIVER =
  "no Vulkan driver: install your GPU's driver, a system Chromium, or (Linux x64) the npm package @sparticuz/chromium";

async function importDawn(): Promise<DawnModule> {
  try {
    const dawn = (await import("webgpu")) as unknown as DawnModule;
    for (const [name, value] of Object.entries(dawn.globals)) {
      if (!(name in globalThis)) Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
    }
    return dawn;
  } catch (error) {
    const reason = (error instanceof Error ? error.message : String(error)).split("\n")[0];
    return fail("no-webgpu", `WebGPU in Node needs the npm package webgpu 0.6: ${reason}; run npm ci`, {}, error);
  }
}

function probeVulkan(dawn: DawnModule, driver: VulkanDriver): Promise<{ dawn: Dawn; software: boolean } | null> {
  if (!loadVulkan(driver)) return Promise.resolve(null);
  const place = driver.origin === "swiftshader" ? "" : `, ${driver.origin} driver`;
  return withManifests(driver.manifests, () => probe(dawn, OPTIONS, `Vulkan in Node${place}`));
}

/** Creates an instance and asks it for an adapter, which is what loads the driver; null if there is none. */
async function probe(dawn: DawnModule, options: string[], via: string) {
  const gpu = dawn.create(options);
  instances.push(gpu);
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) return null;
  const devices = recordDevices(gpu);
  const close = (): void => {
    for (const device of devices.splice(0)) device.deref()?.destroy();
  };
  if (adapter.info.isFallbackAdapter) paceWaiting();
  const adapterDescription = `${describeAdapter(adapter.info)}, ${via}`;
  return { dawn: { gpu, adapterDescription, close }, software: adapter.info.isFallbackAdapter };
}

/** Makes `gpu` note every device it hands out; weakly, so that a device its owner dropped can be collected. */
function recordDevices(gpu: GPU): WeakRef<GPUDevice>[] {
  const devices: WeakRef<GPUDevice>[] = [];
  const requestAdapter = gpu.requestAdapter.bind(gpu);
  gpu.requestAdapter = async (options) => {
    const adapter = await requestAdapter(options);
    if (!adapter) return null;
    const requestDevice = adapter.requestDevice.bind(adapter);
    adapter.requestDevice = async (descriptor) => {
      const device = await requestDevice(descriptor);
      devices.push(new WeakRef(device));
      return device;
    };
    return adapter;
  };
  return devices;
}
