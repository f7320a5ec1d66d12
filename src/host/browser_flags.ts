import { existsSync, readdirSync } from "node:fs";

/** How a browser reaches WebGPU: a real GPU, or SwiftShader on the CPU. */
export type GpuMode = "hardware" | "software";

// Without a network Chromium would wait for its updates, experiments and accounts.
const QUIET = [
  "--disable-quic",
  "--no-first-run",
  "--no-default-browser-check",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-domain-reliability",
  "--disable-sync",
  "--mute-audio",
];

const COMMON = ["--enable-unsafe-webgpu", "--ignore-gpu-blocklist", "--enable-gpu"];

// The whole set is needed: with fewer flags compute works and importing a VideoFrame fails.
const SOFTWARE = [
  "--use-webgpu-adapter=swiftshader",
  "--use-angle=swiftshader",
  "--enable-unsafe-swiftshader",
  "--enable-features=Vulkan",
  "--use-vulkan=swiftshader",
];

// Chromium on Linux reaches WebGPU through Vulkan, and gives f16 on NVIDIA only when asked (crbug 42251215).
const HARDWARE_LINUX = [
  "--use-angle=vulkan",
  "--enable-features=Vulkan",
  "--enable-dawn-features=vulkan_enable_f16_on_nvidia",
];

/** Command-line flags of Chromium for `mode` on this system; `--no-sandbox` here only as root, where it cannot start otherwise. */
export function browserFlags(mode: GpuMode): string[] {
  const hardware = process.platform === "linux" ? HARDWARE_LINUX : [];
  const root = process.platform === "linux" && process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  return [...QUIET, ...COMMON, ...(mode === "software" ? SOFTWARE : hardware), ...root];
}

/** Whether a GPU is worth a try: on Linux a render node or an NVIDIA device file exists; elsewhere always. */
export function mayHaveGpu(): boolean {
  if (process.platform !== "linux") return true;
  const render = existsSync("/dev/dri") && readdirSync("/dev/dri").some((name) => name.startsWith("renderD"));
  return render || existsSync("/dev/nvidia0");
}
