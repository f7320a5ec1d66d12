import type { Span } from "../../labels/index.ts";
import type { SessionOptions } from "../../session.ts";

/** How far a call in the page is: a phase, 0 to 1 within it, and a span that has just ended. */
export type Report = (phase: "prepare" | "decode" | "run", fraction: number, span?: Span) => void;

/** A session's progress as one phase: uploads are its first half, pipelines the other. */
export const preparing =
  (report: (phase: "prepare", fraction: number) => void): NonNullable<SessionOptions["onProgress"]> =>
  ({ phase, fraction }) =>
    report("prepare", (phase === "upload" ? 0 : 0.5) + fraction / 2);
