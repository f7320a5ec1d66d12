// `kinema classify IN.kvc`: what happens in a store of codes. Runs on Dawn in this process, as no frame is decoded and no browser needed.
import { CodesClassifier, checkQuantiser, motionCodesOf } from "../codes_classifier.ts";
import { codesTrackOf, rateOf } from "../compressor.ts";
import { fail } from "../core/fail.ts";
import { shippedMotionCodes } from "../host/bundle.ts";
import { fileSource } from "../host/file_source.ts";
import { preparing } from "../host/page/report.ts";
import { nodeStoreFile } from "../host/store_file.ts";
import { type Span, SpanTracker } from "../labels/index.ts";
import { MomentWriter, withMomentTracks } from "../moments.ts";
import { cutStore } from "../store/cut.ts";
import { type CodesTrack, createStore, type StoreReader, type StoreWriter } from "../store/index.ts";
import { decodeSuperblock, SUPERBLOCK_BYTES } from "../store/layout.ts";
import { type LostTime, type Second, watch } from "../timeline.ts";
import type { ByteSource } from "../weights/byte_source.ts";
import { type Checkpoint, openCheckpoint } from "../weights/checkpoint.ts";
import type { CommandContext } from "./command.ts";
import { onDawn } from "./dawn.ts";
import { lostLine, openNoted } from "./lost.ts";
import { replacement } from "./output.ts";
import { printable } from "./printable.ts";
import { spanLine } from "./spans.ts";
import { formatTime } from "./time.ts";
import { timelineLines } from "./timeline.ts";

/** What only videos have. */
const OF_VIDEOS = ["model", "online", "labels", "frames", "sampling", "explain", "top"] as const;
/** Chunks that are committed together where the store that they come from is still there. */
const CHUNKS_PER_COMMIT = 64;

/** Whether a file is a store of codes: by its first bytes, or where those are damaged by its name. */
export async function isStore(path: string): Promise<boolean> {
  const source = await fileSource(path);
  return /\.kvc$/i.test(path) || decodeSuperblock(await source.read(0, SUPERBLOCK_BYTES)) !== null;
}

/** A second without what only programs read. */
type SecondInWords = Omit<Second, "embedding" | "steps">;

/** The JSON of `kinema classify IN.kvc --json`. */
export interface StoreClasses {
  readonly model: string;
  readonly adapter: string;
  readonly seconds: readonly SecondInWords[];
  readonly spans: readonly Span[];
  /** Times of the seconds that are changes. */
  readonly changes: readonly number[];
  /** Times that cannot be read, and of which the rest says nothing; `to` is null where nothing tells how long the video was. */
  readonly lost: readonly LostTime[];
  readonly steps: { readonly seen: number; readonly skipped: number };
  readonly ms: { readonly prepare: number; readonly run: number };
  readonly bytes: { readonly weights: number; readonly activations: number; readonly states: number };
}

export async function classifyStore(context: CommandContext): Promise<void> {
  const { args } = context;
  const input = args.positional("VIDEO");
  const video = OF_VIDEOS.find((flag) => args.has(flag));
  if (video) fail("usage", `--${video} is for videos; ${input} is a store of codes`);
  // Held before it is read: what another process appends in between would be lost.
  const held = args.has("index") ? await nodeStoreFile(input) : null;
  try {
    await classify(context, held ?? (await fileSource(input)));
  } finally {
    await held?.close();
  }
}

async function classify(context: CommandContext, source: ByteSource): Promise<void> {
  const { args, note } = context;
  const input = args.positional("VIDEO");
  const reader = await openNoted(source, note);
  const track = codesTrackOf(reader.description, input);
  const weights =
    args.text("weights") ??
    shippedMotionCodes(rateOf(track) ?? "") ??
    fail(
      "usage",
      `${input} holds codes of ${printable(track.model)}, for which no network is here; give one with --weights FILE`,
    );
  const checkpoint = await openCheckpoint(await fileSource(weights));
  // Said before a driver is looked for.
  motionCodesOf(checkpoint);
  checkQuantiser(checkpoint, track, input);
  if (!args.has("index")) return run(context, reader, track, checkpoint, null);
  const index = await beginIndex(input, reader);
  try {
    await run(context, reader, track, checkpoint, index);
    await index.finish();
    note(`${input} has embeddings now: kinema search ${input} --like TIME`);
  } finally {
    await index.close();
  }
}

