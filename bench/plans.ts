// Multiply-accumulates, parameters, dispatches, pipelines and activation bytes of every model, from its graph alone.
//   npm run plans [-- --frames 8 --size 224 --steps MODEL]
import { parseArgs } from "node:util";
import { countMacs, countParameters } from "../src/core/graph.ts";
import { plan, printPlan } from "../src/core/plan.ts";
import { buildModel, MODEL_NAMES } from "../src/models/index.ts";
import { describeModel } from "../test/describe_model.ts";
import { ADAPTERS, variantsOf } from "../test/pipelines.ts";

const { values: flags } = parseArgs({
  options: {
    frames: { type: "string", default: "8" },
    size: { type: "string", default: "224" },
    steps: { type: "string" },
  },
});
const size = Number(flags.size);
const mb = (bytes: number) => (bytes / 1e6).toFixed(2);

console.log(`Pipelines: ${Object.keys(ADAPTERS).join(" / ")}.\n`);
console.log(
  "| model | frames | GMAC | parameters | dispatches | pipelines | activations MB | lower bound | naive | states |",
);
console.log("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
for (const model of MODEL_NAMES) {
  const single = /^(?:mobilenetv2|vit|tsm-mobilenetv2-online|ta.*-decoder|taesd-encoder)$/.test(model);
  const frames = single
    ? 1
    : model === "taehv-encoder"
      ? 4
      : model === "stam"
        ? 2 * Number(flags.frames)
        : Number(flags.frames);
  const classes = model === "tsm-mobilenetv2-online" ? 27 : 400;
  const graph = buildModel(describeModel(model, { frames, height: size, width: size, classes }));
  const p = plan(graph, ADAPTERS["software with subgroups"]!);
  const pipelines = Object.values(ADAPTERS).map((caps) => variantsOf(graph, caps).size);
  const { planned, lowerBound, naive, states } = p.bytes;
  const bytes = [planned, lowerBound, naive, states].map(mb);
  const counts = [(countMacs(graph) / 1e9).toFixed(4), countParameters(graph), p.steps.length, pipelines.join(" / ")];
  console.log(`| ${[model, frames, ...counts, ...bytes].join(" | ")} |`);
  if (flags.steps === model) console.log(printPlan(p));
}
