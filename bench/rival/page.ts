// The page of the comparison with onnxruntime-web: both engines on one adapter, in one page, interleaved. Called over RPC.
import { wantedTensors } from "../../src/core/graph.ts";
import { toChannelsLast } from "../../src/core/tensor.ts";
import { openGpu } from "../../src/gpu/device.ts";
import type { CallContext } from "../../src/host/page/rpc.ts";
import { buildModel, type ModelName, standardShift } from "../../src/models/index.ts";
import { createSession } from "../../src/session.ts";
import { syntheticTensor } from "../../test/synthetic.ts";
import { type Comparison, compareWithOrt } from "./compare.ts";

export { serve } from "../../src/host/page/rpc.ts";

export interface RivalArgs {
  readonly model: ModelName;
  /** [frames, 3, height, width] */
  readonly shape: readonly [number, number, number, number];
  readonly classes: number;
  readonly runs: number;
  readonly modelUrl: string;
  readonly distUrl: string;
}

export interface RivalResult extends Comparison {
  readonly adapter: string;
  readonly prepareMs: number;
}

/** Both engines get the same synthetic weights (the ONNX file was exported with them) and the same input. */
export async function rival(args: RivalArgs, { progress }: CallContext): Promise<RivalResult> {
  using gpu = await openGpu();
  const [frames, , height, width] = args.shape;
  const input = args.model === "mobilenetv2" ? "image" : "video";
  const start = performance.now();
  const graph = buildModel({
    model: args.model,
    frames,
    height,
    width,
    classes: args.classes,
    shifted: new Set(standardShift(args.model)),
    shiftDivisor: 8,
    padding: "symmetric",
    folded: false,
  });
  using session = await createSession(
    gpu,
    graph,
    new Map([...wantedTensors(graph)].map(([name, shape]) => [name, syntheticTensor(name, shape)])),
  );
  const prepareMs = performance.now() - start;
  const data = syntheticTensor(input, args.shape);
  const ours = toChannelsLast(data, args.shape);
  let runs = 0;
  const contender = {
    name: "Kinema",
    run: async () => {
      progress(++runs);
      return (await session.run({ [input]: ours })).logits!;
    },
  };
  const comparison = await compareWithOrt(
    contender,
    { data, shape: args.shape },
    { modelUrl: args.modelUrl, distUrl: args.distUrl },
    args.runs,
  );
  return { ...comparison, adapter: gpu.adapter, prepareMs };
}