async function run(
  { args, signal, progress, print, note }: CommandContext,
  reader: StoreReader,
  track: CodesTrack,
  checkpoint: Checkpoint,
  index: Index | null,
): Promise<void> {
  const input = args.positional("VIDEO");
  const json = args.has("json");
  const start = performance.now();
  await onDawn(note, async (gpu, adapter) => {
    const options = { signal, onProgress: preparing(progress.update) };
    using classifier = await CodesClassifier.create(gpu, checkpoint, track, input, options);
    const writer = await index?.begin(classifier);
    const prepare = performance.now() - start;
    let tracker = new SpanTracker(classifier.labels);
    const spans: Span[] = [];
    const seconds: SecondInWords[] = [];
    const lost: LostTime[] = [];
    let [seen, skipped, passed] = [0, 0, 0];
    const add = (span: Span | null) => {
      if (span) spans.push(span);
      if (span && !json) print(`${spanLine(span)}\n`);
    };
    const onProgress = (share: number) => progress.update("classify", share);
    const onLost = (time: LostTime) => void lost.push(time);
    for await (const second of watch(reader, track, classifier, { signal, onLost, onProgress })) {
      for (const step of second.steps) {
        seen++;
        if (step.skipped) skipped++;
        for (; passed < lost.length && lost[passed]!.from <= step.time; passed++) {
          add(tracker.finish(lost[passed]!.from));
          tracker = new SpanTracker(classifier.labels);
        }
        add(tracker.push(step.time, step.logits));
      }
      await writer?.add(second);
      const { embedding: _, steps: __, ...words } = second;
      seconds.push(words);
    }
    if (seconds.length === 0)
      fail(
        "bad-input",
        `${input} has no whole step of codes${lost.length > 0 ? " left, all are lost" : ""}; there is nothing to classify`,
      );
    await writer?.flush();
    add(tracker.finish(Math.min(seconds.at(-1)!.to, lost[passed]?.from ?? Number.POSITIVE_INFINITY)));
    if (lost.length > 0)
      note(`${input}: ${lostLine(lost)} cannot be read; what is said is of the rest (kinema info ${input})`);
    const { planned, weights, states } = classifier.session.plan.bytes;
    const result: StoreClasses = {
      model: classifier.name,
      adapter,
      seconds,
      spans,
      changes: seconds.filter(({ change }) => change).map(({ from }) => from),
      lost,
      steps: { seen, skipped },
      ms: { prepare, run: performance.now() - start - prepare },
      bytes: { weights, activations: planned, states },
    };
    print(json ? `${JSON.stringify(result)}\n` : asText(result));
  });
}

/** A store in the making that will stand in the place of the one that is read. */
interface Index {
  /** Copies what is kept; what it gives takes the seconds. */
  begin(classifier: CodesClassifier): Promise<MomentWriter>;
  /** Puts it in its place. */
  finish(): Promise<void>;
  /** Lets go of it, and removes what was not finished. */
  close(): Promise<void>;
}

/**
 * The same store with two tracks more, written beside it and put in its place when it is whole: what a store holds is said once, at its beginning. Until
 * then nobody else writes it.
 */
async function beginIndex(path: string, reader: StoreReader): Promise<Index> {
  const { part, finish, discard } = await replacement(path);
  const file = await nodeStoreFile(part, { create: "replace" });
  let writer: StoreWriter | null = null;
  return {
    async begin({ standard, name }) {
      const description = withMomentTracks(reader.description, standard.mean.length, name);
      writer = await createStore(file, description, { chunksPerCommit: CHUNKS_PER_COMMIT });
      const kept = reader.description.tracks.filter((track) => description.tracks.includes(track));
      await cutStore(reader, writer, { first: 0, end: Number.POSITIVE_INFINITY }, undefined, kept, "leave out");
      return new MomentWriter(writer);
    },
    async finish() {
      await writer!.close();
      await finish();
    },
    async close() {
      await file.close();
      discard();
    },
  };
}

/** What is left to print once the spans are out: the timeline, then how it was done. */
function asText({ model, adapter, seconds, lost, steps, ms, bytes }: StoreClasses): string {
  const mb = (count: number) => `${(count / 1e6).toFixed(1)} MB`;
  const end = seconds.at(-1)!.to;
  const read = end - lost.reduce((sum, { from, to }) => sum + Math.max(0, Math.min(end, to ?? end) - from), 0);
  const lines = [
    "",
    ...timelineLines(seconds, lost),
    "",
    `${model} on ${adapter}`,
    `${steps.seen} steps of ${formatTime(read)}, ${steps.skipped} of them skipped as nothing changed`,
    `prepare ${Math.round(ms.prepare)} ms, run ${Math.round(ms.run)} ms, ${(ms.run / read).toFixed(1)} ms for a second of video`,
    `weights ${mb(bytes.weights)}, activations ${mb(bytes.activations)}, states ${mb(bytes.states)}`,
  ];
  return `${lines.join("\n")}\n`;
}
