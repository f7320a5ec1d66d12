import { fail } from "../core/fail.ts";
import { fileSource } from "../host/file_source.ts";
import { bitsPerStep, framesPerStep, packedRate, stepRate, type Track } from "../store/description.ts";
import { type LostSteps, openStore, type StoreReader } from "../store/index.ts";
import type { Command, CommandContext } from "./command.ts";
import { lostText, lostTime } from "./lost.ts";
import { printable } from "./printable.ts";
import { formatTime } from "./time.ts";

/** `kinema info FILE.kvc [--json]`. */
export const infoCommand: Command = {
  name: "info",
  summary: "say what a store of codes holds, and which of it is damaged",
  positionals: [{ name: "FILE", text: "a .kvc file" }],
  flags: [{ name: "json", text: "print one JSON object" }],
  async run(context) {
    const source = await fileSource(context.args.positional("FILE"));
    const reader = await openStore(source);
    const tracks: TrackReport[] = [];
    for (const track of reader.description.tracks) tracks.push(await reportTrack(reader, track, context));
    const { width, height, fps, source: origin, sourceHash } = reader.description;
    const { generation, faults, size } = reader;
    const video = { width, height, fps, source: origin, sourceHash };
    const report = { file: source.name, size: source.size, ...video, generation };
    // What a cut file ends with was committed, and is lost.
    const cutOff = tracks.some(({ lost, steps }) => lost.some((range) => range.first + (range.steps ?? 1) > steps));
    const spare = cutOff ? 0 : source.size - size;
    const whole = faults.length === 0 && tracks.every(({ lost }) => lost.length === 0);
    const all: StoreReport = { ...report, whole, faults, uncommittedBytes: Math.max(0, spare), tracks };
    context.print(context.args.has("json") ? `${JSON.stringify(all, null, 2)}\n` : asText(all, reader));
    if (!whole)
      fail(
        "not-converged",
        `${source.name} is not whole; kinema cut copies what can be read, --from one time --to another`,
      );
  },
};

interface TrackReport {
  readonly track: Track;
  readonly steps: number;
  readonly seconds: number;
  readonly chunks: number;
  /** Bytes of payloads, and what they would be with every code packed. */
  readonly bytes: number;
  readonly packedBytes: number | null;
  readonly codecs: Readonly<Record<string, number>>;
  readonly lost: readonly LostSteps[];
}

interface StoreReport {
  readonly file: string;
  readonly size: number;
  readonly width: number;
  readonly height: number;
  readonly fps: readonly [number, number];
  readonly source?: string | undefined;
  readonly sourceHash?: string | null | undefined;
  readonly generation: number;
  readonly whole: boolean;
  readonly faults: readonly string[];
  readonly uncommittedBytes: number;
  readonly tracks: readonly TrackReport[];
}

async function reportTrack(
  reader: StoreReader,
  track: Track,
  { progress, signal }: CommandContext,
): Promise<TrackReport> {
  const steps = reader.steps(track.name);
  const codecs: Record<string, number> = {};
  let [chunks, bytes] = [0, 0];
  const lost = await reader.check(track.name, (entry, chunk) => {
    signal.throwIfAborted();
    chunks++;
    if (chunk) bytes += chunk.payload.byteLength;
    if (chunk) codecs[chunk.codec] = (codecs[chunk.codec] ?? 0) + 1;
    progress.update(`track ${track.name}`, (entry.first + entry.steps) / steps);
  });
  const good = steps - lost.reduce((sum, range) => sum + Math.min(range.steps ?? 0, steps - range.first), 0);
  const packedBytes = track.kind === "codes" ? Math.ceil((good * bitsPerStep(track)) / 8) : null;
  const seconds = steps / stepRate(reader.description, track);
  return { track, steps, seconds, chunks, bytes, packedBytes, codecs, lost };
}

function asText(report: StoreReport, reader: StoreReader): string {
  const { file, size, width, height, fps, source, generation, faults, uncommittedBytes, tracks } = report;
  const rate = fps[1] === 1 ? `${fps[0]}` : (fps[0] / fps[1]).toFixed(3);
  const rows: [string, string][] = [
    ["file", printable(file)],
    ["size", `${size} bytes, ${generation} commits`],
    ["video", `${width} x ${height}, ${rate} frames/s`],
  ];
  if (source !== undefined) rows.push(["source", printable(source)]);
  for (const track of tracks) rows.push(...trackRows(report, track, reader));
  for (const fault of faults) rows.push(["fault", fault]);
  if (uncommittedBytes > 0) rows.push(["torn", `${uncommittedBytes} bytes that were never committed`]);
  const labels = rows.map(([label]) => `${label}:`);
  const longest = Math.max(...labels.map((label) => label.length));
  return `${rows.map(([, value], i) => `${labels[i]!.padEnd(longest)} ${value}`).join("\n")}\n`;
}

function trackRows(
  report: StoreReport,
  { track, steps, seconds, chunks, bytes, packedBytes, codecs, lost }: TrackReport,
  reader: StoreReader,
): [string, string][] {
  const per = framesPerStep(track);
  const rows: [string, string][] = [["track", track.name]];
  if (track.kind === "codes") {
    const [t, h, w] = track.stride;
    const books = track.codebooks.map(({ kind, size, levels }) => `${kind} ${levels?.join("x") ?? size}`);
    rows.push(["  model", `${printable(track.model)}, ${track.quantiser.slice(0, 16)}`]);
    rows.push(["  codes", `${track.grid.join(" x ")} of ${books.join(" + ")}, one per ${t} x ${h} x ${w}`]);
  } else rows.push(["  holds", printable(track.format)]);
  rows.push(["  length", `${formatTime(seconds)}, ${steps} steps of ${per} ${per === 1 ? "frame" : "frames"}`]);
  const written = Object.entries(codecs).map(([codec, count]) => `${count} ${codec}`);
  rows.push(["  chunks", `${chunks}${written.length > 0 ? `: ${written.join(", ")}` : ""}`]);
  if (track.kind === "codes" && packedBytes) {
    const share = ((100 * bytes) / packedBytes).toFixed(1);
    const rate = packedRate(report, track).toFixed(1);
    rows.push(["  bytes", `${bytes}, ${share} % of packed codes, which are 1/${rate} of RGB`]);
  } else rows.push(["  bytes", `${bytes}`]);
  for (const range of lost) {
    const { first, steps: count } = range;
    const numbers = count === null ? `step ${first} and those behind it` : `steps ${first} to ${first + count - 1}`;
    rows.push(["  lost", `${lostText(lostTime(reader, track, range))}, ${numbers}`]);
  }
  return rows;
}
