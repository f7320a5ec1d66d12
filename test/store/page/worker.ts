/** A dedicated worker that keeps a store in OPFS, as a recorder does. */
import { KinemaError } from "../../../src/core/fail.ts";
import { createStore, openStore, opfsFile, resumeStore } from "../../../src/store/index.ts";
import { codesTrack, described, madeCodes, sameCodes } from "../made.ts";

const track = codesTrack();
const codes = madeCodes(track, 60, 5);
const said = async (task: Promise<unknown>): Promise<string> =>
  task.then(
    () => "no error",
    (error: unknown) => (error instanceof KinemaError ? `${error.code}: ${error.message}` : `untyped: ${error}`),
  );

const tasks = {
  /** Records 41 steps, pauses, goes on to 60; reads all from the file that is being written. */
  async record() {
    const writer = await createStore(await opfsFile("films/a.kvc", { create: true }), described(track));
    await writer.append(codes.subarray(0, 41 * 15));
    await writer.close();
    const file = await opfsFile("films/a.kvc");
    const again = await resumeStore(file);
    const resumed = again.steps();
    await again.append(codes.subarray(41 * 15));
    await again.commit();
    const reader = await openStore(file);
    const same = sameCodes(await reader.read(0, 60), codes);
    const second = await said(opfsFile("films/a.kvc"));
    await again.close();
    const closed = await said(file.read(0, 1));
    const missing = await said(opfsFile("films/b.kvc"));
    return { resumed, same, second, closed, missing };
  },
  /** Cuts off the end as a crash does, and goes on. */
  async recover() {
    const file = await opfsFile("films/a.kvc");
    await file.truncate(file.size - 20);
    const writer = await resumeStore(file);
    const resumed = writer.steps();
    await writer.append(codes.subarray(resumed * 15));
    await writer.commit();
    const same = sameCodes(await (await openStore(file)).read(0, 60), codes);
    await writer.close();
    return { resumed, same };
  },
};

globalThis.onmessage = async ({ data }: MessageEvent<keyof typeof tasks>) => {
  try {
    globalThis.postMessage({ result: await tasks[data]() });
  } catch (error) {
    globalThis.postMessage({ error: String(error) });
  }
};
