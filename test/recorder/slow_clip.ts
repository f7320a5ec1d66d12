import { readFileSync } from "node:fs";
import {
  BufferSource,
  BufferTarget,
  EncodedPacketSink,
  EncodedVideoPacketSource,
  Input,
  Output,
  WEBM,
  WebMOutputFormat,
} from "mediabunny";

/** The first frames of a WebM file, as they are, shown `slower` times as slowly: a chunk of a second has fewer of them. */
export async function slowClip(path: string, frames: number, slower: number): Promise<Uint8Array> {
  const input = new Input({ source: new BufferSource(readFileSync(path)), formats: [WEBM] });
  const track = (await input.getPrimaryVideoTrack())!;
  const target = new BufferTarget();
  const output = new Output({ format: new WebMOutputFormat(), target });
  const source = new EncodedVideoPacketSource((await track.getCodec())!);
  output.addVideoTrack(source);
  await output.start();
  const meta = { decoderConfig: (await track.getDecoderConfig())! };
  let left = frames;
  for await (const packet of new EncodedPacketSink(track).packets()) {
    if (left-- === 0) break;
    const [timestamp, duration] = [slower * packet.timestamp, slower * packet.duration];
    await source.add(packet.clone({ timestamp, duration }), meta);
  }
  await output.finalize();
  return new Uint8Array(target.buffer!);
}
