// Kinema's recorder: a camera or a video goes into a store of codes; any moment of a store is decoded when it is pointed at.
import { COMPRESSOR_SIZE, type FrameEncoder, storeDescription } from "../../src/compressor.ts";
import { decoderFor, encoderFor, theGpu } from "./engine.ts";
import { listRecordings, newName, recordingFile, removeRecording, takenNames } from "./folder.ts";
import { cameraInput, fileInput, type Input } from "./inputs.ts";
import { showRecordings } from "./list.ts";
import { Player } from "./player.ts";
import { factsOf, RATES, weightsOf } from "./rates.ts";
import { record } from "./recording.ts";
import { type Remote, remote } from "./remote.ts";
import type { Extent, OpenedStore, StoreCalls } from "./store_worker.ts";
import * as timeline from "./timeline.ts";
import * as view from "./view.ts";

/** The frame rate that rates are described for before anything is chosen. */
const USUAL_FPS = 30;

const store: Remote<StoreCalls> = remote(new Worker(new URL("recorder_worker.js", document.baseURI)));
let input: Input | null = null;
let player: Player | null = null;
/** The recording that is open; null for none, and for a file from elsewhere. */
let opened: string | null = null;
let current = new AbortController();
let ended: Promise<void> = Promise.resolve();

/** Does one thing after another; what runs is told to end. */
function act(task: (signal: AbortSignal) => Promise<void>): void {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  ended = ended
    .then(() => {
      signal.throwIfAborted();
      return task(signal);
    })
    .catch((error) => {
      if (error !== signal.reason) view.complain(error);
    });
}

async function choose(opening: () => Promise<Input>, signal: AbortSignal): Promise<void> {
  setInput(null);
  view.say("Opening…");
  // A question for the camera may stay open for ever, and something else be chosen meanwhile.
  const answer = opening();
  answer.then(
    (late) => signal.aborted && late.close(),
    () => {},
  );
  const chosen = await Promise.race([answer, aborted(signal)]);
  close();
  setInput(chosen);
  await list();
  view.say(`Ready to record ${chosen.name}.`);
}

const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

function setInput(next: Input | null): void {
  input?.close();
  input = next;
  view.showInput(next);
  describeRates(next?.fps ?? USUAL_FPS);
}

/** Says of every rate what it means, once its weights are there. */
function describeRates(fps: number): void {
  for (const rate of RATES)
    weightsOf(rate).then((checkpoint) => view.describeRate(rate, fps, factsOf(checkpoint, fps)), view.complain);
}

/** A player of the store that the worker has open. */
async function watch({ description, steps, bytes }: OpenedStore, name: string): Promise<Player> {
  close();
  const { decoder, track } = await decoderFor(description, name);
  player = new Player({
    decoder,
    description,
    track,
    read: store.read,
    show: (pixels) => view.frame(pixels, description),
    changed: timeline.update,
    complain: view.complain,
  });
  timeline.attach(player);
  player.grow(steps);
  view.figures(player, bytes);
  return player;
}

function close(): void {
  player?.dispose();
  player = null;
  opened = null;
  timeline.attach(null);
  view.clear();
}

/** Opens a store to look at: a recording, or a file from elsewhere. */
async function look(file: File, recording: string | null): Promise<void> {
  setInput(null);
  view.say(`Opening ${file.name}…`);
  const watched = await watch(await store.open(file), file.name);
  opened = recording;
  await list();
  view.say(watched.frames > 0 ? `${file.name}: point at a moment.` : `${file.name} holds no frame.`);
  watched.point(0);
  timeline.fillStrip();
}

async function recordInput(signal: AbortSignal): Promise<void> {
  if (!input) return;
  const from = input;
  view.setRecording(true);
  try {
    view.say("Preparing…");
    await recordFrom(from, signal);
  } finally {
    view.setRecording(false);
    if (from.live) setInput(null); // the camera was switched off
  }
}

