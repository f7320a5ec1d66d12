import { codesTrackOf, rateOf } from "../compressor.ts";
import { fail } from "../core/fail.ts";
import { pageBundle, shippedCompressor } from "../host/bundle.ts";
import { launchBrowser } from "../host/chromium.ts";
import { fileSource } from "../host/file_source.ts";
import type { DecodedPieces, DecodingInfo, OpenDecodingArgs } from "../host/page/decode_store.ts";
import { openPage } from "../host/page.ts";
import { nodeStoreFile } from "../host/store_file.ts";
import { secondsOf } from "../store/description.ts";
import type { StoreFile } from "../store/index.ts";
import type { Command, CommandContext } from "./command.ts";
import { needingAll, openNoted } from "./lost.ts";
import { checkNew, replacement } from "./output.ts";
import { reported } from "./progress.ts";
import { RANGE_FLAGS, rangeOf } from "./time.ts";

/** `kinema decode IN.kvc OUT.webm`. */
export const decodeCommand: Command = {
  name: "decode",
  summary: "turn a store of codes back into a video",
  positionals: [
    { name: "IN", text: "a .kvc file" },
    { name: "OUT", text: "the .webm file to make; it must not be there yet" },
  ],
  flags: [
    ...RANGE_FLAGS,
    {
      name: "weights",
      value: "FILE",
      text: "the compressor that the store was written with (default: the one it names)",
    },
    { name: "json", text: "print one JSON object" },
  ],
  run: decode,
};

async function decode({ args, signal, progress, print, note }: CommandContext): Promise<void> {
  const [input, out] = [args.positional("IN"), args.positional("OUT")];
  const { from, to } = rangeOf(args);
  await checkNew(out, "OUT");
  const reader = await openNoted(await fileSource(input), note);
  const track = codesTrackOf(reader.description, input);
  const rate = rateOf(track) ?? "";
  const weights =
    args.text("weights") ??
    shippedCompressor(rate) ??
    fail("usage", `${input} was written by ${track.model}, which is not here; give its file with --weights`);
  const { part, finish, discard } = await replacement(out);
  const browser = await launchBrowser({ onFirst: note, signal });
  let file: StoreFile | null = null;
  try {
    const page = await openPage(browser, { bundle: pageBundle() });
    const call: OpenDecodingArgs = {
      storeUrl: page.file(input),
      storeName: input,
      weightsUrl: page.file(weights),
      weightsName: weights,
      from,
      ...(Number.isFinite(to) ? { to } : {}), // JSON has no infinity
    };
    const info = await page.call<DecodingInfo>("openDecoding", call, { signal, onProgress: reported(progress.update) });
    file = await nodeStoreFile(part, { create: "replace" });
    for (let done = false; !done; ) {
      const next = await needingAll(reader, input, "decode what is around it, with --from and --to", () =>
        page.call<DecodedPieces>("nextPieces", null, { signal }),
      );
      for (const { position, bytes } of next.pieces) await file.write(position, bytes);
      progress.update("decode", next.frames / info.frames);
      done = next.done;
    }
    await file.close();
    await finish();
    const { adapter, frames, width, height } = info;
    const seconds = secondsOf(reader.description, frames);
    const made = { file: out, width, height, frames, seconds, bytes: file.size, adapter };
    if (args.has("json")) print(`${JSON.stringify(made)}\n`);
    else print(`${out}: ${frames} frames of ${width} x ${height}; decoded on ${adapter}\n`);
  } finally {
    await file?.close();
    discard();
    await browser.close();
  }
}
