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

await buildAll();
const clip = join(root, "bench", "assets", "motion.webm");
if (!existsSync(image)) {
  console.log(
    "Kinema is built. Give it weights: node bin/kinema.js classify bench/assets/motion.webm --weights FILE, a TSM .pth or a MobileNetV2 .safetensors",
  );
} else {
  const labels = existsSync(names) ? ["--labels", names] : [];
  const args = [
    join(root, "bin", "kinema.js"),
    "classify",
    clip,
    "--weights",
    image,
    ...labels,
    ...process.argv.slice(2),
  ];
  process.exitCode = spawnSync(process.execPath, args, { stdio: "inherit" }).status ?? 1;
}
