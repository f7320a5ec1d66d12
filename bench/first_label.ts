// How long until Kinema's motion model has named its first frame? In a fresh page of a fresh browser, stage by stage.
//   npm run bench:first-label [-- --runs 5 --json F]
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { launchBrowser } from "../src/host/chromium.ts";
import { openPage } from "../src/host/page.ts";
import type { FirstLabel } from "./first_label_page.ts";
import { median } from "./rival/compare.ts";

const { values: flags } = parseArgs({
  options: { runs: { type: "string", default: "5" }, json: { type: "string" } },
});
const bundle = join(process.cwd(), "node_modules", ".cache", "kinema", "first_label.js");
const entryPoints = [join(process.cwd(), "bench", "first_label_page.ts")];
await build({ entryPoints, bundle: true, format: "esm", target: "es2022", outfile: bundle, logLevel: "error" });

const runs: FirstLabel[] = [];
for (let i = 0; i < Number(flags.runs); i++) {
  const browser = await launchBrowser(); // a fresh one: nothing is compiled yet
  const page = await openPage(browser, { bundle });
  runs.push(await page.call<FirstLabel>("firstLabel", page.file("weights/kinema-motion.safetensors")));
  await page.close();
  await browser.close();
}
const STAGES = {
  device: "adapter and device",
  header: "weights: file opened, header read",
  pack: "weights: read, packed and written to the GPU",
  compile: "pipelines compiled (what packing did not hide)",
  first: "first frame: ingest, run, label",
} as const;
const total = ({ ms }: FirstLabel) => ms.device + ms.header + ms.pack + ms.compile + ms.first;
console.log(`kinema-motion on ${runs[0]!.adapter}, median of ${runs.length} fresh browsers`);
for (const [stage, text] of Object.entries(STAGES))
  console.log(
    `${median(runs.map(({ ms }) => ms[stage as keyof typeof STAGES]))
      .toFixed(0)
      .padStart(6)} ms  ${text}`,
  );
console.log(`${median(runs.map(total)).toFixed(0).padStart(6)} ms  until the first label`);
console.log(
  `${median(runs.map(({ ms }) => ms.second))
    .toFixed(0)
    .padStart(6)} ms  the next frame`,
);
if (flags.json) writeFileSync(flags.json, `${JSON.stringify(runs, null, 1)}\n`);
