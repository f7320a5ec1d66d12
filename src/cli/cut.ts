import { fail } from "../core/fail.ts";
import { fileSource } from "../host/file_source.ts";
import { withoutMomentTracks } from "../moments.ts";
import { cutRange, cutStore } from "../store/cut.ts";
import { openStore } from "../store/index.ts";
import type { Command } from "./command.ts";
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
  flags: RANGE_FLAGS,
  async run({ args, signal, progress, note }) {
    const { from, to } = rangeOf(args);
    const reader = await openStore(await fileSource(args.positional("IN")));
    const range = cutRange(reader, from, to);
    // A second of the cut begins elsewhere in the film, and is another.
    const description = withoutMomentTracks(reader.description);
    const { fps } = description;
    const at = (frame: number) => formatTime((frame * fps[1]) / fps[0]);
    if (range.end === range.first)
      fail("bad-input", `${args.positional("IN")} has nothing from ${formatTime(from)} on`);
    const out = args.positional("OUT");
    const onProgress = (share: number) => {
      signal.throwIfAborted();
      progress.update("cut", share);
    };
    await newStore(out, description, (writer) => cutStore(reader, writer, range, onProgress, description.tracks));
    note(`${out}: ${at(range.first)} to ${at(range.end)} of ${args.positional("IN")}`);
    if (description.tracks.length < reader.description.tracks.length)
      note(`${out} has no embeddings; make them anew: kinema classify ${out} --index`);
  },
};
