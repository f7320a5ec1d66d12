// A device whose timestamps are rounded, as they are in a browser: Dawn's default, which src/host/dawn.ts turns off.
import { type Gpu, openGpu } from "../src/gpu/device.ts";
import { openDawn } from "../src/host/dawn.ts";
import { needsVulkan, vulkanDrivers, withManifests } from "../src/host/vulkan.ts";

/** What Dawn rounds timestamps to, ms: 2^16 ns. */
export const ROUNDED_TO = 0.065536;

const instances: GPU[] = []; // kept until the process ends, as in src/host/dawn.ts

export async function openRounded(): Promise<Gpu> {
  (await openDawn()).close(); // loads Vulkan, and defines WebGPU's globals
  const { create } = (await import("webgpu")) as unknown as { create(options: string[]): GPU };
  const options = ["enable-dawn-features=allow_unsafe_apis,timestamp_quantization"];
  const drivers = needsVulkan() ? await vulkanDrivers() : [];
  return withManifests(drivers.at(-1)?.manifests ?? null, async () => {
    const gpu = create(options);
    instances.push(gpu);
    return openGpu({ gpu });
  });
}
