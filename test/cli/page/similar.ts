// Runs in a browser: how near a decoded video is to what was compressed.
import { openVideo } from "../../../src/video/decode.ts";
import { readRgba } from "../../../src/video/rgba.ts";

export { serve } from "../../../src/host/page/rpc.ts";

export interface Similar {
  readonly frames: number;
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  /** PSNR of each frame over 8-bit RGB, against the centre square of the frame of the original `first` frames later. */
  readonly psnr: readonly number[];
}

export async function similar(args: { original: string; decoded: string; first: number }): Promise<Similar> {
  using original = await openVideo(args.original);
  using decoded = await openVideo(args.decoded);
  const { width, height, fps, frameCount } = decoded;
  const squares: Uint8ClampedArray[] = [];
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.imageSmoothingQuality = "high";
  for await (const { frame } of original.frames(Array.from({ length: frameCount }, (_, i) => args.first + i))) {
    const side = Math.min(frame.displayWidth, frame.displayHeight);
    const [x, y] = [(frame.displayWidth - side) / 2, (frame.displayHeight - side) / 2];
    context.drawImage(frame, x, y, side, side, 0, 0, width, height);
    squares.push(context.getImageData(0, 0, width, height).data);
  }
  const psnr: number[] = [];
  for await (const { index, frame } of decoded.all()) {
    const { data } = await readRgba(frame);
    const want = squares[index]!;
    let sum = 0;
    for (let i = 0; i < data.length; i++) if (i % 4 !== 3) sum += (data[i]! - want[i]!) ** 2;
    psnr.push(10 * Math.log10(255 ** 2 / (sum / (width * height * 3))));
  }
  return { frames: frameCount, width, height, fps, psnr };
}
