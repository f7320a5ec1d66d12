// Kinema's first demo: camera or video in, the name of the motion out. `load` and `watch` are all that the engine needs.
import { Classifier, fpsOf, fromUrl, openCheckpoint, openGpu, softmax } from "../../src/index.ts";
import { SpanTracker } from "../../src/labels/index.ts";
import { Meter } from "./meter.ts";
import { Pace } from "./pace.ts";
import { openCamera, openFile, type Source } from "./source.ts";
import * as view from "./view.ts";

interface Model {
  readonly classifier: Classifier;
  readonly fps: number;
}

/** Made anew by the next start once it failed or its device was lost. */
let model: Promise<Model> | null = null;
let current = new AbortController();
let ended: Promise<void> = Promise.resolve();

async function load(): Promise<Model> {
  const gpu = await openGpu();
  view.adapter(gpu.adapter);
  gpu.lost.catch(forget);
  const checkpoint = await openCheckpoint(await fromUrl(new URL("kinema-motion.safetensors", document.baseURI)));
  return { classifier: await Classifier.create(gpu, checkpoint), fps: fpsOf(checkpoint) };
}

/** Names what `source` shows until it ends. One frame is under way at a time; those that come meanwhile are passed over. */
async function watch({ classifier, fps }: Model, source: Source): Promise<void> {
  const pace = new Pace(fps);
  const meter = new Meter();
  let tracker = new SpanTracker(classifier.labels);
  for (;;) {
    const asked = performance.now();
    const taken = await nextFrame(source, pace);
    if (!taken) return;
    if (taken.fresh) {
      classifier.session.reset();
      tracker = new SpanTracker(classifier.labels);
    }
    const came = performance.now();
    const result = classifier.push(taken.frame, { flip: source.mirrored });
    // By the next task the commands are submitted, and the frame can go back to its source.
    const handed = nextTask().then(() => {
      taken.frame.close();
      return performance.now();
    });
    const [logits, submitted] = await Promise.all([result, handed]);
    const now = performance.now();
    source.keepUp?.(1000 / fps / (now - came));
    tracker.push(taken.time, logits);
    view.result(tracker.current?.label ?? "looking", softmax(logits));
    view.stages(meter.add({ wait: came - asked, submit: submitted - came, gpu: now - submitted }));
  }
}

/** The next frame at the model's pace, while the page is visible; null at the end. */
async function nextFrame(source: Source, pace: Pace) {
  for (;;) {
    if (document.hidden)
      await new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
    const taken = await source.next();
    if (!taken) return null;
    const verdict = pace.judge(taken.time);
    if (verdict !== "skip") return { ...taken, fresh: verdict === "fresh" };
    taken.frame.close();
  }
}

function nextTask(): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((done) => {
    port1.onmessage = () => done(port1.close());
    port2.postMessage(null);
  });
}

/** Opens a source and watches it until it ends, fails or is stopped, after the run before has ended. */
async function run(open: () => Promise<Source>, signal: AbortSignal, before: Promise<void>): Promise<void> {
  let message = "Stopped.";
  try {
    await before;
    model ??= load();
    const ready = await model;
    signal.throwIfAborted();
    const source = await open();
    signal.addEventListener("abort", source.close);
    view.begin(source, ready.classifier.labels ?? []);
    await watch(ready, source).finally(source.close);
    if (!signal.aborted) message = `End of ${source.name}.`;
  } catch (error) {
    if (!signal.aborted) return view.complain(error);
  }
  if (signal === current.signal) view.idle(message);
}

/** Whatever was started before is stopped: a second file may come while the first plays. */
function start(open: (signal: AbortSignal) => Promise<Source>): void {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  ended = run(() => open(signal), signal, ended);
}

function forget(): void {
  model = null;
}

view.listen({
  camera: () => start((signal) => openCamera(view.video, signal, view.say)),
  file: (file) => start((signal) => openFile(view.video, file, signal)),
  stop: () => current.abort(),
});
model = load();
model.then(view.ready, view.complain);
