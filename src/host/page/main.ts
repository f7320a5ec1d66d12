/** The bundle that runs in the page: every function exported here is callable from Node by its name. */
import type { ProfileReport } from "../../profile.ts";
import type { Codes } from "../../store/index.ts";
import { type ClassifyArgs, type ClassifyResult, classify as classifyVideo } from "./classify.ts";
import {
  type CompressionInfo,
  nextCodes as nextRunCodes,
  type OpenCompressionArgs,
  openCompression as openVideoCompression,
} from "./compress.ts";
import {
  type DecodedPieces,
  type DecodingInfo,
  nextPieces as nextFilePieces,
  type OpenDecodingArgs,
  openDecoding as openStoreDecoding,
} from "./decode_store.ts";
import { type ProfileArgs, profile as runProfile } from "./profile.ts";
import type { Report } from "./report.ts";
import type { CallContext } from "./rpc.ts";
import { tensors as runTensors, type TensorArgs, type TensorResult } from "./tensors.ts";

export { serve } from "./rpc.ts";

/** `progress` receives `{ phase, fraction, span }`, the arguments of {@link Report}. */
export function classify(args: ClassifyArgs, { signal, progress }: CallContext): Promise<ClassifyResult> {
  const report: Report = (phase, fraction, span) => progress({ phase, fraction, span });
  return classifyVideo(args, report, signal);
}

/** `progress` as in {@link classify}. */
export function profile(args: ProfileArgs, { signal, progress }: CallContext): Promise<ProfileReport> {
  return runProfile(args, (phase, fraction) => progress({ phase, fraction }), signal);
}

/** `progress` as in {@link classify}. */
export function tensors(args: TensorArgs, { signal, progress }: CallContext): Promise<TensorResult> {
  return runTensors(args, (phase, fraction) => progress({ phase, fraction }), signal);
}

/** `progress` as in {@link classify}; then {@link nextCodes} until it is null. */
export function openCompression(
  args: OpenCompressionArgs,
  { signal, progress }: CallContext,
): Promise<CompressionInfo> {
  return openVideoCompression(args, (phase, fraction) => progress({ phase, fraction }), signal);
}

/** Codes of the next run; null at the end of the video. */
export function nextCodes(args: { readonly from: number }): Promise<Codes | null> {
  return nextRunCodes(args);
}

/** `progress` as in {@link classify}; then {@link nextPieces} until it is done. */
export function openDecoding(args: OpenDecodingArgs, { signal, progress }: CallContext): Promise<DecodingInfo> {
  return openStoreDecoding(args, (phase, fraction) => progress({ phase, fraction }), signal);
}

/** The next pieces of the WebM file. */
export function nextPieces(): Promise<DecodedPieces> {
  return nextFilePieces();
}
