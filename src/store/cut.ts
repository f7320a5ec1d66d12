import { framesPerStep, type Track } from "./description.ts";
import type { StoreReader } from "./reader.ts";
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
  const frames = Math.max(...tracks.map((track) => reader.steps(track.name) * framesPerStep(track)));
  const frameAt = (seconds: number) => (seconds * fps[0]) / fps[1];
  const first = Math.floor((frameAt(from) + 1e-6) / unit) * unit;
  const end = Math.ceil((frameAt(to) - 1e-6) / unit) * unit;
  return { first, end: Math.max(first, Math.min(end, frames)) };
}

function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y > 0) [x, y] = [y, x % y];
  return (a / x) * b;
}

/**
 * Copies a range of frames into a store of the same tracks, or of those that are given. Chunks of codes that are in it whole are copied as they
 * are, those at its ends are coded anew; chunks of bytes are copied where they begin in it.
 * Throws what reading and writing throw; "bad-file" for damage in the range.
 * @param onProgress is told the share that is done
 */
export async function cutStore(
  reader: StoreReader,
  writer: StoreWriter,
  range: FrameRange,
  onProgress: (share: number) => void = () => {},
  tracks: readonly Track[] = reader.description.tracks,
): Promise<void> {
  for (const [index, track] of tracks.entries()) {
    const report = (share: number) => onProgress((index + share) / tracks.length);
    if (track.kind === "codes") await cutCodes(reader, writer, range, track, report);
    else await cutBytes(reader, writer, range, track, report);
  }
  await writer.commit();
}

/** Steps of a track that begin in a range, of those there are: the first, and the one behind the last. */
function stepsIn(reader: StoreReader, { first, end }: FrameRange, track: Track): [number, number] {
  const stepAt = (frame: number) => Math.min(Math.ceil(frame / framesPerStep(track)), reader.steps(track.name));
  return [stepAt(first), stepAt(end)];
}

async function cutCodes(
  reader: StoreReader,
  writer: StoreWriter,
  range: FrameRange,
  track: Track,
  report: (share: number) => void,
): Promise<void> {
  const { name } = track;
  const [first, end] = stepsIn(reader, range, track);
  for (let step = first; step < end; ) {
    const chunk = await reader.chunkAt(step, name);
    const stop = chunk ? Math.min(end, chunk.first + chunk.steps) : step + 1;
    if (chunk && chunk.first === step && stop === step + chunk.steps) await writer.appendChunk(chunk, name);
    else await writer.append(await reader.read(step, stop, name), name);
    step = stop;
    report((step - first) / (end - first));
  }
}

async function cutBytes(
  reader: StoreReader,
  writer: StoreWriter,
  range: FrameRange,
  track: Track,
  report: (share: number) => void,
): Promise<void> {
  const [first, end] = stepsIn(reader, range, track);
  for await (const { first: step, steps, payload } of reader.chunks(first, end, track.name)) {
    if (step >= first) await writer.appendBytes(track.name, step - first, steps, payload);
    report((step - first) / (end - first));
  }
}
