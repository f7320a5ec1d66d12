import type { Size } from "./geometry.ts";

/** Pixels of a frame in main memory: RGBA [height, width, 4], as stored. */
export interface RgbaFrame extends Size {
  readonly data: Uint8Array<ArrayBuffer>;
}

/**
 * Reads a frame's pixels: what `kernels/frame_reference.wgsl` takes, through `queue.writeTexture`.
 *
 * The browser's own conversion repeats each chroma sample, as ffmpeg and OpenCV do: their pixels are a level or two
 * away, where `copyExternalImageToTexture` smooths chroma and is up to 70 away. On a software adapter it is also a
 * hundred times faster.
 */
export async function readRgba(frame: VideoFrame): Promise<RgbaFrame> {
  const { width, height } = frame.visibleRect!;
  const options = { format: "RGBA" } as const;
  const bytes = new Uint8Array(frame.allocationSize(options));
  const [layout] = await frame.copyTo(bytes, options);
  if (layout!.stride === width * 4 && layout!.offset === 0) return { data: bytes, width, height };
  const data = new Uint8Array(width * height * 4);
  for (let y = 0; y < height; y++) {
    const from = layout!.offset + y * layout!.stride;
    data.set(bytes.subarray(from, from + width * 4), y * width * 4);
  }
  return { data, width, height };
}
