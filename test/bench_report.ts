// Reports of the bench, made up.
import type { KernelTiming, Report, Result, RivalResult } from "../bench/report.ts";

export const CEILINGS = { flops: 1e10, bytes: 1e9, loads: 1e8 };

export const timing = (ms: number): KernelTiming => ({
  ...{ ms, leastMs: ms, rounds: 3, runsARound: 1, gflops: 1, bound: "fma", reached: 0.5, loadAware: 0.6 },
});

/** A kernel that took so long; null: refused. */
export const result = (name: string, ms: number | null): Result<KernelTiming> => ({
  ...{ name, about: "[4, 4]", refused: ms === null ? "element 0 is 1" : null, timing: ms === null ? null : timing(ms) },
});

/** A case in which a rival takes so many times as long. */
export function rivalResult(name: string, rival: string, ratio: number): RivalResult {
  const side = (ms: number) => ({ prepareMs: 1, coldMs: 2, ms, all: [ms, ms] });
  const sides = { ours: side(10), rival: side(10 * ratio) };
  const times = { ...sides, ratio, rounds: 5, maxDifference: 1e-5, maxOutput: 8 };
  return { name, about: "[9]", rival, version: "1.2.3", refused: null, timing: times };
}

export const report = (kernels: readonly Result<KernelTiming>[], changes: Partial<Report> = {}): Report => ({
  ...{ format: "kinema-bench-1", date: "2026-01-02T03:04:05Z", commit: "abc", adapter: "a", driver: "d" },
  ...{
    browser: "b",
    quick: true,
    tuned: false,
    weights: "f32",
    batch: 1,
    ceilings: CEILINGS,
    kernels,
    models: [],
    rivals: [],
    ...changes,
  },
});
