import { stat } from "node:fs/promises";
import { fail } from "../core/fail.ts";
import { fileSource } from "../host/file_source.ts";
import { withoutMomentTracks } from "../moments.ts";
import { cutRange, cutStore } from "../store/cut.ts";
import { secondsOf } from "../store/description.ts";
import type { Command } from "./command.ts";
import { needingAll, openNoted } from "./lost.ts";
import { newStore } from "./new_store.ts";
import { formatTime, RANGE_FLAGS, rangeOf } from "./time.ts";

/** `kinema cut IN.kvc OUT.kvc [--from T] [--to T]`. */
export const cutCommand: Command = {
  name: "cut",
  summary: "copy a part of a store of codes, without decoding it",
  positionals: [
    { name: "IN", text: "a .kvc file" },
    { name: "OUT", text: "the file to make; it must not be there yet" },
  ],
  flags: [...RANGE_FLAGS, { name: "json", text: "print one JSON object" }],
  async run({ args, signal, progress, print, note }) {
    const { from, to } = rangeOf(args);
    const [input, out] = [args.positional("IN"), args.positional("OUT")];
    const reader = await openNoted(await fileSource(input), note);
    const range = cutRange(reader, from, to);
    // A second of the cut begins elsewhere in the film, and is another.
    const kept = withoutMomentTracks(reader.description);
    const description = range.first > 0 ? { ...kept, sourceHash: null } : kept;
    const at = (frame: number) => secondsOf(description, frame);
    if (range.end === range.first)
      fail(
        "bad-input",
        `${input} has nothing from ${formatTime(from)} on; it ends at ${formatTime(at(reader.frames))}`,
      );
    const onProgress = (share: number) => {
      signal.throwIfAborted();
      progress.update("cut", share);
    };
    await needingAll(reader, input, "cut around it with --from and --to", () =>
      newStore(out, description, (writer) => cutStore(reader, writer, range, onProgress, description.tracks)),
    );
    const part = { from: at(range.first), to: at(range.end) };
    const frames = range.end - range.first;
    const made = { file: out, input, ...part, frames, seconds: at(frames), bytes: (await stat(out)).size };
    if (args.has("json")) print(`${JSON.stringify(made)}\n`);
    else note(`${out}: ${formatTime(part.from)} to ${formatTime(part.to)} of ${input}`);
    if (description.tracks.length < reader.description.tracks.length)
      note(`${out} has no embeddings; make them anew: kinema classify ${out} --index`);
  },
};
