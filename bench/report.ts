// What a bench finds, as data: written with --json, exported and read by the page, compared with another.
import type { Ceilings } from "../src/ceilings.ts";
import { fail } from "../src/core/fail.ts";
import { typeOf, type WeightForm } from "../src/core/kept.ts";
import type { Bound } from "../src/profile.ts";
import type { RivalTiming } from "./rival/compare.ts";

export interface KernelTiming {
  /** Median of the rounds, of one run; runs of a round are submitted together. */
  readonly ms: number;
  readonly leastMs: number;
  readonly rounds: number;
  readonly runsARound: number;
  readonly gflops: number;
  /** The nearest ceiling, how much of it was reached, and of the load-aware ceiling, as in src/profile.ts. */
  readonly bound: Bound | null;
  readonly reached: number | null;
  readonly loadAware: number | null;
}

export interface ModelTiming {
  /** ms from the weight file to the first logits. Packing and compiling overlap: `compile` is what is left of it after `pack`. */
  readonly cold: { readonly parse: number; readonly pack: number; readonly compile: number; readonly first: number };
  /** Of a steady run: frames to the GPU, network, logits back. */
  readonly ms: number;
  readonly p95: number;
  readonly runs: number;
  /** Of the network alone, its input and output on the GPU; none on a processor, and in older reports. */
  readonly networkMs?: number;
  readonly framesPerSecond: number;
  readonly dispatches: number;
  readonly bytes: {
    readonly planned: number;
    readonly lowerBound: number;
    readonly naive: number;
    readonly weights: number;
  };
}

/** A case, with its times or with the line that says why it was not timed. */
export interface Result<Timing> {
  readonly name: string;
  readonly about: string;
  readonly refused: string | null;
  readonly timing: Timing | null;
}

/** A case beside another engine, in one page. */
export interface RivalResult extends Result<RivalTiming> {
  readonly rival: string;
  /** "" where the rival did not get so far as to say. */
  readonly version: string;
}

export interface Report {
  readonly format: "kinema-bench-1";
  /** ISO 8601, UTC. */
  readonly date: string;
  /** Of the source, with + where the working tree differs. */
  readonly commit: string;
  readonly adapter: string;
  readonly driver: string;
  /** The browser's user agent, or the runtime and its version. */
  readonly browser: string;
  readonly quick: boolean;
  /** Kernels and models ran with the bodies that were measured to be fastest. */
  readonly tuned: boolean;
  /** How matrix weights were kept and multiplied. */
  readonly weights: WeightForm;
  /** Clips, or images, in a run of a model. */
  readonly batch: number;
  readonly ceilings: Ceilings;
  readonly kernels: readonly Result<KernelTiming>[];
  readonly models: readonly Result<ModelTiming>[];
  readonly rivals: readonly RivalResult[];
}

/** The report with results beside rivals added; each replaces an older one of the same case and rival. */
export function withRivals(report: Report, added: readonly RivalResult[]): Report {
  const same = (a: RivalResult, b: RivalResult) => a.name === b.name && a.rival === b.rival;
  const others = report.rivals.filter((one) => !added.some((other) => same(one, other)));
  return { ...report, rivals: [...others, ...added] };
}

/** Everything in a report that was refused. */
export function refusedOf({ kernels, models, rivals }: Report): Result<unknown>[] {
  return [...kernels, ...models, ...rivals].filter(({ refused }) => refused !== null);
}

const FORMS: readonly WeightForm[] = ["f32", "native", "unpacked", "arithmetic", "int8"];

