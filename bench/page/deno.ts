// The bench in Deno: options as JSON in the first argument, the report on stdout, progress on stderr.
import { openGpu } from "../../src/gpu/device.ts";
import { type BenchOptions, runBench } from "../run.ts";

declare const Deno: { readonly args: readonly string[]; readonly version: { readonly deno: string } };

const options = JSON.parse(Deno.args[0]!) as Omit<BenchOptions, "browser">;
using gpu = await openGpu();
const browser = `Deno ${Deno.version.deno}, wgpu`;
const report = await runBench(gpu, { ...options, browser }, (line) => console.error(line));
console.log(JSON.stringify(report));
