// `kinema run` and `kinema verify` in the page. Called over RPC.
import { openGpu } from "../../gpu/device.ts";
import type { ModelName } from "../../models/index.ts";
import type { DType } from "../../precision.ts";
import { INPUT_NAMES, type NamedTensor, readTensors, runModel } from "../../run.ts";
import { openCheckpoint } from "../../weights/checkpoint.ts";
import { fromUrl } from "../../weights/url_source.ts";
import { preparing, type Report } from "./report.ts";

export interface TensorArgs {
  readonly weightsUrl: string;
  /** What messages call the weights, and the input. */
  readonly weightsName: string;
  readonly inputName: string;
  /** A safetensors file that holds the model's input. */
  readonly inputUrl: string;
  readonly model: ModelName;
  readonly padding?: "symmetric" | "same";
  readonly dtype?: DType;
  readonly activationBytes?: number;
  /** Intermediate tensors to return as well; `all`: those that the input file names too. */
  readonly taps?: readonly string[] | "all";
}

export interface TensorResult {
  readonly model: string;
  readonly adapter: string;
  readonly ms: { readonly prepare: number; readonly run: number };
  readonly tensors: readonly (NamedTensor & { readonly name: string })[];
}

/** Runs a model on named tensors; the same call in the page as in Node. */
export async function tensors(args: TensorArgs, report: Report, signal: AbortSignal): Promise<TensorResult> {
  using gpu = await openGpu();
  const checkpoint = await openCheckpoint(await fromUrl(args.weightsUrl, { signal, name: args.weightsName }));
  const file = await openCheckpoint(await fromUrl(args.inputUrl, { signal, name: args.inputName }));
  const result = await runModel(gpu, checkpoint, await readTensors(file, INPUT_NAMES), {
    model: args.model,
    ...(args.padding ? { padding: args.padding } : {}),
    ...(args.dtype ? { dtype: args.dtype } : {}),
    ...(args.activationBytes ? { activationBytes: args.activationBytes } : {}),
    taps: args.taps === "all" ? [...file.tensors.keys()] : (args.taps ?? []),
    signal,
    onProgress: preparing(report),
  });
  return {
    model: result.model,
    adapter: gpu.adapter,
    ms: result.ms,
    tensors: [...result.tensors].map(([name, tensor]) => ({ name, ...tensor })),
  };
}
