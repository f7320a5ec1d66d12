import { framesPerStep, type Track } from "./description.ts";
import type { Part, StoreReader } from "./reader.ts";
import type { StoreWriter } from "./writer.ts";

/** Frames `first` to `end - 1` of a store's video. */
export interface FrameRange {
  readonly first: number;
  readonly end: number;
}

/**
 * The frames that a cut between two times in seconds has: from the step of codes that shows at `from` up to the one that
 * ends at `to`, so that no step of any codes track is divided. Empty where the store ends before.
 */
export function cutRange(reader: StoreReader, from: number, to: number): FrameRange {
  const { fps, tracks } = reader.description;
  const codes = tracks.filter((track) => track.kind === "codes");
  const unit = codes.map(framesPerStep).reduce(leastCommonMultiple, 1);
  const frameAt = (seconds: number) => (seconds * fps[0]) / fps[1];
  const first = Math.floor((frameAt(from) + 1e-6) / unit) * unit;
  const end = Math.ceil((frameAt(to) - 1e-6) / unit) * unit;
  return { first, end: Math.max(first, Math.min(end, reader.frames)) };
}

function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y > 0) [x, y] = [y, x % y];
  return (a / x) * b;
}

/**
 * Copies a range of frames into a store of the same tracks, or of those that are given. Chunks of codes that are in it whole are copied as they
 * are, those at its ends are coded anew; chunks of bytes are copied where they begin in it.
 * Throws what reading and writing throw; "bad-file" or "truncated" for damage in the range, unless `lost` is "leave out": the steps behind it then
 * keep their numbers.
 * @param onProgress is told the share that is done
 */
export async function cutStore(
  reader: StoreReader,
  writer: StoreWriter,
  range: FrameRange,
  onProgress: (share: number) => void = () => {},
  tracks: readonly Track[] = reader.description.tracks,
  lost: "refuse" | "leave out" = "refuse",
): Promise<void> {
  for (const [index, track] of tracks.entries()) {
    // Steps that begin in the range. What is lost behind the last one that is there is left out, too, or not asked for.
    const steps = reader.steps(track.name);
    const [first, end] = [range.first, range.end].map((frame) => Math.ceil(frame / framesPerStep(track))) as [
      number,
      number,
    ];
    const last = lost === "refuse" ? Math.min(end, steps) : end;
    for await (const part of reader.parts(first, last, track.name)) {
      if (part.error && lost === "refuse") throw part.error;
      await copyPart(writer, part, [first, last], track);
      const share = (part.first + (part.steps ?? 0) - first) / (Math.min(end, steps) - first);
      onProgress((index + Math.min(1, share)) / tracks.length);
    }
  }
  await writer.commit();
}

/** Copies what of a part lies in the range that begins with step `first` and ends before `end`. */
async function copyPart(
  writer: StoreWriter,
  { chunk, ...part }: Part,
  [first, end]: readonly [number, number],
  { name, kind }: Track,
): Promise<void> {
  const from = Math.max(first, part.first);
  const to = Math.min(end, part.first + (part.steps ?? 0));
  if (kind === "bytes") {
    if (chunk && part.first === from) await writer.appendBytes(name, from - first, chunk.steps, chunk.payload);
  } else if (!chunk) await writer.leaveOut(to - from, name);
  else if (to - from === chunk.steps) await writer.appendChunk(chunk, name);
  else {
    const codes = chunk.codes();
    const each = codes.length / chunk.steps;
    await writer.append(codes.subarray((from - part.first) * each, (to - part.first) * each), name);
  }
}
