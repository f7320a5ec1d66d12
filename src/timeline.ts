// What happens in a store of codes, second by second, and where it changes. An hour takes no more memory than a minute.
import { type CodesClassifier, type CodesStep, embeddingOf } from "./codes_classifier.ts";
import { fail } from "./core/fail.ts";
import { argmax, softmax } from "./labels/top.ts";
import type { CodesTrack, StoreDescription, StoreReader } from "./store/index.ts";

/** A step of the network, and when it begins in the video, in seconds. */
export interface TimedStep extends CodesStep {
  readonly time: number;
}

/** A second of a video: so many frames as its rate is, rounded. */
export interface Second {
  /** From 0; a second in which no step begins is left out. */
  readonly number: number;
  /** Where it begins and ends, in seconds of the video. */
  readonly from: number;
  readonly to: number;
  /** The class that is most probable in the mean over its steps. */
  readonly index: number;
  readonly label: string;
  readonly score: number;
  /** Share of codes unlike the step before, 0 to 1: mean over its steps. */
  readonly changed: number;
  /** Cosine distance of its embedding from that of the second before, 0 to 2; null of the first. */
  readonly distance: number | null;
  /** Whether that distance stands out among those of the last minute. */
  readonly change: boolean;
  /** Of length 1. */
  readonly embedding: Float32Array<ArrayBuffer>;
  readonly steps: readonly TimedStep[];
}

/** Frames that are taken as a second of a video of so many a second. */
export const framesOfSecond = ([numerator, denominator]: readonly [number, number]): number =>
  Math.max(1, Math.round(numerator / denominator));

/** Distances that a distance is held against: a minute of them, and the fewest that tell anything. */
const [MINUTE, FEWEST] = [60, 8];
/** A change is farther from the median than so many median deviations, of which the least is that of a still picture with noise. */
const [DEVIATIONS, LEAST_DEVIATION] = [4, 0.01];

/** Tells a change from what is usual: a number that exceeds the median of the last minute's by four of their median deviations. */
export class ChangeDetector {
  readonly #recent: number[] = [];

  push(distance: number): boolean {
    const recent = this.#recent;
    const middle = median(recent);
    const deviation = Math.max(median(recent.map((value) => Math.abs(value - middle))), LEAST_DEVIATION);
    const change = recent.length >= FEWEST && distance > middle + DEVIATIONS * deviation;
    recent.push(distance);
    if (recent.length > MINUTE) recent.shift();
    return change;
  }
}

/** The middle of numbers, the upper one of two; 0 of none. */
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;

/** Steps of a track from one that is looked at to the next: the network's own, or as many more as the video has frames for each that it was trained on. */
export const stepsBetween = (
  { fps }: StoreDescription,
  { fps: trained, stepsOfTrack }: Pick<CodesClassifier, "fps" | "stepsOfTrack">,
): number => Math.max(1, Math.round(fps[0] / fps[1] / trained)) * stepsOfTrack;

export interface WatchOptions {
  readonly signal?: AbortSignal;
  /** Told the share that has been read. */
  readonly onProgress?: (share: number) => void;
}

/**
 * The seconds of a store's track of codes, in order, as a network sees them: every step, or every k-th where the video has k times the frames a second
 * that the network was trained on. The stream's first step, which has no past, counts only where it is alone in its second. However it ends, the next
 * steps that the classifier takes are those of another stream.
 * @throws what reading a store throws, "bad-file" where steps are lost
 */
export async function* watch(
  reader: StoreReader,
  track: CodesTrack,
  classifier: CodesClassifier,
  { signal, onProgress }: WatchOptions = {},
): AsyncGenerator<Second, void, undefined> {
  const { fps } = reader.description;
  const rate = fps[0] / fps[1];
  const every = stepsBetween(reader.description, classifier);
  const seconds = new Seconds(classifier, framesOfSecond(fps), rate);
  const starts: number[] = [];
  const total = reader.steps(track.name);
  const each = track.grid[0] * track.grid[1] * track.codebooks.length;
  const take = (done: readonly CodesStep[]) =>
    done.flatMap((step) => seconds.push(step, starts.shift()! * track.stride[0]) ?? []);
  let next = 0;
  let step = null as ReturnType<typeof codesLike> | null;
  try {
    for await (const chunk of reader.chunks(0, undefined, track.name)) {
      if (chunk.first !== next)
        fail("bad-file", `steps ${next} to ${chunk.first - 1} of track "${track.name}" are lost (kinema info)`);
      const codes = chunk.codes();
      step ??= codesLike(codes, classifier.stepsOfTrack * each);
      for (; next < chunk.first + chunk.steps; next++) {
        const place = next % every;
        if (place >= classifier.stepsOfTrack) continue;
        step.set(codes.subarray((next - chunk.first) * each, (next - chunk.first + 1) * each), place * each);
        if (place < classifier.stepsOfTrack - 1) continue;
        starts.push(next - place);
        yield* take(await classifier.push(step));
        signal?.throwIfAborted();
      }
      onProgress?.(next / total);
    }
    yield* take(await classifier.flush());
    const last = seconds.finish();
    if (last) yield last;
  } finally {
    classifier.reset(); // also of a watch that ends early
  }
}

const codesLike = (codes: Uint8Array | Uint16Array | Uint32Array, length: number) =>
  codes instanceof Uint8Array
    ? new Uint8Array(length)
    : codes instanceof Uint16Array
      ? new Uint16Array(length)
      : new Uint32Array(length);

/** Gathers the steps of each second, and ends it when a step of the next one comes. */
class Seconds {
  readonly #classifier: CodesClassifier;
  readonly #frames: number;
  readonly #rate: number;
  readonly #changes = new ChangeDetector();
  #number = 0;
  #steps: TimedStep[] = [];
  #before: Float32Array | null = null;
  #first = true;

  constructor(classifier: CodesClassifier, frames: number, rate: number) {
    this.#classifier = classifier;
    this.#frames = frames;
    this.#rate = rate;
  }

  /** Takes a step that begins with a frame; the second that ends with the one before, if one does. */
  push(step: CodesStep, frame: number): Second | null {
    const number = Math.floor(frame / this.#frames);
    const ended = number !== this.#number ? this.finish() : null;
    this.#number = number;
    this.#steps.push({ ...step, time: frame / this.#rate });
    return ended;
  }

  finish(): Second | null {
    const steps = this.#steps;
    if (steps.length === 0) return null;
    const judged = this.#first && steps.length > 1 ? steps.slice(1) : steps;
    const { labels, standard } = this.#classifier;
    const sums = judged
      .map(({ logits }) => softmax(logits))
      .reduce((sum, row) => sum.map((value, i) => value + row[i]!));
    const index = argmax(sums);
    const embedding = embeddingOf(
      judged.map(({ features }) => features),
      standard,
    );
    const before = this.#before;
    const distance = before && 1 - embedding.reduce((sum, value, i) => sum + value * before[i]!, 0);
    const change = distance !== null && this.#changes.push(distance);
    this.#before = embedding;
    this.#steps = [];
    this.#first = false;
    const second = this.#frames / this.#rate;
    return {
      number: this.#number,
      from: this.#number * second,
      to: (this.#number + 1) * second,
      index,
      label: labels?.[index] ?? `class ${index}`,
      score: sums[index]! / judged.length,
      changed: steps.reduce((sum, step) => sum + step.changed, 0) / steps.length,
      distance,
      change,
      embedding,
      steps,
    };
  }
}
