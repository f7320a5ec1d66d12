import type { Span } from "../labels/index.ts";

export const percent = (score: number): string => `${(100 * score).toFixed(1).padStart(5)} %`;

const seconds = (time: number): string => time.toFixed(2).padStart(7);

/** A stretch of time with one label, as a line. */
export const spanLine = ({ from, to, label, score }: Span): string =>
  `${seconds(from)} - ${seconds(to)} s  ${percent(score)}  ${label}`;
