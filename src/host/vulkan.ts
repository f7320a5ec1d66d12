import { existsSync, readdirSync } from "node:fs";
import { constants, homedir } from "node:os";
import { delimiter, join } from "node:path";
import { packagedChromium, unpackSwiftShader } from "./packaged.ts";

const LOADER = "libvulkan.so.1";
const SOFTWARE_MANIFEST = "vk_swiftshader_icd.json";
// Where containers get NVIDIA's driver mounted; no loader looks there by itself.
const MOUNTED_FOLDERS = ["/usr/local/nvidia/share/vulkan/icd.d"];
const RTLD_NODELETE = 0x1000; // <dlfcn.h> of glibc; Node names no constant for it
const BROWSER_FOLDERS = [
  "/usr/lib/chromium",
  "/usr/lib/chromium-browser",
  "/usr/lib64/chromium-browser",
  "/opt/google/chrome",
  "/opt/chromium.org/chromium",
];

/** Where Vulkan drivers come from: manifest files for the loader, and the loader if the system has none. */
export interface VulkanDriver {
  readonly origin: "environment" | "system" | "swiftshader";
  /** Value for VK_DRIVER_FILES and VK_ICD_FILENAMES; null leaves the loader's own search in place. */
  readonly manifests: string | null;
  /** Loader library to take if the dynamic linker finds none by name. */
  readonly loader: string | null;
}

/** True where Dawn reaches the GPU through Vulkan; macOS and Windows have Metal and Direct3D 12, which need no set-up. */
export function needsVulkan(): boolean {
  return process.platform === "linux";
}

/**
 * The drivers to try, best first: what the caller's own VK_DRIVER_FILES / VK_ICD_FILENAMES name (then nothing else), the
 * system's installed drivers, NVIDIA's where a container has it mounted, SwiftShader beside a system Chromium, SwiftShader from
 * the npm package.
 */
export async function vulkanDrivers(onFirst?: (message: string) => void): Promise<VulkanDriver[]> {
  if (process.env.VK_DRIVER_FILES || process.env.VK_ICD_FILENAMES) {
    return [{ origin: "environment", manifests: null, loader: await packagedLoader(onFirst) }];
  }
  const drivers: VulkanDriver[] = [];
  const loader = await packagedLoader(onFirst);
  if (systemManifests().length > 0) drivers.push({ origin: "system", manifests: null, loader });
  const mounted = manifestsIn(MOUNTED_FOLDERS);
  if (mounted.length > 0) drivers.push({ origin: "system", manifests: mounted.join(delimiter), loader });
  const software = await softwareManifest(onFirst);
  if (software) drivers.push({ origin: "swiftshader", manifests: software, loader });
  return drivers;
}

/** Manifest of a SwiftShader driver: a system browser's, else the npm package's; null if there is neither. */
export async function softwareManifest(onFirst?: (message: string) => void): Promise<string | null> {
  for (const folder of BROWSER_FOLDERS) {
    const manifest = join(folder, SOFTWARE_MANIFEST);
    if (existsSync(manifest)) return manifest;
  }
  const source = packagedChromium();
  return source ? join(await unpackSwiftShader(source, onFirst), SOFTWARE_MANIFEST) : null;
}

/** Manifests the system's Vulkan loader would find (folders of the Vulkan loader's driver discovery). */
export function systemManifests(): string[] {
  const shared = ["/etc", "/usr/local/etc", "/usr/local/share", "/usr/share", join(homedir(), ".local/share")];
  return manifestsIn(shared.map((folder) => join(folder, "vulkan/icd.d")));
}

function manifestsIn(folders: readonly string[]): string[] {
  return folders
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder).map((file) => join(folder, file)))
    .filter((file) => file.endsWith(".json"));
}

async function packagedLoader(onFirst?: (message: string) => void): Promise<string | null> {
  if (openLibrary(LOADER)) return null;
  const source = packagedChromium();
  return source ? join(await unpackSwiftShader(source, onFirst), LOADER) : null;
}

/**
 * Makes the Vulkan loader available to this process and says whether it is. Loading it once by path, for good
 * (RTLD_NODELETE), is enough: Dawn's later dlopen("libvulkan.so.1") is answered by soname from what is loaded. So no
 * LD_LIBRARY_PATH, which would have to be set before the process starts, and no second process.
 */
export function loadVulkan(driver: VulkanDriver): boolean {
  return openLibrary(LOADER) || (driver.loader !== null && openLibrary(driver.loader));
}

function openLibrary(file: string): boolean {
  try {
    process.dlopen({ exports: {} }, file, constants.dlopen.RTLD_NOW | RTLD_NODELETE);
    return true;
  } catch (error) {
    // It is no Node addon, so Node always throws; the library itself was opened if this is what Node complains of.
    return /did not self-register/.test(String(error));
  }
}

/** Runs `body` with the loader's two environment variables (old and new name) set to `manifests`, then puts them back. */
export async function withManifests<T>(manifests: string | null, body: () => Promise<T>): Promise<T> {
  if (manifests === null) return body();
  const before = { VK_DRIVER_FILES: process.env.VK_DRIVER_FILES, VK_ICD_FILENAMES: process.env.VK_ICD_FILENAMES };
  process.env.VK_DRIVER_FILES = manifests;
  process.env.VK_ICD_FILENAMES = manifests;
  try {
    return await body();
  } finally {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
}
