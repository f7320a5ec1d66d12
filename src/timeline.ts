// What happens in a store of codes, second by second, and where it changes. An hour takes no more memory than a minute.
import { type CodesClassifier, type CodesStep, embeddingOf } from "./codes_classifier.ts";
import { argmax, softmax } from "./labels/top.ts";
import type { CodesTrack, LostSteps, StoreDescription, StoreReader } from "./store/index.ts";
import { addLost } from "./store/reader.ts";

/** A step of the network, and when it begins in the video, in seconds. */
export interface TimedStep extends CodesStep {
  readonly time: number;
}

/** A second of a video: so many frames as its rate is, rounded. */
export interface Second {
  /** From 0; a second in which no step begins is left out. */
  readonly number: number;
  /** Where it begins and ends, in seconds of the video; the last one ends with the codes. */
  readonly from: number;
  readonly to: number;
  /** The class that is most probable in the mean over its steps. */
  readonly index: number;
  readonly label: string;
  readonly score: number;
  /** Share of codes unlike the step before, 0 to 1: mean over its steps. */
  readonly changed: number;
  /** Cosine distance of its embedding from that of the second before, 0 to 2; null of the first, and of the first behind lost ones. */
  readonly distance: number | null;
  /** Whether that distance stands out among those of the last minute, and is not the rest of a change that fell into the second before. */
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

/** A part of a video that cannot be read, in seconds; `to` is null where it reaches to an end that nothing tells any more. */
export interface LostTime {
  readonly from: number;
  readonly to: number | null;
}

export interface WatchOptions {
  readonly signal?: AbortSignal;
  /** Told of each part that cannot be read, before any step behind it is given. */
  readonly onLost?: (lost: LostTime) => void;
  /** Told the share that has been read. */
  readonly onProgress?: (share: number) => void;
}

/**
 * The seconds of a store's track of codes, in order, as a network sees them: every step, or every k-th where the video has k times the frames a second
 * that the network was trained on. A first step, which has no past, counts only where it is alone in its second. Steps that are lost are left out, and
 * behind them the network begins anew. However it ends, the next steps that the classifier takes are those of another stream.
 * @throws what reading a store throws, but for damage to its steps
 */
export async function* watch(
  reader: StoreReader,
  track: CodesTrack,
  classifier: CodesClassifier,
  { signal, onLost, onProgress }: WatchOptions = {},
): AsyncGenerator<Second, void, undefined> {
  const { fps } = reader.description;
  const rate = fps[0] / fps[1];
  const every = stepsBetween(reader.description, classifier);
  const total = reader.steps(track.name);
  const timeOf = (step: number) => (step * track.stride[0]) / rate;
  const seconds = new Seconds(classifier, framesOfSecond(fps), { rate, end: timeOf(total) });
  const waiting: Start[] = [];
  const each = track.grid[0] * track.grid[1] * track.codebooks.length;
  const take = (done: readonly CodesStep[]) => done.flatMap((step) => seconds.push(step, waiting.shift()!) ?? []);
  const lost: LostSteps[] = [];
  const tell = () => {
    for (const { first, steps } of lost.splice(0))
      onLost?.({ from: timeOf(first), to: steps === null ? null : timeOf(first + steps) });
  };
  /** Of the step that is being gathered, how many of the track's are there. */
  let held = 0;
  let begins = true;
  let step = null as ReturnType<typeof codesLike> | null;
  try {
    for await (const { first, steps, chunk } of reader.parts(0, undefined, track.name)) {
      if (!chunk) {
        if (lost.length === 0) yield* take(await classifier.flush());
        addLost(lost, { first, steps });
        [held, begins] = [0, true];
        continue;
      }
      tell();
      const codes = chunk.codes();
      step ??= codesLike(codes, classifier.stepsOfTrack * each);
      for (let i = 0; i < steps; i++) {
        const place = (first + i) % every;
        if (place === 0) held = 0;
        if (place !== held || place >= classifier.stepsOfTrack) continue;
        step.set(codes.subarray(i * each, (i + 1) * each), place * each);
        if (++held < classifier.stepsOfTrack) continue;
        waiting.push({ frame: (first + i - place) * track.stride[0], begins });
        begins = false;
        yield* take(await classifier.push(step));
        signal?.throwIfAborted();
      }
      onProgress?.((first + steps) / total);
    }
    tell();
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

/** The frame that a step begins with, and whether it is the first of a stream: that of the store, or one behind lost steps. */
interface Start {
  readonly frame: number;
  readonly begins: boolean;
}

/** What is kept of a second until the next one is judged. */
interface Judged extends Pick<Second, "embedding" | "distance" | "change"> {
  /** The embedding of its last step. */
  readonly end: Float32Array;
}

/** Cosine distance of two embeddings. */
const distanceOf = (a: Float32Array, b: Float32Array): number =>
  1 - a.reduce((sum, value, i) => sum + value * b[i]!, 0);

/**
 * Whether a second ended as it was on the whole: its last step is nearer to it than to the one behind it, and than it is to the one before it. Else what
 * changed did so within it, and the one behind it shows the rest of that.
 */
function settled({ embedding, end, distance }: Judged, behind: Float32Array): boolean {
  const off = distanceOf(end, embedding);
  return off < distanceOf(end, behind) && off < distance!;
}

/** Gathers the steps of each second, and ends it when a step of the next one comes. */
class Seconds {
  readonly #classifier: CodesClassifier;
  readonly #frames: number;
  readonly #video: { readonly rate: number; readonly end: number };
  readonly #changes = new ChangeDetector();
  #number = 0;
  #steps: TimedStep[] = [];
  /** Those of them that have a past. */
  #heard: TimedStep[] = [];
  #before: Judged | null = null;

  /** `frames` of a second; the `rate` of frames and the `end` in seconds of the video. */
  constructor(classifier: CodesClassifier, frames: number, video: { readonly rate: number; readonly end: number }) {
    this.#classifier = classifier;
    this.#frames = frames;
    this.#video = video;
  }

  /** Takes a step; gives the second that ends with the one before, if one does. */
  push(step: CodesStep, { frame, begins }: Start): Second | null {
    const number = Math.floor(frame / this.#frames);
    let ended: Second | null = null;
    if (number !== this.#number) {
      ended = this.finish();
      if (begins) this.#before = null;
    }
    this.#number = number;
    const timed = { ...step, time: frame / this.#video.rate };
    this.#steps.push(timed);
    if (!begins) this.#heard.push(timed);
    return ended;
  }

  finish(): Second | null {
    const steps = this.#steps;
    if (steps.length === 0) return null;
    const judged = this.#heard.length > 0 ? this.#heard : steps;
    const { labels, standard } = this.#classifier;
    const sums = judged
      .map(({ logits }) => softmax(logits))
      .reduce((sum, row) => sum.map((value, i) => value + row[i]!));
    const index = argmax(sums);
    const features = judged.map((step) => step.features);
    const embedding = embeddingOf(features, standard);
    const before = this.#before;
    const distance = before && distanceOf(embedding, before.embedding);
    const change =
      distance !== null && this.#changes.push(distance) && !(before!.change && !settled(before!, embedding));
    this.#before = { embedding, end: embeddingOf(features.slice(-1), standard), distance, change };
    [this.#steps, this.#heard] = [[], []];
    const { rate, end } = this.#video;
    const second = this.#frames / rate;
    return {
      number: this.#number,
      from: this.#number * second,
      to: Math.min((this.#number + 1) * second, end),
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
