import { stat } from "node:fs/promises";
import { Augmenter, augmenterOf } from "../augmenter.ts";
import { codesTrackOf, rateOf, trackOfWeights } from "../compressor.ts";
import { fail } from "../core/fail.ts";
import { shippedAugmenter, shippedCompressor } from "../host/bundle.ts";
import { fileSource } from "../host/file_source.ts";
import { preparing } from "../host/page/report.ts";
import { transformOf } from "../latent_transform.ts";
import { framesPerStep, secondsOf } from "../store/description.ts";
import { openCheckpoint } from "../weights/checkpoint.ts";
import type { Command, CommandContext } from "./command.ts";
import { onDawn } from "./dawn.ts";
import { needingAll, openNoted } from "./lost.ts";
import { newStore } from "./new_store.ts";
import { printable } from "./printable.ts";
import { formatTime } from "./time.ts";

/** Steps that are read and written at a time: an even number, as the network sees two together. */
const STEPS = 16;
const AROUND = "cut what is around it into stores of its own: kinema cut, with --from and --to";
const CHANGES = ["flip", "rotate", "crop", "brightness", "saturation"] as const;

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
    { name: "rotate", value: "DEGREES", allowed: "number", text: "anticlockwise: within 20 degrees of a quarter turn" },
    { name: "crop", value: "SHARE", allowed: "number", text: "keep so much of each side, about the centre: 0.5 to 1" },
    { name: "brightness", value: "B", allowed: "number", text: "add it to colours from 0 to 1: -0.2 to 0.2" },
    { name: "saturation", value: "S", allowed: "number", text: "0.35 to 1.5 times as colourful" },
    { name: "weights", value: "FILE", text: "the augmentation network (default: the one for the store's compressor)" },
    {
      name: "compressor",
      value: "FILE",
      text: "the compressor that the store was written with (default: the one it names)",
    },
    { name: "json", text: "print one JSON object" },
  ],
  run: augment,
};

async function augment({ args, signal, progress, print, note }: CommandContext): Promise<void> {
  const [input, out] = [args.positional("IN"), args.positional("OUT")];
  if (!CHANGES.some((name) => args.has(name)))
    fail("usage", "nothing to change; give --flip, --rotate, --crop, --brightness or --saturation");
  const transform = transformOf({
    flip: args.has("flip"),
    rotate: args.number("rotate"),
    crop: args.number("crop"),
    brightness: args.number("brightness"),
    saturation: args.number("saturation"),
  });
  const reader = await openNoted(await fileSource(input), note);
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
  const description = { ...reader.description, sourceHash: null, tracks: [track] };
  const adapter = await newStore(out, description, (writer) =>
    onDawn(note, async (gpu, adapter) => {
      const options = { signal, onProgress: preparing(progress.update) };
      using augmenter = await Augmenter.create(gpu, weights, compressor, options);
      for (let step = 0; step < steps; step += STEPS) {
        const codes = await needingAll(reader, input, AROUND, () =>
          reader.read(step, Math.min(steps, step + STEPS), track.name),
        );
        await writer.append(await augmenter.augment(codes, track.grid, transform, { signal }), track.name);
        progress.update("augment", Math.min(steps, step + STEPS) / steps);
      }
      return adapter;
    }),
  );
  const frames = steps * framesPerStep(track);
  const seconds = secondsOf(description, frames);
  const made = { file: out, input, steps, frames, seconds, bytes: (await stat(out)).size, adapter };
  if (args.has("json")) print(`${JSON.stringify(made)}\n`);
  else print(`${out}: ${formatTime(seconds)} of ${input}, changed; on ${adapter}\n`);
}
