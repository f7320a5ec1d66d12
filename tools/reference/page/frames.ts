// Runs in a browser: the pixels of a video's frames.
import { serve } from "../../../src/host/page/rpc.ts";
import { openVideo } from "../../../src/video/decode.ts";
import { type RgbaFrame, readRgba } from "../../../src/video/rgba.ts";

export { serve };

/** RGBA of the frames with those indices, in increasing order. */
export async function frames({ url, indices }: { url: string; indices: readonly number[] }): Promise<RgbaFrame[]> {
  using video = await openVideo(url);
  const found: RgbaFrame[] = [];
  for await (const { frame } of video.frames(indices)) found.push(await readRgba(frame));
  return found;
}
