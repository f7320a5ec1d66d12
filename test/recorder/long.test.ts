// The recorder's page in real time and for longer: a camera, and what a recording keeps in memory. KINEMA_LONG=1 npx vitest run test/recorder
import { resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openStore } from "../../src/store/index.ts";
import { fromBytes } from "../../src/weights/byte_source.ts";
import { RecorderPage } from "./recorder_page.ts";

const CAMERA = ["--use-fake-device-for-media-stream=fps=20", "--use-fake-ui-for-media-stream"];

describe.skipIf(!process.env.KINEMA_LONG)("the recorder, at length", () => {
  let recorder: RecorderPage;
  beforeAll(async () => {
    recorder = await RecorderPage.start({ flags: CAMERA });
    await recorder.open();
    await recorder.message("Choose what to record");
  }, 120_000);
  afterAll(() => recorder?.close());

  const value = (id: string) => recorder.text(id).then(Number);
  const seconds = async () => {
    const [hours, minutes, rest] = (await recorder.text("length")).split(":").map(Number);
    return (hours! * 60 + minutes!) * 60 + rest!;
  };

  it("a camera's recording is as long as the time that passed, whatever was dropped", {
    timeout: 120_000,
  }, async () => {
    await recorder.press("camera");
    await recorder.message("Ready to record camera");
    await recorder.press("record");
    await recorder.frames(20);
    const [began, before] = [performance.now(), await seconds()];
    await new Promise((done) => setTimeout(done, 15_000));
    const [passed, recorded] = [(performance.now() - began) / 1000, (await seconds()) - before];
    // A step that is under way is not counted yet, and takes seconds on a busy machine. Without its places a camera's time would run
    // as slowly as the encoder.
    expect(Math.abs(recorded - passed)).toBeLessThan(passed / 2);
    const [dropped, fps] = [await value("dropped"), await value("fps")];
    expect(fps).toBeGreaterThan(0);
    expect(fps).toBeLessThan(20);
    await recorder.press("stop");
    await recorder.message("Stopped");
    expect(await recorder.page.$eval("#video", (video) => (video as HTMLVideoElement).srcObject)).toBe(null);
    const [name] = await recorder.recordings();
    const reader = await openStore(fromBytes(await recorder.downloaded(name!), name!));
    expect(reader.description.fps).toEqual([20, 1]);
    expect(2 * reader.steps()).toBeGreaterThan(dropped);
    expect((2 * reader.steps()) / 20).toBeGreaterThan(8);
  });

  it("every frame of a file is there, and the heap is no larger at the end", { timeout: 600_000 }, async () => {
    const client = await recorder.page.createCDPSession();
    const heap = async () => {
      await client.send("HeapProfiler.collectGarbage");
      const { metrics } = await client.send("Performance.getMetrics");
      return metrics.find(({ name }) => name === "JSHeapUsedSize")!.value;
    };
    await client.send("Performance.enable");
    await recorder.choose("file", resolve("bench/assets/motion.webm"));
    await recorder.message("Ready");
    await recorder.rate("384");
    await recorder.press("record");
    await recorder.frames(52);
    const early = await heap();
    await recorder.frames(376, 400_000);
    expect((await heap()) - early).toBeLessThan(1e6);
    await recorder.message("End of motion.webm");
    expect(await recorder.text("length")).toBe("0:00:16.00");
    expect(await value("dropped")).toBe(0);
  });
});
