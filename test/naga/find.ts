// Where Deno and lavapipe are, if they are.
import { existsSync, readdirSync } from "node:fs";
import { basename, delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { systemManifests } from "../../src/host/vulkan.ts";

const HERE = fileURLToPath(new URL(".", import.meta.url));

export interface Wgpu {
  /** The program. */
  readonly deno: string;
  /** Environment in which it finds lavapipe and no other driver. */
  readonly env: Readonly<Record<string, string>>;
}

function findDeno(): string | null {
  const folders = [join(HERE, "node_modules/@deno/linux-x64-glibc"), ...(process.env.PATH ?? "").split(delimiter)];
  return folders.map((folder) => join(folder, "deno")).find((file) => existsSync(file)) ?? null;
}

/** lavapipe as install.mjs unpacked it, else the system's. */
function findLavapipe(): Record<string, string> | null {
  const root = join(HERE, "lavapipe");
  const unpacked = join(root, "lvp_icd.json");
  if (existsSync(unpacked)) {
    const libraries = join(root, "usr/lib");
    const folders = readdirSync(libraries).map((folder) => join(libraries, folder));
    const path = [...folders, process.env.LD_LIBRARY_PATH ?? ""].filter((folder) => folder !== "").join(delimiter);
    return { VK_DRIVER_FILES: unpacked, LD_LIBRARY_PATH: path };
  }
  const manifest = systemManifests().find((file) => basename(file).startsWith("lvp_icd"));
  return manifest ? { VK_DRIVER_FILES: manifest } : null;
}

/** Deno with WebGPU on lavapipe; null, where one of them is missing. */
export function findWgpu(): Wgpu | null {
  const deno = findDeno();
  const lavapipe = findLavapipe();
  if (!deno || !lavapipe) return null;
  const { VK_DRIVER_FILES } = lavapipe;
  return { deno, env: { ...lavapipe, ...(VK_DRIVER_FILES ? { VK_ICD_FILENAMES: VK_DRIVER_FILES } : {}) } };
}
