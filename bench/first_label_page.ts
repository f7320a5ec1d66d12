// The page of bench/first_label.ts: from nothing to the first label, with a clock between the stages.
import { Classifier, openGpu } from "../src/index.ts";
import { openCheckpoint } from "../src/weights/checkpoint.ts";
import { fromUrl } from "../src/weights/url_source.ts";
import { stopwatch } from "./stopwatch.ts";

export interface FirstLabel {
  readonly adapter: string;
  /** Milliseconds of each stage, in order. Packing and compiling overlap: `compile` is what is left of it after `pack`. */
  readonly ms: Readonly<Record<"device" | "header" | "pack" | "compile" | "first" | "second", number>>;
  readonly label: string;
}

export { serve } from "../src/host/page/rpc.ts";

export async function firstLabel(weightsUrl: string): Promise<FirstLabel> {
  const lap = stopwatch();
  using gpu = await openGpu();
  const device = lap();
  const checkpoint = await openCheckpoint(await fromUrl(weightsUrl));
  const header = lap();
  let pack = 0;
  using classifier = await Classifier.create(gpu, checkpoint, {
    frames: 1,
    onProgress: ({ phase, fraction }) => {
      if (phase === "upload" && fraction === 1) pack = lap();
    },
  });
  const compile = lap();
  const frame = { width: 640, height: 480, data: new Uint8Array(640 * 480 * 4).map((_, i) => (i * 7919) >> 5) };
  const logits = await classifier.push(frame);
  const first = lap();
  await classifier.push(frame);
  const second = lap();
  const [best] = classifier.rank(logits, 1);
  return { adapter: gpu.adapter, ms: { device, header, pack, compile, first, second }, label: best!.label };
}