/** Reads what `--json` wrote. @throws "bad-file" for anything else */
export function readReport(text: string, name: string): Report {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    fail("bad-file", `${name} is not JSON; give what the bench exported`, {}, error);
  }
  const report = value as Partial<Report> | null;
  if (report?.format !== "kinema-bench-1")
    fail("bad-file", `${name} is not of the bench (format kinema-bench-1); give what it exported`);
  const words = ["date", "commit", "adapter", "driver", "browser"] as const;
  // None of these is in what was exported before there were any.
  const { rivals = [], tuned = false, weights = "f32", batch = 1 } = report;
  const whole =
    Array.isArray(rivals) &&
    words.every((key) => typeof report[key] === "string" && report[key] !== "") &&
    !Number.isNaN(Date.parse(report.date!)) &&
    typeof report.ceilings?.flops === "number" &&
    FORMS.includes(weights) &&
    Number.isInteger(batch) &&
    [report.kernels, report.models].every((list) => Array.isArray(list) && list.every((one) => isResult(one, "ms"))) &&
    (rivals as unknown[]).every((one) => isResult(one, "ratio") && typeof (one as RivalResult).rival === "string");
  if (!whole) fail("bad-file", `${name} lacks parts of a bench's report; export it again`);
  return { ...(report as Report), tuned, weights, batch, rivals: rivals as RivalResult[] };
}

/** Timed, which the number `key` shows, or refused with a line. */
function isResult(value: unknown, key: string): boolean {
  const { name, about, refused, timing } = (value ?? {}) as Partial<Result<Record<string, unknown>>>;
  const timed = timing === null ? typeof refused === "string" : refused === null && typeof timing?.[key] === "number";
  return typeof name === "string" && typeof about === "string" && timed;
}

export interface Change {
  readonly name: string;
  readonly about: string;
  readonly before: number;
  readonly after: number;
  /** before / after: 2 is twice as fast, below 1 slower. */
  readonly ratio: number;
}

export interface ReportComparison {
  readonly changes: readonly Change[];
  /** Lines about what makes the times hard to compare, or cannot be compared. */
  readonly notes: readonly string[];
}

/** Cases of the same name and sizes that both have timed. */
export function compareReports(before: Report, after: Report): ReportComparison {
  const notes = (["adapter", "driver", "browser", "quick", "tuned", "weights", "batch"] as const).flatMap((key) =>
    before[key] === after[key] ? [] : [`${key}: ${before[key]} before, ${after[key]} after`],
  );
  const all = ({ kernels, models }: Report): Result<KernelTiming | ModelTiming>[] => [...kernels, ...models];
  const changes = all(after).flatMap(({ name, about, timing, refused }) => {
    const earlier = all(before).find((r) => r.name === name && r.about === about);
    if (timing && earlier?.timing) {
      const ratio = timing.ms > 0 ? earlier.timing.ms / timing.ms : Number.NaN;
      return [{ name, about, before: earlier.timing.ms, after: timing.ms, ratio }];
    }
    notes.push(`${name} ${about}: ${refused ?? earlier?.refused ?? "not in both"}`);
    return [];
  });
  const missing = all(before).filter(
    (r) => !all(after).some(({ name, about }) => name === r.name && about === r.about),
  );
  for (const { name, about } of missing) notes.push(`${name} ${about}: not in both`);
  return { changes, notes };
}

const fixed = (value: number, digits = 2): string => (Number.isFinite(value) ? value.toFixed(digits) : "-");
const percent = (share: number | null): string => (share === null ? "-" : `${fixed(100 * share, 0)} %`);
const mb = (bytes: number): string => fixed(bytes / 1e6);

/** What a report was made with that is not usual, each with a comma before it. */
export function conditionsOf({ tuned, weights, batch }: Report): string {
  const type = typeOf(weights);
  const kept = weights === "f32" ? [] : [`${type === weights ? type : `${type} (${weights})`} weights`];
  return [...(tuned ? ["tuned"] : []), ...kept, ...(batch > 1 ? [`batch ${batch}`] : [])]
    .map((word) => `, ${word}`)
    .join("");
}

