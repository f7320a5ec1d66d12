/**
 * onnxruntime-web in a page, on WebGPU or on WebAssembly. Its files come from this folder's own node_modules, served locally;
 * nothing of it is imported at build time, so the root project builds and type-checks without it.
 */
import { type CaseName, inKinemasOrder, inputOf, RIVAL_CASES } from "./cases.ts";
import type { Engine } from "./compare.ts";
import type { Places } from "./engines.ts";

interface OrtTensor {
  readonly dims: readonly number[];
  getData(): Promise<Float32Array>;
  dispose(): void;
}
interface OrtSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>>;
  release(): Promise<void>;
}
export interface OrtModule {
  readonly env: { wasm: { wasmPaths?: string; numThreads?: number }; versions: { web?: string } };
  readonly Tensor: new (type: "float32", data: Float32Array, dims: readonly number[]) => OrtTensor;
  readonly InferenceSession: {
    create(model: Uint8Array | string, options: Readonly<Record<string, unknown>>): Promise<OrtSession>;
  };
}

/** On WebGPU no node may fall back to the CPU: a time that is half WebAssembly would say nothing of WebGPU. */
const PROVIDERS = {
  webgpu: { module: "ort.webgpu.min.mjs", extra: { session: { disable_cpu_ep_fallback: "1" } } },
  wasm: { module: "ort.wasm.min.mjs", extra: {} },
} as const;

/** Opens the case's ONNX file, one WebAssembly thread. */
export async function openOrt(provider: keyof typeof PROVIDERS, name: CaseName, places: Places): Promise<Engine> {
  const { module, extra } = PROVIDERS[provider];
  const ort = (await import(new URL(module, places.ort).href)) as OrtModule;
  ort.env.wasm.wasmPaths = places.ort;
  ort.env.wasm.numThreads = 1;
  const response = await fetch(`${places.models}${name}.onnx`);
  if (!response.ok) throw new Error(`models/${name}.onnx: HTTP ${response.status}; run tools/reference/export_onnx.py`);
  const model = new Uint8Array(await response.arrayBuffer());
  const start = performance.now();
  const options = { executionProviders: [provider], graphOptimizationLevel: "all", extra };
  const session = await ort.InferenceSession.create(model, options);
  const prepareMs = performance.now() - start;
  const [inputName, outputName] = [session.inputNames[0]!, session.outputNames[0]!];
  const { shape, output: outputShape } = RIVAL_CASES[name];
  const data = inputOf(name);
  return {
    version: ort.env.versions.web ?? "unknown",
    prepareMs,
    async run() {
      const outputs = await session.run({ [inputName]: new ort.Tensor("float32", data, shape) });
      const output = outputs[outputName]!;
      const values = Float32Array.from(await output.getData());
      output.dispose();
      return values;
    },
    arrange: (output) => inKinemasOrder(output, outputShape),
    close: () => session.release(),
  };
}
