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
const NUMBERS = 220;
const BAR = 16;
const GAP = 10;

function element(name: string, attributes: Readonly<Record<string, string | number>>, text?: string): SVGElement {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  if (text !== undefined) made.textContent = text;
  return made;
}

/** @param full the value of a bar that fills its track; without it the longest one does, and there is no track */
export function drawBars(label: string, rows: readonly Row[], full?: number): SVGElement {
  const values = rows.flatMap(({ bars }) => bars.map(({ value }) => value));
  const scale = full ?? Math.max(...values.filter(Number.isFinite), Number.MIN_VALUE);
  const room = WIDTH - NAMES - NUMBERS;
  const svg = element("svg", { role: "img", "aria-label": label });
  let y = 0;
  for (const { name, about, bars, refused } of rows) {
    const lines = Math.max(1, bars.length);
    const middle = y + (lines * BAR) / 2;
    const title = element("text", { x: 0, y: middle, "dominant-baseline": "central" }, name);
    title.append(element("tspan", { class: "faint" }, `  ${about}`));
    svg.append(title);
    if (refused)
      svg.append(element("text", { x: NAMES, y: middle, class: "refused", "dominant-baseline": "central" }, refused));
    for (const [i, { value, text, other }] of bars.entries()) {
      const [top, height] = [y + i * BAR, BAR - 3];
      const width = Math.max(1, room * Math.min(1, Math.max(0, value / scale) || 0));
      if (full) svg.append(element("rect", { x: NAMES, y: top, width: room, height, class: "track" }));
      svg.append(element("rect", { x: NAMES, y: top, width, height, rx: 2, class: other ? "bar other" : "bar" }));
      const at = { x: NAMES + (full ? room : width) + 6, y: top + height / 2, "dominant-baseline": "central" };
      svg.append(element("text", at, text));
    }
    y += lines * BAR + GAP;
  }
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${Math.max(y, 1)}`);
  return svg;
}
