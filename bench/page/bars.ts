// Bars, drawn as SVG: a row a case, one bar or two in it, its number at the end.

export interface Bar {
  readonly value: number;
  readonly text: string;
  /** Drawn fainter: what the other one is compared with. */
  readonly other?: boolean;
}

export interface Row {
  readonly name: string;
  readonly about: string;
  readonly bars: readonly Bar[];
  /** Shown in place of bars: why there are none. */
  readonly refused?: string;
}

const WIDTH = 960;
const NAMES = 290;
const NUMBERS = { standard: 220, long: 310 };
const BAR = 16;
const GAP = 10;

function element(name: string, attributes: Readonly<Record<string, string | number>>, text?: string): SVGElement {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  if (text !== undefined) made.textContent = text;
  return made;
}

/** How long a bar is, as a share of the room, and the marks below. */
interface Scale {
  share(value: number): number;
  readonly track: boolean;
  readonly ticks: readonly { readonly at: number; readonly text: string }[];
}

const within = (share: number): number => Math.min(1, Math.max(0, share || 0));

/** @param full the value of a bar that fills its track; without it the longest one does, and there is no track */
function linear(values: readonly number[], full?: number): Scale {
  const most = full ?? Math.max(...values, Number.MIN_VALUE);
  return { share: (value) => within(value / most), track: full !== undefined, ticks: [] };
}

/** Decades, from the one below the shortest bar to the one above the longest: what is ten times as much is one step longer. */
export function decades(values: readonly number[]): { low: number; high: number } {
  const positive = values.filter((value) => value > 0);
  const low = Math.floor(Math.log10(Math.min(...positive, 1e9)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...positive, 1e-9))));
  return { low, high };
}

function logarithmic(values: readonly number[], tick: (value: number) => string): Scale {
  // Half a step before the first decade, so that the shortest bar is one.
  const { low, high } = decades(values);
  const [from, steps] = [low - 0.5, high - low + 0.5];
  const share = (value: number) => within((Math.log10(value) - from) / steps);
  const marks = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i));
  return { share, track: false, ticks: marks.map((value) => ({ at: share(value), text: tick(value) })) };
}

export interface BarOptions {
  /** The value of a bar that fills its track; without it the longest one does, and there is no track. */
  readonly full?: number;
  /** Makes the scale logarithmic, with a line at every power of ten; says how such a value is written. */
  readonly tick?: (value: number) => string;
  /** What stands at the ends of the bars is long. */
  readonly long?: boolean;
}

export function drawBars(label: string, rows: readonly Row[], { full, tick, long }: BarOptions = {}): SVGElement {
  const values = rows.flatMap(({ bars }) => bars.map(({ value }) => value)).filter(Number.isFinite);
  const { share, track, ticks } = tick ? logarithmic(values, tick) : linear(values, full);
  const room = WIDTH - NAMES - NUMBERS[long ? "long" : "standard"];
  const svg = element("svg", { role: "img", "aria-label": label });
  const lines = element("g", {});
  svg.append(lines);
  let y = 0;
  for (const { name, about, bars, refused } of rows) {
    const count = Math.max(1, bars.length);
    const middle = y + (count * BAR) / 2;
    const title = element("text", { x: 0, y: middle, "dominant-baseline": "central" }, name);
    title.append(element("tspan", { class: "faint" }, `  ${about}`));
    svg.append(title);
    if (refused)
      svg.append(element("text", { x: NAMES, y: middle, class: "refused", "dominant-baseline": "central" }, refused));
    for (const [i, { value, text, other }] of bars.entries()) {
      const [top, height] = [y + i * BAR, BAR - 3];
      const width = Math.max(1, room * share(value));
      if (track) svg.append(element("rect", { x: NAMES, y: top, width: room, height, class: "track" }));
      svg.append(element("rect", { x: NAMES, y: top, width, height, rx: 2, class: other ? "bar other" : "bar" }));
      const at = { x: NAMES + (track ? room : width) + 6, y: top + height / 2, "dominant-baseline": "central" };
      svg.append(element("text", at, text));
    }
    y += count * BAR + GAP;
  }
  for (const { at, text } of ticks) {
    const x = NAMES + room * at;
    lines.append(element("line", { x1: x, x2: x, y1: 0, y2: y, class: "tick" }));
    lines.append(element("text", { x, y: y + 8, class: "faint", "text-anchor": "middle" }, text));
  }
  if (ticks.length > 0) y += 14;
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${Math.max(y, 1)}`);
  return svg;
}
