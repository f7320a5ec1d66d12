/** The bundle that runs in the page: every function exported here is callable from Node by its name. */
import type { ProfileReport } from "../../profile.ts";
import { type ClassifyArgs, type ClassifyResult, classify as classifyVideo } from "./classify.ts";
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
