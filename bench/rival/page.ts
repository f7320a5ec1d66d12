// One case beside one rival, in a page: both engines on one adapter, in turns.
import { measureCeilings } from "../../src/ceilings.ts";
import { openGpu } from "../../src/gpu/device.ts";
import type { CallContext } from "../../src/host/page/rpc.ts";
import type { Report, RivalResult } from "../report.ts";
import { type BenchOptions, startReport } from "../run.ts";
import { openKinema, RIVAL_CASES } from "./cases.ts";
import { type Engine, type Limits, sideBySide } from "./compare.ts";
import { type Pair, type Places, RIVALS, type Rival } from "./engines.ts";

export { serve } from "../../src/host/page/rpc.ts";

export interface PairArgs extends Pair, Limits {
  readonly places: Places;
}

/** What went wrong with the rival is its line in the result; nothing is thrown for it. */
export async function pair(args: PairArgs, { progress }: Pick<CallContext, "progress">): Promise<RivalResult> {
  const { name, rival, places } = args;
  using gpu = await openGpu();
  let version = "";
  const open = {
    ours: () => openKinema(gpu, name),
    async rival(): Promise<Engine> {
      const engine = await (RIVALS[rival] as Rival).open(name, places);
      version = engine.version;
      return engine;
    },
  };
  const made = await sideBySide(open, args, (line) => progress(`${name} beside ${rival}: ${line}`));
  const refused = typeof made === "string" ? made : null;
  const timing = typeof made === "string" ? null : made;
  return { name, about: RIVAL_CASES[name].about, rival, version, refused, timing };
}

/** A report of this adapter without cases. */
export async function about(options: Omit<BenchOptions, "browser">): Promise<Report> {
  using gpu = await openGpu();
  return startReport(gpu, { ...options, browser: navigator.userAgent }, await measureCeilings(gpu));
}
