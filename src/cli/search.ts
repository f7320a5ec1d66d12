import { fail } from "../core/fail.ts";
import { fileSource } from "../host/file_source.ts";
import { findSimilar, type Similar } from "../moments.ts";
import type { Command } from "./command.ts";
import { openNoted } from "./lost.ts";
import { printable } from "./printable.ts";
import { percent } from "./spans.ts";
import { formatTime, parseTime } from "./time.ts";

const DEFAULT_TOP = 5;

/** `kinema search IN.kvc --like T`. */
export const searchCommand: Command = {
  name: "search",
  summary: "find the moments of a store of codes that look like one of its own",
  positionals: [{ name: "IN", text: "a .kvc file that kinema classify --index has seen" }],
  flags: [
    { name: "like", value: "TIME", text: "the moment, in seconds or h:m:s" },
    { name: "top", value: "N", allowed: "count", text: `moments to print, best first (default ${DEFAULT_TOP})` },
    { name: "json", text: "print one JSON object" },
  ],
  async run({ args, print, note }) {
    const input = args.positional("IN");
    const like = parseTime(
      args.text("like") ?? fail("usage", "like what? give --like TIME, a moment of the video"),
      "like",
    );
    const reader = await openNoted(await fileSource(input), note);
    const start = performance.now();
    const moments = await findSimilar(reader, like, args.number("top") ?? DEFAULT_TOP, input);
    const ms = performance.now() - start;
    print(args.has("json") ? `${JSON.stringify({ file: input, like, moments, ms })}\n` : asText(moments, like, input));
  },
};

function asText(moments: readonly Similar[], like: number, input: string): string {
  if (moments.length === 0)
    return `all of ${input} is within two seconds of ${formatTime(like)}; nothing else is there\n`;
  const rows = moments.map(
    ({ from, similarity, label, score }) =>
      `${formatTime(from).padStart(10)}  ${similarity.toFixed(3).padStart(10)}  ${percent(score)}  ${printable(label)}`,
  );
  return `${[`${"time".padStart(10)}  similarity  what`, ...rows].join("\n")}\n`;
}
