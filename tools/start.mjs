// npm start: builds, then classifies the clip that ships with the project.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildAll } from "./build.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const data = process.env.KINEMA_DATA ?? join(root, "..", "shared", "data");
const image = join(data, "weights", "mobilenet_v2_1.0_224_tf_fp32.safetensors");
const names = join(data, "labels", "imagenet_labels_1001.txt");

const motion = join(root, "weights", "kinema-motion.safetensors");

/** Kinema's own motion model, or an image model of the data that this machine shares; null for neither. */
function weights() {
  if (existsSync(motion)) return ["--weights", motion];
  if (!existsSync(image)) return null;
  return ["--weights", image, ...(existsSync(names) ? ["--labels", names] : [])];
}

await buildAll();
const chosen = weights();
if (!chosen) {
  console.log(
    "Kinema is built. Give it weights: node bin/kinema.js classify bench/assets/motion.webm --weights FILE, a TSM .pth or a MobileNetV2 .safetensors",
  );
} else {
  const clip = join(root, "bench", "assets", "motion.webm");
  const args = [join(root, "bin", "kinema.js"), "classify", clip, ...chosen, ...process.argv.slice(2)];
  process.exitCode = spawnSync(process.execPath, args, { stdio: "inherit" }).status ?? 1;
}
