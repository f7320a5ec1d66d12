// Runs in a browser: the small videos of classify.test.ts, as bytes.
import { makeAudioOnly, makeFrameless, makeVideo } from "../../video/page/make_video.ts";

export { serve } from "../../../src/host/page/rpc.ts";

const bytesOf = async (file: File) => new Uint8Array(await file.arrayBuffer());
const steady = (count: number) => Array.from({ length: count }, (_, k) => k / 25);

/** Bytes by file name. */
export async function makeFiles(): Promise<Record<string, Uint8Array>> {
  const size = { width: 97, height: 71 }; // odd on both axes
  const whole = await bytesOf(await makeVideo({ container: "mp4", ...size, timestamps: steady(20) }));
  const track = { rotation: 90, flip: true } as const;
  return {
    "three.webm": await bytesOf(await makeVideo({ container: "webm", ...size, timestamps: steady(3) })),
    "turned.mp4": await bytesOf(await makeVideo({ container: "mp4", ...size, timestamps: steady(40), track })),
    "cut.mp4": whole.slice(0, whole.length - 300),
    "sound.mkv": await bytesOf(await makeAudioOnly()),
    "frameless.mp4": await bytesOf(
      await makeFrameless({ codec: "vp09.00.10.08", codedWidth: 64, codedHeight: 64 }, "vp9"),
    ),
  };
}
