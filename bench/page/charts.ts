// Bars by Chart.js: a row a case, a bar a series, its number at its end. Whoever shows one puts the numbers into a table beside it.
import {
  BarController,
  BarElement,
  CategoryScale,
  Chart,
  type ChartConfiguration,
  LinearScale,
  LogarithmicScale,
  type Plugin,
  Tooltip,
} from "chart.js";
import { AXES, type BarChart, ends, lanesOf, logTicks } from "./bar_chart.ts";
import { element } from "./elements.ts";

/** Names of a row in two lines. */
type Names = string[];
type Drawn = Chart<"bar", (number | null)[], Names>;
type Configuration = ChartConfiguration<"bar", (number | null)[], Names>;

const FONT = 12;
/** Of a bar with the gap around it, so that numbers at the ends of two do not touch. */
const BAR = 17;
const GAP = 2;
/** Names stand above the bars where the page is as narrow as a phone. */
const NARROW = "(max-width: 40rem)";
const DARK = "(prefers-color-scheme: dark)";

const drawn = new Map<HTMLCanvasElement, { chart: Drawn | null; draw(): Drawn }>();

/** Lets charts go that were on the page and no longer are. */
function prune(): void {
  for (const [canvas, { chart }] of drawn) {
    if (!chart || canvas.isConnected) continue;
    chart.destroy();
    drawn.delete(canvas);
  }
}

/** Draws all anew: colours and places of names depend on what the person set. */
function redraw(): void {
  prune();
  for (const one of drawn.values()) {
    one.chart?.destroy();
    one.chart = one.draw();
  }
}

let watching = false;

function watch(): void {
  if (watching) return;
  watching = true;
  Chart.register(BarController, BarElement, CategoryScale, LinearScale, LogarithmicScale, Tooltip);
  for (const query of [NARROW, DARK]) matchMedia(query).addEventListener("change", redraw);
}

/** A chart as wide as the page, with what its colours mean. */
export function showBars(spec: BarChart): HTMLElement {
  watch();
  prune();
  const figure = element("figure");
  if (spec.series.length > 1) figure.append(legendOf(spec));
  const box = element("div", "", "chart");
  const canvas = element("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", spec.label);
  box.append(canvas);
  figure.append(box);
  const draw = (): Drawn => {
    const narrow = matchMedia(NARROW).matches;
    const lanes = Math.max(1, ...spec.rows.map((_, r) => lanesOf(spec, r)));
    const row = lanes * BAR + (narrow ? 26 : Math.max(10, 34 - lanes * BAR));
    box.style.height = `${spec.rows.length * row + 44}px`;
    return new Chart(canvas, configuration(spec, canvas, narrow));
  };
  const one = { chart: null as Drawn | null, draw };
  drawn.set(canvas, one);
  // Its size is that of the box, which is on the page in the next frame.
  requestAnimationFrame(() => {
    if (canvas.isConnected && !one.chart) one.chart = draw();
  });
  return figure;
}

function legendOf({ series }: BarChart): HTMLElement {
  const list = element("ul", "", "legend");
  for (const { name, colour } of series) {
    const item = element("li", name);
    item.style.setProperty("--swatch", `var(${colour})`);
    list.append(item);
  }
  return list;
}

