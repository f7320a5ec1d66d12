import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { needsVulkan, vulkanDrivers } from "../../src/host/vulkan.ts";

/** Runs once before all workers: what they share is made here, so that parallel workers do not each make it. */
export default async function setup(): Promise<void> {
  const { buildAll } = await import(pathToFileURL(resolve("tools/build.mjs")).href);
  await buildAll();
  if (needsVulkan()) await vulkanDrivers((message) => console.error(message));
}
