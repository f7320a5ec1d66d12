// `kinema classify` in the page: decode with WebCodecs, ingest, run, rank. Called over RPC.
import { Classifier, describeModel, fpsOf, labelsOf } from "../../classifier.ts";
import { openGpu } from "../../gpu/device.ts";
import { labelsForClasses, type Span, SpanTracker } from "../../labels/index.ts";
import { type Ranked, softmax, top } from "../../labels/top.ts";
import type { ModelName } from "../../models/index.ts";
import { openVideo, type Video } from "../../video/decode.ts";
import { readRgba } from "../../video/rgba.ts";
import { sampleDense, sampleStam, sampleUniform } from "../../video/sampling.ts";
import { openCheckpoint } from "../../weights/checkpoint.ts";
import { fromUrl } from "../../weights/url_source.ts";
import { draw, type Shown, show } from "./draw.ts";
import { preparing, type Report } from "./report.ts";

export interface ClassifyArgs {
  readonly videoUrl: string;
  readonly weightsUrl: string;
  /** What messages call the weights. */
  readonly weightsName: string;
  readonly model?: ModelName;
  readonly labels?: readonly string[];
  readonly frames?: number;
  readonly sampling: "uniform" | "dense";
  /** `stam` as a stream. */
  readonly online?: boolean;
  /** Draw what the network looked at. */
  readonly explain?: boolean;
  readonly top: number;
}

export interface ClassifyResult {
  readonly model: string;
  readonly adapter: string;
  /** Indices of the frames used, in clip order. */
  readonly frames: readonly number[];
  readonly top: readonly Ranked[];
  /** With an online model: what was seen when. */
  readonly spans?: readonly Span[];
  /** With `explain`: the share of attention of each frame (null where the model has none) and the picture. */
  readonly explained?: { readonly frames: readonly number[] | null; readonly png: Uint8Array<ArrayBuffer> };
  readonly ms: { readonly prepare: number; readonly decode: number; readonly ingest: number; readonly run: number };
  readonly bytes: { readonly weights: number; readonly activations: number; readonly states: number };
}

interface Context {
  readonly classifier: Classifier;
  readonly video: Video;
  readonly args: ClassifyArgs;
  readonly report: Report;
  readonly signal: AbortSignal;
}

type Part = Pick<ClassifyResult, "frames" | "top" | "spans" | "explained"> & {
  readonly ms: { readonly decode: number; readonly ingest: number; readonly run: number };
};

const DEFAULT_FRAMES = 8;

/** Classifies a video file. What is wrong with the video or the weights is said before any of them costs GPU work. */
export async function classify(args: ClassifyArgs, report: Report, signal: AbortSignal): Promise<ClassifyResult> {
  const start = performance.now();
  using gpu = await openGpu();
  using video = await openVideo(args.videoUrl, { signal });
  const checkpoint = await openCheckpoint(await fromUrl(args.weightsUrl, { signal, name: args.weightsName }));
  const named = args.model ? { model: args.model } : {};
  const { description, recognised } = describeModel(checkpoint, named);
  const online =
    description.model === "tsm-mobilenetv2-online" || (description.model === "stam" && args.online === true);
  const frames = online ? 1 : (args.frames ?? recognised.segments ?? DEFAULT_FRAMES);
  const labels = args.labels ?? labelsOf(checkpoint) ?? labelsForClasses(recognised.classes);
  using classifier = await Classifier.create(gpu, checkpoint, {
    ...named,
    frames,
    labels,
    ...(args.explain ? { shares: true } : {}),
    form: "reference",
    signal,
    onProgress: preparing(report),
  });
  const prepare = performance.now() - start;
  const context = { classifier, video, args, report, signal };
  const part = online ? await stream(context, fpsOf(checkpoint)) : await clip(context, frames);
  const { planned, weights, states } = classifier.session.plan.bytes;
  return {
    model: description.model,
    adapter: gpu.adapter,
    ...part,
    ms: { prepare, ...part.ms },
    bytes: { weights, activations: planned, states },
  };
}

