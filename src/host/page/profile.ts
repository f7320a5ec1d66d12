// `kinema profile` in the page. Called over RPC.
import { openGpu } from "../../gpu/device.ts";
import { type ProfileModelOptions, type ProfileReport, profileModel } from "../../profile.ts";
import { openCheckpoint } from "../../weights/checkpoint.ts";
import { fromUrl } from "../../weights/url_source.ts";
import type { Report } from "./report.ts";

/** What crosses from Node to the page. */
export interface ProfileArgs extends Omit<ProfileModelOptions, "signal" | "onProgress"> {
  /** Where the weights are and what messages call them; random ones when absent. */
  readonly weights?: { readonly url: string; readonly name: string };
}

/** Profiles a model; the same call in the page as in Node. */
export async function profile(
  { weights, ...options }: ProfileArgs,
  report: Report,
  signal: AbortSignal,
): Promise<ProfileReport> {
  using gpu = await openGpu();
  const checkpoint = weights ? await openCheckpoint(await fromUrl(weights.url, { signal, name: weights.name })) : null;
  return await profileModel(gpu, checkpoint, { ...options, signal, onProgress: (fraction) => report("run", fraction) });
}
