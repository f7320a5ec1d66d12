import { fail } from "../core/fail.ts";
import { pageBundle } from "../host/bundle.ts";
import { launchBrowser } from "../host/chromium.ts";
import { fileSource } from "../host/file_source.ts";
import type { ProfileArgs } from "../host/page/profile.ts";
import { openPage } from "../host/page.ts";
import { MODEL_NAMES } from "../models/index.ts";
import { type ProfileReport, profileModel } from "../profile.ts";
import { openCheckpoint } from "../weights/checkpoint.ts";
import { type Arguments, type Command, type CommandContext, DTYPE, dtypeOf, ON } from "./command.ts";
import { onDawn } from "./dawn.ts";
import { modelNamed } from "./execute.ts";
import { profileTable } from "./profile_table.ts";

type Settings = Omit<ProfileArgs, "weights">;

/** `kinema profile [MODEL] [--weights F]`. */
export const profileCommand: Command = {
  name: "profile",
  summary: "say where a model's time goes, step by step, and how near that is to what the adapter can do",
  positionals: [{ name: "MODEL", optional: true, text: `${MODEL_NAMES.join(", ")}; random weights without --weights` }],
  flags: [
    { name: "weights", value: "FILE", text: "a .safetensors, .pth, .pth.tar or .pt file" },
    ON,
    {
      name: "frames",
      value: "T",
      allowed: "count",
      text: "frames in the clip (default: the checkpoint's or the model's)",
    },
    { name: "height", value: "H", allowed: "count", text: "of the frames, in pixels (default 224)" },
    { name: "width", value: "W", allowed: "count", text: "of the frames, in pixels (default 224)" },
    DTYPE,
    { name: "runs", value: "N", allowed: "count", text: "measured runs, of which the median is taken (default 5)" },
    { name: "json", text: "print one JSON object" },
  ],
  async run({ args, signal, progress, print, note }) {
    const settings = settingsOf(args);
    const weights = args.text("weights");
    if (weights === undefined && settings.model === undefined)
      fail("usage", `nothing to profile; name a model (${MODEL_NAMES.join(", ")}) or give --weights FILE`);
    const onProgress = (fraction: number) => progress.update("profile", fraction);
    const run = args.text("on") === "chromium" ? inChromium : inNode;
    const report = await run(settings, weights, { signal, note, onProgress });
    print(args.has("json") ? `${JSON.stringify(report)}\n` : profileTable(report));
  },
};

function settingsOf(args: Arguments): Settings {
  const model = args.optional("MODEL");
  const count = <Name extends string>(name: Name) => {
    const value = args.number(name);
    return (value === undefined ? {} : { [name]: value }) as { readonly [K in Name]?: number };
  };
  return {
    ...(model === undefined ? {} : { model: modelNamed(model) }),
    ...count("frames"),
    ...count("height"),
    ...count("width"),
    ...count("runs"),
    dtype: dtypeOf(args),
  };
}

type Context = Pick<CommandContext, "signal" | "note"> & { readonly onProgress: (fraction: number) => void };

async function inNode(settings: Settings, weights: string | undefined, context: Context): Promise<ProfileReport> {
  // The file is read first: what is wrong with it is said before a driver is looked for.
  const checkpoint = weights === undefined ? null : await openCheckpoint(await fileSource(weights));
  return onDawn(context.note, async (gpu, adapter) => ({
    ...(await profileModel(gpu, checkpoint, { ...settings, ...context })),
    adapter,
  }));
}

async function inChromium(settings: Settings, weights: string | undefined, context: Context): Promise<ProfileReport> {
  if (weights !== undefined) await openCheckpoint(await fileSource(weights));
  const { signal } = context;
  const browser = await launchBrowser({ signal });
  try {
    const page = await openPage(browser, { bundle: pageBundle() });
    const file = weights === undefined ? {} : { weights: { url: page.file(weights), name: weights } };
    const onProgress = (value: unknown) => context.onProgress((value as { fraction: number }).fraction);
    return await page.call<ProfileReport>("profile", { ...settings, ...file }, { signal, onProgress });
  } finally {
    await browser.close();
  }
}
