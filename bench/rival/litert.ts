/** LiteRT.js on WebGPU: its file is written here (tflite.ts), channels last, batch norm folded, activations fused. */
import { wantedTensors } from "../../src/core/graph.ts";
import { type CaseName, foldedUnit, inKinemasOrder, inputOf, RIVAL_CASES } from "./cases.ts";
import type { Engine } from "./compare.ts";
import type { Places } from "./engines.ts";
import { runNet } from "./nets.ts";
import { type FlatBuilder, TfLite } from "./tflite.ts";

interface LiteRtTensor {
  data(): Promise<Float32Array>;
  delete(): void;
}
interface LiteRtModel {
  readonly isFullyAccelerated: boolean;
  run(input: LiteRtTensor): Promise<LiteRtTensor[]>;
  delete(): void;
}
interface LiteRtModule {
  readonly version: string;
  readonly Builder: new (size: number) => FlatBuilder;
  readonly Tensor: { fromTypedArray(data: Float32Array, shape: readonly number[]): LiteRtTensor };
  loadLiteRt(folder: string): Promise<unknown>;
  loadAndCompile(
    model: Uint8Array,
    options: { accelerator: "webgpu"; gpuOptions: { precision: "fp32" } },
  ): Promise<LiteRtModel>;
}

export async function openLiteRt(name: CaseName, places: Places): Promise<Engine> {
  const litert = (await import(new URL("litert.js", places.scripts).href)) as LiteRtModule;
  const { shape, graph } = RIVAL_CASES[name];
  const data = inKinemasOrder(inputOf(name), shape);
  const [rows, channels, ...sides] = shape as [number, number, ...number[]];
  const inputShape = sides.length > 0 ? [rows, ...sides, channels] : [rows, channels];
  const tensors = wantedTensors(graph());
  const net = new TfLite((unit) => foldedUnit(tensors, unit));
  const input = net.tensor(inputShape);
  const file = net.finish(new litert.Builder(1 << 20), input, runNet(net.ops, name, input));
  const start = performance.now();
  await litert.loadLiteRt(places.litert);
  const model = await litert.loadAndCompile(file, { accelerator: "webgpu", gpuOptions: { precision: "fp32" } });
  const prepareMs = performance.now() - start;
  // A time that is half WebAssembly would say nothing of WebGPU.
  if (!model.isFullyAccelerated) throw new Error("it would run part of the graph on the processor");
  return {
    version: litert.version,
    prepareMs,
    async run() {
      const x = litert.Tensor.fromTypedArray(data, inputShape);
      const outputs = await model.run(x);
      const output = Float32Array.from(await outputs[0]!.data());
      for (const tensor of [x, ...outputs]) tensor.delete();
      return output;
    },
    close: () => model.delete(),
  };
}
