// The bench in a page that Node drives.
import { openGpu } from "../../src/gpu/device.ts";
import type { CallContext } from "../../src/host/page/rpc.ts";
import type { Report } from "../report.ts";
import { type BenchOptions, runBench } from "../run.ts";

export { serve } from "../../src/host/page/rpc.ts";

export async function bench(options: Omit<BenchOptions, "browser">, { progress }: CallContext): Promise<Report> {
  using gpu = await openGpu();
  return await runBench(gpu, { ...options, browser: navigator.userAgent }, progress);
}
