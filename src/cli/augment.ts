import { rm } from "node:fs/promises";
import { Augmenter, augmenterOf } from "../augmenter.ts";
import { codesTrackOf, rateOf, trackOfWeights } from "../compressor.ts";
import { fail } from "../core/fail.ts";
import { openGpu } from "../gpu/device.ts";
import { shippedAugmenter, shippedCompressor } from "../host/bundle.ts";
import { openDawn } from "../host/dawn.ts";
import { fileSource } from "../host/file_source.ts";
import { preparing } from "../host/page/report.ts";
import { nodeStoreFile } from "../host/store_file.ts";
import { readTuning } from "../host/tuning.ts";
import { transformOf } from "../latent_transform.ts";
import { framesPerStep } from "../store/description.ts";
import { createStore, openStore } from "../store/index.ts";
import { withTuning } from "../tune.ts";
import { openCheckpoint } from "../weights/checkpoint.ts";
import type { Arguments, Command, CommandContext } from "./command.ts";
import { printable } from "./printable.ts";
import { formatTime } from "./time.ts";

/** Steps that are read and written at a time: an even number, as the network sees two together. */
const STEPS = 16;
const CHANGES = ["flip", "rotate", "crop", "brightness", "saturation"] as const;
/** Chunks that are committed together: a crash costs nothing that the source does not have. */
const CHUNKS_PER_COMMIT = 64;

/** `kinema augment IN.kvc OUT.kvc`. */
export const augmentCommand: Command = {
  name: "augment",
  summary: "flip, turn, cut or recolour the video of a store, in its codes",
  positionals: [
    { name: "IN", text: "a .kvc file" },
    { name: "OUT", text: "the file to make; it must not be there yet" },
  ],
  flags: [
    { name: "flip", text: "mirror left and right" },
    { name: "rotate", value: "DEGREES", text: "anticlockwise: within 20 degrees of a quarter turn" },
    { name: "crop", value: "SHARE", text: "keep so much of each side, about the centre: 0.5 to 1" },
    { name: "brightness", value: "B", text: "add it to colours from 0 to 1: -0.2 to 0.2" },
    { name: "saturation", value: "S", text: "0.35 to 1.5 times as colourful" },
    { name: "weights", value: "FILE", text: "the augmentation network (default: the one for the store's compressor)" },
    {
      name: "compressor",
      value: "FILE",
      text: "the compressor that the store was written with (default: the one it names)",
    },
  ],
  run: augment,
};

async function augment({ args, signal, progress, print, note }: CommandContext): Promise<void> {
  const [input, out] = [args.positional("IN"), args.positional("OUT")];
  const number = (name: string) => numberOf(args, name);
  if (!CHANGES.some((name) => args.has(name)))
    fail("usage", "nothing to change; give --flip, --rotate, --crop, --brightness or --saturation");
  const transform = transformOf({
    flip: args.has("flip"),
    ...number("rotate"),
    ...number("crop"),
    ...number("brightness"),
    ...number("saturation"),
  });
  const reader = await openStore(await fileSource(input));
  const track = codesTrackOf(reader.description, input);
  const rate = rateOf(track) ?? "";
  const file = (flag: string, shipped: string | null, what: string) =>
    args.text(flag) ??
    shipped ??
    fail(
      "usage",
      `${input} holds codes of ${printable(track.model)}, for which no ${what} is here; give one with --${flag} FILE`,
    );
  const weights = await openCheckpoint(
    await fileSource(file("weights", shippedAugmenter(rate), "augmentation network")),
  );
  const compressor = await openCheckpoint(await fileSource(file("compressor", shippedCompressor(rate), "compressor")));
  // Said before a driver is looked for.
  augmenterOf(weights);
  await trackOfWeights(reader.description, compressor, input);
  const steps = reader.steps(track.name);
  if (steps === 0) fail("bad-input", `${input} has no whole step of codes; there is nothing to change`);
  const target = await nodeStoreFile(out, { create: "new" });
  let dawn: Awaited<ReturnType<typeof openDawn>> | null = null;
  try {
    dawn = await openDawn();
    const opened = await openGpu({ gpu: dawn.gpu });
    using gpu = withTuning(opened, readTuning(opened.identity, note));
    using augmenter = await Augmenter.create(gpu, weights, compressor, {
      signal,
      onProgress: preparing(progress.update),
    });
    const writer = await createStore(
      target,
      { ...reader.description, tracks: [track] },
      { chunksPerCommit: CHUNKS_PER_COMMIT },
    );
    for (let step = 0; step < steps; step += STEPS) {
      signal.throwIfAborted();
      const codes = await reader.read(step, Math.min(steps, step + STEPS), track.name);
      await writer.append(await augmenter.augment(codes, track.grid, transform), track.name);
      progress.update("augment", Math.min(steps, step + STEPS) / steps);
    }
    await writer.close();
    const seconds = (steps * framesPerStep(track) * reader.description.fps[1]) / reader.description.fps[0];
    print(`${out}: ${formatTime(seconds)} of ${input}, changed; on ${dawn.adapterDescription}\n`);
  } catch (error) {
    await target.close();
    await rm(out, { force: true });
    throw error;
  } finally {
    dawn?.close();
  }
}

/** `{ name: value }` of a flag that takes a number, or nothing where it is absent. */
function numberOf<Name extends string>(args: Arguments, name: Name): { readonly [N in Name]?: number } {
  const text = args.text(name);
  if (text === undefined) return {};
  const value = Number(text);
  if (!/^[+-]?\d{0,6}(\.\d{1,9})?$/.test(text) || !Number.isFinite(value) || !/\d/.test(text))
    fail("usage", `--${name} ${text} is no number`);
  return { [name]: value } as { readonly [N in Name]?: number };
}
