/**
 * The rival: onnxruntime-web's WebGPU execution provider, in a page. Its files come from this folder's own node_modules,
 * served locally; nothing of it is imported at build time, so the root project builds and type-checks without it.
 */

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
interface OrtModule {
  readonly env: { wasm: { wasmPaths?: string; numThreads?: number }; versions: { web?: string } };
  readonly Tensor: new (type: "float32", data: Float32Array, dims: readonly number[]) => OrtTensor;
  readonly InferenceSession: {
    create(model: Uint8Array, options: Readonly<Record<string, unknown>>): Promise<OrtSession>;
  };
}

export interface OrtOptions {
  /** The ONNX file; it has one input and one output, both f32. */
  modelUrl: string;
  /** The folder of onnxruntime-web's files (`.../onnxruntime-web/dist/`). */
  distUrl: string;
}

export interface OrtInput {
  data: Float32Array;
  /** [T, 3, H, W], as the ONNX file was exported. */
  shape: readonly number[];
}

/** A loaded model. `run` resolves when the output is in the page's memory, as Kinema's own run does. */
export interface OrtRunner {
  readonly version: string;
  /** Milliseconds to create the session (graph optimisation, weights to the GPU); shaders compile in the first run. */
  readonly prepareMs: number;
  run(input: OrtInput): Promise<Float32Array>;
  close(): Promise<void>;
}

/**
 * Opens an ONNX model on onnxruntime-web's WebGPU provider, one WASM thread.
 * Throws if a node of the graph would fall back to the CPU: a time that is half WASM would say nothing about WebGPU.
 */
export async function openOrt({ modelUrl, distUrl }: OrtOptions): Promise<OrtRunner> {
  const ort = (await import(new URL("ort.webgpu.min.mjs", distUrl).href)) as OrtModule;
  ort.env.wasm.wasmPaths = distUrl;
  ort.env.wasm.numThreads = 1;
  const response = await fetch(modelUrl);
  if (!response.ok) throw new Error(`${modelUrl}: HTTP ${response.status}; run tools/reference/export_onnx.py first`);
  const model = new Uint8Array(await response.arrayBuffer());
  const start = performance.now();
  const session = await ort.InferenceSession.create(model, {
    executionProviders: ["webgpu"],
    graphOptimizationLevel: "all",
    extra: { session: { disable_cpu_ep_fallback: "1" } },
  });
  const prepareMs = performance.now() - start;
  const inputName = session.inputNames[0] ?? "";
  const outputName = session.outputNames[0] ?? "";
  return {
    version: ort.env.versions.web ?? "unknown",
    prepareMs,
    async run({ data, shape }) {
      const outputs = await session.run({ [inputName]: new ort.Tensor("float32", data, shape) });
      const output = outputs[outputName];
      if (!output) throw new Error(`${modelUrl}: the run gave no '${outputName}'`);
      const values = Float32Array.from(await output.getData());
      output.dispose();
      return values;
    },
    close: () => session.release(),
  };
}

/** One cold run, then `runs` warm ones: the last output and the times in milliseconds. */
export async function runOrt(options: OrtOptions & { input: OrtInput; runs: number }) {
  const runner = await openOrt(options);
  const timed = async () => {
    const start = performance.now();
    const output = await runner.run(options.input);
    return { output, ms: performance.now() - start };
  };
  let last = await timed();
  const coldMs = last.ms;
  const warmMs: number[] = [];
  for (let i = 0; i < options.runs; i++) {
    last = await timed();
    warmMs.push(last.ms);
  }
  await runner.close();
  return { version: runner.version, prepareMs: runner.prepareMs, coldMs, warmMs, output: last.output };
}
