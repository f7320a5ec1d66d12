// Models and sessions in the page.
import { Classifier } from "../../../src/classifier.ts";
import { GraphBuilder } from "../../../src/core/graph.ts";
import { tensor } from "../../../src/core/tensor.ts";
import { openGpu } from "../../../src/gpu/device.ts";
import type { ModelName } from "../../../src/models/index.ts";
import { unit } from "../../../src/models/layers.ts";
import { LINEAR, matmul } from "../../../src/ops/index.ts";
import { runModel } from "../../../src/run.ts";
import { keepTuning, keptTuning, tune, withTuning } from "../../../src/tune.ts";
import { fromBytes } from "../../../src/weights/byte_source.ts";
import { openCheckpoint } from "../../../src/weights/checkpoint.ts";
import { recordCreations } from "../../creations.ts";
import { syntheticTensor } from "../../synthetic.ts";
import { syntheticFile } from "../../synthetic_model.ts";
import { smoothFrame } from "../../video/frames.ts";

const open = (...given: Parameters<typeof syntheticFile>) =>
  openCheckpoint(fromBytes(syntheticFile(...given), given[0]));

export interface SyntheticRun {
  readonly model: ModelName;
  readonly classes: number;
  readonly inputName: string;
  readonly inputShape: readonly number[];
  readonly taps: readonly string[];
}

/** Runs a model with synthetic weights on its synthetic input; every tap and the outputs as PyTorch orders them. */
export async function runSynthetic({ model, classes, inputName, inputShape, taps }: SyntheticRun) {
  using gpu = await openGpu();
  const checkpoint = await open(model, classes);
  const input = { shape: inputShape, data: Float32Array.from(syntheticTensor(inputName, inputShape)) };
  const { tensors } = await runModel(gpu, checkpoint, new Map([[inputName, input]]), { taps });
  return [...tensors].map(([name, { shape, data }]) => ({ name, shape, data }));
}

/** What an online classifier makes a frame of VideoFrames, once it is warm; and the labels it gives. */
export async function pushedCreations({ frames }: { frames: number }) {
  using gpu = await openGpu();
  const preprocess = JSON.stringify({ resize: 72, crop: 64 });
  const classes = JSON.stringify(["still", "left", "right"]);
  const checkpoint = await open("tsm-mobilenetv2-online", 3, { preprocess, classes });
  using classifier = await Classifier.create(gpu, checkpoint);
  const push = async (k: number) => {
    const data = smoothFrame(160, 120, k).map((value, i) => (i % 4 === 3 ? 255 : value));
    const frame = new VideoFrame(data, { format: "RGBA", codedWidth: 160, codedHeight: 120, timestamp: k });
    const logits = await classifier.push(frame);
    frame.close();
    return classifier.rank(logits, 1)[0]!.label;
  };
  for (let k = 0; k < 3; k++) await push(k);
  const recorded = recordCreations(gpu.device);
  const labels: string[] = [];
  for (let k = 0; k < frames; k++) labels.push(await push(k));
  recorded.stop();
  return { counts: recorded.counts, labels };
}

/** Tunes for one layer, and finds in the browser's store what it kept there. */
export async function keptBodies() {
  using gpu = await openGpu();
  const g = new GraphBuilder("layer");
  const weights = unit(g, "u", { out: 8, input: 8, kernel: 1, linear: true, batchNorm: false, bias: true });
  g.apply(matmul, "product", { x: g.input("x", tensor(6, 8)), ...weights }, { out: 8, activation: LINEAR });
  const { tuning } = await tune(gpu, g.build());
  const before = await keptTuning(gpu);
  await keepTuning(tuning);
  return { before, found: tuning.bodies, kept: withTuning(gpu, await keptTuning(gpu)).caps.tuned };
}

/** What kind of kernels this adapter gets. */
export async function adapterKind(): Promise<string> {
  using gpu = await openGpu();
  return gpu.caps.kind;
}

/** How openGpu() fails once navigator.gpu is gone, as in a browser without WebGPU. */
export async function openGpuFails(): Promise<{ code: string; message: string; secure: boolean }> {
  const own = Object.getOwnPropertyDescriptor(Navigator.prototype, "gpu");
  if (own) Reflect.deleteProperty(Navigator.prototype, "gpu");
  try {
    (await openGpu()).dispose();
    return { code: "none", message: "", secure: isSecureContext };
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return { code, message, secure: isSecureContext };
  } finally {
    if (own) Object.defineProperty(Navigator.prototype, "gpu", own);
  }
}
