import type { Span } from "../../labels/index.ts";

/** How far a call in the page is: a phase, 0 to 1 within it, and a span that has just ended. */
export type Report = (phase: "prepare" | "decode" | "run", fraction: number, span?: Span) => void;