async function recordFrom(from: Input, signal: AbortSignal): Promise<void> {
  const rate = view.rate();
  const checkpoint = await weightsOf(rate);
  const video = { size: COMPRESSOR_SIZE, fps: from.fps, source: from.name };
  const description = await storeDescription(checkpoint, video);
  const name = newName(from.name, rate, await takenNames());
  using encoder = await encoderFor(checkpoint, from);
  close();
  const extent = await store.begin(name, description);
  const failures: unknown[] = [];
  try {
    const watched = await watch({ description, ...extent }, name);
    opened = name;
    watched.begin();
    await list();
    await fill(from, encoder, watched, signal);
  } catch (error) {
    failures.push(error);
  }
  // Whatever happened, what is committed is kept.
  const kept = await store.end().catch((error) => {
    failures.push(error);
    return store.extent();
  });
  await settle(name, kept);
  if (failures.length > 0) throw failures[0];
  const end = signal.aborted ? "Stopped" : `End of ${from.name}`;
  view.say(kept.steps > 0 ? `${end}: ${name}` : `${end}: nothing was recorded.`);
}

/** Frames into the store that was begun, until the input ends or is stopped. */
async function fill(from: Input, encoder: FrameEncoder, watched: Player, signal: AbortSignal): Promise<void> {
  if (from.live) signal.addEventListener("abort", from.close);
  if (signal.aborted) return;
  view.say(`Recording ${from.name}…`);
  await record(from, encoder, watched.codesPerStep, {
    signal,
    append: store.append,
    onCodes: (codes) => watched.live(codes),
    onProgress: ({ steps, bytes, ...progress }) => {
      watched.grow(steps);
      view.figures(watched, bytes, progress);
    },
  });
}

/** Shows what was recorded; a recording without a frame is not kept. */
async function settle(name: string, { steps, bytes }: Extent): Promise<void> {
  player?.end();
  if (steps === 0) {
    close();
    await removeRecording(name);
  } else if (player) {
    player.grow(steps);
    view.figures(player, bytes);
    player.point(player.frames - 1);
    timeline.fillStrip();
  }
  await list();
}

async function list(): Promise<void> {
  const state = opened === null ? null : { name: opened, growing: player?.growing ?? false };
  showRecordings(await listRecordings(), state, {
    open: (name) => act(async () => look(await recordingFile(name), name)),
    download: (name) => act(() => download(name)),
    remove: (name) => act(() => remove(name)),
  });
}

async function download(name: string): Promise<void> {
  const url = URL.createObjectURL(await recordingFile(name));
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

async function remove(name: string): Promise<void> {
  if (!confirm(`Delete ${name}? It cannot be brought back.`)) return;
  if (opened === name) close();
  await removeRecording(name);
  await list();
  view.say(`Deleted ${name}.`);
}

const isStore = (file: File): boolean => /\.kvc$/i.test(file.name);

view.listen({
  camera: () => act((signal) => choose(() => cameraInput(view.video, signal, view.say), signal)),
  file: (file) =>
    act((signal) => (isStore(file) ? look(file, null) : choose(() => fileInput(file, view.source), signal))),
  clip: () => act((signal) => choose(async () => fileInput(await bundledClip(signal), view.source), signal)),
  record: () => act(recordInput),
  stop: () => current.abort(),
});

async function bundledClip(signal: AbortSignal): Promise<File> {
  const answer = await fetch(new URL("motion.webm", document.baseURI), { signal });
  if (!answer.ok) throw new Error(`The clip is not here (HTTP ${answer.status}); choose a video.`);
  return new File([await answer.blob()], "motion.webm");
}

async function start(): Promise<void> {
  describeRates(USUAL_FPS);
  await list();
  const { adapter } = await theGpu();
  view.enable(adapter);
  view.say("Choose what to record, or open a recording.");
}

start().catch(view.complain);