function configuration(spec: BarChart, canvas: HTMLCanvasElement, narrow: boolean): Configuration {
  const css = getComputedStyle(document.documentElement);
  const colour = (name: string) => css.getPropertyValue(name).trim();
  const { rows, series, axis, stacked = false } = spec;
  const font = { size: FONT, family: css.fontFamily };
  const context = canvas.getContext("2d")!;
  context.font = `${FONT}px ${css.fontFamily}`;
  const bars = series.flatMap((one) => one.bars.flatMap((bar) => bar ?? []));
  const room = Math.max(0, ...bars.map(({ text }) => context.measureText(text).width));
  const names = rows.map(({ name, about }) => [name, shorten(context, about, 260)]);
  const logarithmic = axis === "times" || axis === "ratio";
  const { min, max } = logarithmic
    ? ends(
        bars.flatMap(({ value, upTo = value }) => [value, upTo]),
        axis,
      )
    : { min: 0, max: stacked ? 1 : Math.max(1, ...bars.map(({ value }) => Math.ceil(10 * value) / 10)) };
  return {
    type: "bar",
    data: {
      labels: names,
      datasets: series.map((one) => ({
        label: one.name,
        data: one.bars.map((bar) => bar?.value ?? null),
        backgroundColor: colour(one.colour),
        barThickness: BAR,
        ...{ borderColor: colour("--paper"), borderWidth: { top: GAP, bottom: GAP }, borderSkipped: false },
        skipNull: true,
        ...(axis === "ratio" ? { base: 1 } : {}),
      })),
    },
    options: {
      indexAxis: "y",
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      layout: { padding: { right: room + 10, top: 8 } },
      color: colour("--ink"),
      font,
      scales: {
        x: {
          type: logarithmic ? "logarithmic" : "linear",
          ...{ min, max, stacked, display: axis !== "own" },
          grid: { color: colour("--line") },
          border: { display: false },
          ticks: {
            color: colour("--faint"),
            font,
            maxRotation: 0,
            ...(axis === "share" ? { stepSize: narrow ? 0.5 : 0.25, includeBounds: false } : {}),
            callback: (v) => AXES[axis](Number(v)),
          },
          ...(logarithmic
            ? {
                afterBuildTicks: (scale) => {
                  scale.ticks = logTicks(min, max).map((value) => ({ value }));
                },
              }
            : {}),
        },
        y: {
          stacked,
          grid: { display: false },
          border: { display: false },
          ticks: { display: !narrow, color: colour("--ink"), font, autoSkip: false, crossAlign: "far" },
        },
      },
      plugins: {
        tooltip: {
          callbacks: {
            title: ([item]) => `${rows[item!.dataIndex]!.name} ${rows[item!.dataIndex]!.about}`,
            label: ({ datasetIndex, dataIndex }) => {
              const { name, bars: its } = series[datasetIndex]!;
              return series.length > 1 ? `${name}: ${its[dataIndex]?.text}` : (its[dataIndex]?.text ?? "");
            },
          },
        },
      },
    },
    plugins: [marks(spec, font, colour, narrow)],
  };
}

/** Where a bar that is drawn ends, stands and begins. */
interface Place {
  readonly x: number;
  readonly y: number;
  readonly base: number;
}

/** The text, or as much of its beginning as is so wide. */
function shorten(context: CanvasRenderingContext2D, text: string, most: number): string {
  const fits = (shown: string) => context.measureText(shown).width <= most;
  if (fits(text)) return text;
  let kept = text.length;
  while (kept > 0 && !fits(`${text.slice(0, kept)}…`)) kept--;
  return `${text.slice(0, kept)}…`;
}

/** What Chart.js has none of: on a narrow page names above the bars; numbers at the ends of bars, whiskers, the line at 1, and lines in place of bars. */
function marks(
  spec: BarChart,
  font: { size: number; family: string },
  colour: (name: string) => string,
  narrow: boolean,
): Plugin<"bar"> {
  const { rows, series, axis, stacked } = spec;
  return {
    id: "marks",
    afterDatasetsDraw(chart) {
      const { ctx, chartArea, scales } = chart;
      ctx.save();
      ctx.font = `${font.size}px ${font.family}`;
      ctx.textBaseline = "middle";
      const x = scales.x!;
      if (axis === "ratio") {
        ctx.strokeStyle = colour("--ink");
        const at = x.getPixelForValue(1);
        ctx.strokeRect(at, chartArea.top, 0, chartArea.bottom - chartArea.top);
      }
      for (const [s, { bars }] of series.entries()) {
        for (const [r, bar] of bars.entries()) {
          if (!bar) continue;
          const { x: end, y, base } = chart.getDatasetMeta(s).data[r] as unknown as Place;
          let right = Math.max(end, base);
          if (bar.upTo !== undefined) {
            const far = x.getPixelForValue(bar.upTo);
            ctx.strokeStyle = colour("--ink");
            ctx.beginPath();
            ctx.moveTo(end, y);
            ctx.lineTo(far, y);
            ctx.moveTo(far, y - 4);
            ctx.lineTo(far, y + 4);
            ctx.stroke();
            right = Math.max(right, far);
          }
          if (stacked && series.slice(s + 1).some((later) => later.bars[r])) continue;
          ctx.fillStyle = colour("--ink");
          ctx.fillText(bar.text, right + 6, y);
        }
      }
      const line = (text: string, left: number, y: number) =>
        ctx.fillText(shorten(ctx, text, chart.width - left), left, y);
      for (const [r, { name, about, refused }] of rows.entries()) {
        const y = scales.y!.getPixelForValue(r);
        ctx.fillStyle = colour("--ink");
        if (narrow) line(`${name}  ${about}`, chartArea.left, y - (lanesOf(spec, r) * BAR) / 2 - 7);
        ctx.fillStyle = colour("--alert");
        if (refused) line(refused, chartArea.left + 6, y);
      }
      ctx.restore();
    },
  };
}
