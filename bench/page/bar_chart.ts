// What a chart of bars is, before it is drawn: rows, series, the axis and its numbers.
export interface Bar {
  readonly value: number;
  /** Stands at the end of the bar, of stacked ones at the end of the last. */
  readonly text: string;
  /** A whisker up to there. */
  readonly upTo?: number;
}

export interface Series {
  readonly name: string;
  /** A variable of look.css or style.css. */
  readonly colour: string;
  /** One a row; null where the series has none there, which takes no room. */
  readonly bars: readonly (Bar | null)[];
}

export interface Row {
  readonly name: string;
  readonly about: string;
  /** Shown in place of bars: why there are none. */
  readonly refused?: string | null;
}

export interface BarChart {
  /** What the picture shows, for who does not see it. */
  readonly label: string;
  readonly rows: readonly Row[];
  readonly series: readonly Series[];
  /**
   * `share`: from 0 to 1, in per cent. `own`: each row has a scale of its own, from 0 to 1, which is not written. `times`:
   * logarithmic, ms. `ratio`: logarithmic, bars begin at a line at 1.
   */
  readonly axis: "share" | "own" | "times" | "ratio";
  readonly stacked?: boolean;
}

/** Colours that are told apart, by number. */
export const colourOf = (index: number): string => `--series-${1 + (index % 6)}`;

export const inMs = (value: number): string => (value < 10 ? value.toFixed(3) : value.toFixed(1));

/** 0.3 ms, 25 ms, 1.4 s. */
export const timeText = (value: number): string =>
  value < 1000 ? `${inMs(value)} ms` : `${(value / 1000).toFixed(1)} s`;

/** How a value is written at an axis. */
export const AXES = {
  share: (value: number) => `${Math.round(100 * value)} %`,
  own: () => "",
  times: (value: number) => (value < 1000 ? `${value} ms` : `${value / 1000} s`),
  ratio: (value: number) => `${value} x`,
};

/** Powers of ten from `low` to `high`, and where there are few of them twice and five times as much. */
export function logTicks(low: number, high: number): number[] {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const factors = last - first > 3 ? [1] : [1, 2, 5];
  const all = Array.from({ length: last - first + 1 }, (_, i) => factors.map((f) => Number(`${f}e${first + i}`)));
  return all.flat().filter((value) => value >= low && value <= high);
}

/** The ends of a logarithmic axis: the shortest bar is one, and the longest ends before the frame does. */
export function ends(values: readonly number[], axis: BarChart["axis"]): { min: number; max: number } {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  if (values.length === 0) return { min: 0.5, max: 2 };
  return axis === "ratio"
    ? { min: Math.min(least / 1.2, 0.5), max: Math.max(most * 1.2, 2) }
    : { min: least / 3, max: most * 1.1 };
}

/** Bars in a row, one below the other. */
export const lanesOf = ({ series, stacked }: BarChart, row: number): number =>
  stacked ? 1 : Math.max(1, series.filter(({ bars }) => bars[row]).length);