/** Frames sampled over the video make one clip; an image model's probabilities are averaged over them. */
async function clip({ classifier, video, args, report, signal }: Context, count: number): Promise<Part> {
  const frames = sample(video, classifier.session.plan.graph.name, args.sampling, count);
  const wanted = [...new Set(frames)];
  const shown: Shown[] = [];
  const ms = { decode: 0, ingest: 0, run: 0 };
  let mark = performance.now();
  let done = 0;
  for await (const { index, frame, rotation } of video.frames(wanted)) {
    ms.decode += performance.now() - mark;
    mark = performance.now();
    // Pixels through main memory: on a software adapter much faster than a texture copy, and closer to what PyTorch users decode.
    const pixels = await readRgba(frame);
    const orientation = { rotation, flip: video.flip };
    const picture = args.explain ? show(pixels, classifier.ingest.preprocessing, orientation) : null;
    frames.forEach((wantedIndex, slot) => {
      if (wantedIndex !== index) return;
      classifier.put(pixels, slot, orientation);
      if (picture) shown[slot] = picture;
    });
    ms.ingest += performance.now() - mark;
    report("decode", ++done / wanted.length);
    signal.throwIfAborted();
    mark = performance.now();
  }
  const { device } = classifier.session.gpu;
  mark = performance.now();
  await device.queue.onSubmittedWorkDone();
  ms.ingest += performance.now() - mark;
  mark = performance.now();
  const explanation = args.explain ? await classifier.explain() : null;
  const logits = explanation?.logits ?? (await classifier.classify());
  ms.run = performance.now() - mark;
  report("run", 1);
  const ranked = top(meanScores(logits, classifier), classifier.labels, args.top);
  if (!explanation) return { frames, top: ranked, ms };
  const weights = explanation.frames && [...explanation.frames];
  return { frames, top: ranked, explained: { frames: weights, png: await draw(shown, explanation) }, ms };
}

/** Which frames a model is shown, as its authors choose them. */
function sample(video: Video, model: string, how: "uniform" | "dense", count: number): number[] {
  if (how === "dense") return sampleDense(video.frameCount, count);
  return model === "stam" ? sampleStam(video.frameCount, video.fps, count) : sampleUniform(video.frameCount, count);
}

/** Probabilities of a clip's logits, or the mean of the frames' where the model gives logits per frame. */
function meanScores(logits: Float32Array, { session }: Classifier): Float64Array {
  const [count, classes] = session.plan.graph.outputs.logits!.spec.shape as [number, number];
  const scores = Array.from({ length: count }, (_, i) => softmax(logits.subarray(i * classes, (i + 1) * classes)));
  return scores[0]!.map((_, c) => scores.reduce((sum, row) => sum + row[c]!, 0) / count);
}

/** A stream sees the video from its beginning, thinned to the frame rate that it was trained for. */
async function stream({ classifier, video, args, report, signal }: Context, fps: number): Promise<Part> {
  const step = Math.max(1, Math.round(video.fps / fps));
  const frames = Array.from({ length: Math.ceil(video.frameCount / step) }, (_, i) => i * step);
  const tracker = new SpanTracker(classifier.labels);
  const spans: Span[] = [];
  const ms = { decode: 0, ingest: 0, run: 0 };
  let total: Float64Array | null = null;
  let mark = performance.now();
  let done = 0;
  for await (const { frame, timestamp, rotation } of video.frames(frames)) {
    ms.decode += performance.now() - mark;
    mark = performance.now();
    const pixels = await readRgba(frame);
    ms.ingest += performance.now() - mark;
    mark = performance.now();
    const logits = await classifier.push(pixels, { rotation, flip: video.flip });
    ms.run += performance.now() - mark;
    const scores = softmax(logits);
    total = total ? total.map((sum, i) => sum + scores[i]!) : scores;
    const ended = tracker.push(timestamp, logits);
    if (ended) spans.push(ended);
    report("run", ++done / frames.length, ended ?? undefined);
    signal.throwIfAborted();
    mark = performance.now();
  }
  const mean = total!.map((sum) => sum / frames.length);
  const last = tracker.finish(video.duration);
  if (last) spans.push(last);
  return { frames, top: top(mean, classifier.labels, args.top), spans, ms };
}
