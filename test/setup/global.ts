import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { needsVulkan, vulkanDrivers } from "../../src/host/vulkan.ts";

/** Runs once before all workers: what they share is made here, so that parallel workers do not each make it. */
export default async function setup(): Promise<void> {
  const { generateKernels } = await import(pathToFileURL(resolve("tools/gen.mjs")).href);
  await generateKernels();
  if (needsVulkan()) await vulkanDrivers((message) => console.error(message));
}