/** The report as a terminal shows it. */
export function printReport(r: Report): string {
  const { flops, loads, bytes } = r.ceilings;
  const lines = [
    `${r.adapter}, driver ${r.driver}, ${r.browser}, commit ${r.commit}${r.quick ? ", quick" : ""}${conditionsOf(r)}`,
    `ceilings: ${fixed(flops / 1e9)} GFLOP/s, ${fixed(loads / 1e9)} G loads of 16 bytes/s, ${fixed(bytes / 1e9)} GB/s copied`,
  ];
  const kernels = r.kernels.map(({ name, about, refused, timing: t }) =>
    t
      ? [
          name,
          about,
          fixed(t.ms, 3),
          fixed(t.gflops),
          t.bound ? `${percent(t.reached)} of ${t.bound}` : "-",
          percent(t.loadAware),
        ]
      : [name, about, "-", "-", `refused: ${refused}`],
  );
  const models = r.models.map(({ name, about, refused, timing: t }) =>
    t
      ? [
          name,
          about,
          [t.cold.parse, t.cold.pack, t.cold.compile, t.cold.first].map((ms) => fixed(ms, 0)).join(" + "),
          fixed(t.ms, 1),
          fixed(t.p95, 1),
          fixed(t.ms / r.batch, 1),
          fixed(t.networkMs ?? Number.NaN, 2),
          fixed(t.framesPerSecond, 1),
          String(t.dispatches),
          `${mb(t.bytes.planned)} / ${mb(t.bytes.lowerBound)} / ${mb(t.bytes.naive)}`,
          mb(t.bytes.weights),
        ]
      : [name, about, `refused: ${refused}`],
  );
  if (kernels.length > 0)
    lines.push("", ...table([["kernel", "sizes", "ms", "GFLOP/s", "of ceiling", "load-aware"], ...kernels]));
  const head = [
    "model",
    "input",
    "parse + pack + compile + first ms",
    "ms",
    "p95",
    "a clip",
    "network",
    "frames/s",
    "dispatches",
  ];
  const memory = ["MB planned / bound / naive", "weights MB"];
  if (models.length > 0) lines.push("", ...table([[...head, ...memory], ...models]));
  if (r.rivals.length > 0) lines.push("", ...table([RIVAL_HEAD, ...r.rivals.map(rivalRow)]));
  if (r.rivals.length > 0 && isSoftware(r)) lines.push("", SOFTWARE);
  return lines.join("\n");
}

/** What the page and the terminal say under times of rivals. */
export const SOFTWARE =
  "A software adapter: one thread of WebAssembly is faster here than the WebGPU of any engine. Read the ratios between WebGPU engines; they are no advice to run there.";

export const isSoftware = ({ adapter }: Report): boolean => adapter.includes("(software)");

export const RIVAL_HEAD = [
  "case",
  "beside",
  "rival ms",
  "Kinema ms",
  "times as long",
  "first run",
  "largest difference",
  "rounds",
];

export function rivalRow({ name, about, rival, version, refused, timing: t }: RivalResult): string[] {
  const [left, right] = [`${name} ${about}`, `${rival} ${version}`.trim()];
  if (!t) return [left, right, `refused: ${refused}`];
  const difference = `${t.maxDifference.toExponential(1)} of ${fixed(t.maxOutput)}`;
  const cold = `${fixed(t.rival.prepareMs + t.rival.coldMs, 0)} / ${fixed(t.ours.prepareMs + t.ours.coldMs, 0)}`;
  const rounds = t.ours.all.length < t.rounds ? `${t.ours.all.length} of ${t.rounds}` : `${t.rounds}`;
  return [left, right, fixed(t.rival.ms, 1), fixed(t.ours.ms, 1), fixed(t.ratio), cold, difference, rounds];
}

/** Columns as wide as their longest cell; the last one is as it is. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, c) => Math.max(...rows.map((row) => (c < row.length - 1 ? row[c]!.length : 0))));
  return rows.map((row) =>
    row
      .map((cell, c) => cell.padEnd(widths[c]!))
      .join("  ")
      .trimEnd(),
  );
}
