// What Deno runs: every kernel variant through wgpu's compiler naga, every op case on wgpu's adapter. One JSON object a line:
// first the adapter, then an object for every variant and every case with what is wrong with it (nothing: an empty list).

import { type Graph, wantedTensors } from "../../src/core/graph.ts";
import type { WeightForm } from "../../src/core/kept.ts";
import { type Dispatch, variantName } from "../../src/core/kernel.ts";
import { plan } from "../../src/core/plan.ts";
import { type Gpu, openGpu } from "../../src/gpu/device.ts";
import { compile } from "../../src/gpu/pipelines.ts";
import * as kernels from "../../src/kernels.gen.ts";
import { BODIES, type BodyName } from "../../src/ops/matmul_body.ts";
import { createSession } from "../../src/session.ts";
import { inBody } from "../cases/body.ts";
import { checkCase, TESTED } from "../cases/check.ts";
import { CASES } from "../cases/index.ts";
import { keeps } from "../cases/kept.ts";
import { Random } from "../cases/random.ts";
import { smallModels } from "../small_models.ts";
import { syntheticTensor } from "../synthetic.ts";
import type { Line } from "./line.ts";

/** Bodies in workgroup memory: the first for every case, the others for those that take them several tiles and slabs. */
const TILES = (Object.keys(BODIES) as BodyName[]).filter((name) => BODIES[name].kernel === "tile");
const SPANNING = [
  "conv2d 1x1 [1, 40, 33, 8] -> 17 linear",
  "conv2d 3x3 pad 1,1,1,1 residual [2, 4, 5, 5] -> 18 linear",
];

/** Of each family one. */
const MODELS = ["tsm-mobilenetv2-online", "tsm-resnet50", "vit", "stam"];

const print = (line: Line): void => console.log(JSON.stringify(line));

/** The lines that `work` gives, or what it threw, and what WebGPU complained of meanwhile. */
async function tried(gpu: Gpu, work: () => Promise<readonly string[] | undefined>): Promise<string[]> {
  const complaints: string[] = [];
  gpu.device.onuncapturederror = ({ error }) => complaints.push(error.message);
  try {
    const wrong = (await work()) ?? [];
    await gpu.device.queue.onSubmittedWorkDone();
    return [...wrong, ...complaints];
  } catch (error) {
    return [String(error), ...complaints];
  }
}

/** How weights can be kept. */
const forms = (f16: boolean): readonly WeightForm[] => [
  "f32",
  "unpacked",
  "int8",
  ...(f16 ? (["native", "arithmetic"] as const) : []),
];

/** Every kernel variant of every model and case, for both kinds of adapters, with f32 and with native f16 weights; the cases below have more. */
function variants(f16: boolean): Map<string, Dispatch> {
  const found = new Map<string, Dispatch>();
  for (const graph of [...smallModels(), ...CASES.map((c) => c.graph)])
    for (const kind of ["cpu", "gpu"] as const)
      for (const weights of f16 ? (["f32", "native"] as const) : (["f32"] as const)) {
        const caps = { kind, f16, subgroups: false, timestamps: false, weights };
        for (const { dispatch } of plan(graph, caps).steps)
          found.set(variantName(dispatch.kernel, dispatch.consts, dispatch.retype), dispatch);
      }
  return found;
}

const gpu = await openGpu();
print({ adapter: gpu.adapter, f16: gpu.caps.f16 });
for (const [name, d] of variants(gpu.caps.f16))
  print({
    variant: name,
    wrong: await tried(gpu, async () => void (await compile(gpu.device, d.kernel, d.consts, d.retype))),
  });
for (const kernel of [kernels.frameFast, kernels.frameReference])
  print({ variant: kernel.name, wrong: await tried(gpu, async () => void (await compile(gpu.device, kernel, {}))) });
for (const kind of ["cpu", "gpu"] as const)
  for (const form of forms(gpu.caps.f16))
    for (const body of kind === "gpu" ? [null, ...TILES] : [null])
      for (const opCase of TESTED) {
        if (body && body !== TILES[0] && !SPANNING.includes(opCase.graph.name)) continue;
        const own = { ...gpu, caps: { ...gpu.caps, kind } };
        const on = body ? inBody(own, opCase.graph, body) : own;
        if (!on || (form !== "f32" && !keeps(opCase, on.caps, form))) continue;
        const wrong = await tried(gpu, () => checkCase(on, opCase, form));
        print({ case: opCase.graph.name, kind, form, body, wrong });
      }
/** Logits of a small model with synthetic weights. */
async function logits(graph: Graph, dtype: "f32" | "f16"): Promise<Float32Array> {
  const weights = [...wantedTensors(graph)].map(([name, shape]) => [name, syntheticTensor(name, shape)] as const);
  using session = await createSession(gpu, graph, new Map(weights), { dtype });
  const [name, input] = Object.entries(graph.inputs)[0]!;
  const feeds = { [name]: new Random(1).normal(...input.spec.shape) };
  return (await session.run(feeds)).logits!;
}

for (const graph of gpu.caps.f16 ? smallModels().filter(({ name }) => MODELS.includes(name)) : []) {
  const [a, b] = [await logits(graph, "f32"), await logits(graph, "f16")];
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, v, i) => sum + v * y[i]!, 0);
  const cosine = dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  print({ model: graph.name, cosine, equal: a.every((v, i) => v === b[i]) });
}
gpu.dispose();
