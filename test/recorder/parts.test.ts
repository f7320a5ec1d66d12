// What the recorder's page is made of, without a browser: places of a camera's frames, live codes, turns, figures.
import { describe, expect, it } from "vitest";
import type { TimedFrame } from "../../bench/demo/source.ts";
import { bytesText } from "../../bench/recorder/figures.ts";
import { newName } from "../../bench/recorder/folder.ts";
import { encodeLive } from "../../bench/recorder/live.ts";
import { RateMeter } from "../../bench/recorder/rate_meter.ts";
import { remote } from "../../bench/recorder/remote.ts";
import { Slots } from "../../bench/recorder/slots.ts";
import { Turns } from "../../bench/recorder/turns.ts";
import type { FrameEncoder } from "../../src/compressor.ts";
import type { Pixels } from "../../src/video/ingest.ts";

describe("places of a camera's frames", () => {
  const missed = (fps: number, times: readonly number[]) => {
    const slots = new Slots(fps);
    return times.map((time) => slots.take(time));
  };

  it("a steady camera fills every one, a trembling one too", () => {
    const steady = Array.from({ length: 200 }, (_, i) => 1000 + i / 30);
    expect(missed(30, steady)).toEqual(steady.map(() => 0));
    const trembling = steady.map((time, i) => time + (i > 0 ? 0.6 * Math.sin(7 * i) : 0) / 30);
    expect(missed(30, trembling)).toEqual(steady.map(() => 0));
  });

  it("counts those that stay empty, and the sum of all is the time that passed", () => {
    expect(missed(10, [5, 5.1, 5.5, 5.6, 7.6])).toEqual([0, 0, 3, 0, 19]);
    const times = Array.from({ length: 50 }, (_, i) => 3 + i * 0.37);
    const counts = missed(30, times);
    const places = counts.reduce<number>((sum, count) => sum + (count ?? -1) + 1, 0);
    expect(Math.abs(places - (1 + 30 * (times.at(-1)! - 3)))).toBeLessThanOrEqual(1);
  });

  it("passes over what comes too often, and goes on when the camera counts anew", () => {
    const twice = Array.from({ length: 60 }, (_, i) => i / 60);
    expect(missed(30, twice).filter((count) => count !== null).length).toBeLessThanOrEqual(31);
    expect(missed(10, [5, 5, 5.1, 0.2, 0.3])).toEqual([0, null, 0, 0, 0]);
  });
});

/** Frames of one pixel whose red says which it is. */
const frameOf = (red: number, time: number): TimedFrame => {
  const copyTo = async (bytes: Uint8Array) => {
    bytes.set([red, 0, 0, 255]);
    return [{ offset: 0, stride: 4 }];
  };
  const frame = {
    visibleRect: { width: 1, height: 1 },
    allocationSize: () => 4,
    copyTo,
    close: () => open.delete(red),
  };
  open.add(red);
  return { frame: frame as never, time };
};
const open = new Set<number>();

/** An encoder of one step a run whose codes are the frames it was given. */
function fakeEncoder(time: number) {
  const run: number[] = [];
  let runs = 0;
  const push = async ({ data }: Pixels) => {
    run.push(data[0]!);
    if (run.length < time) return null;
    runs++;
    return Uint8Array.from(run.splice(0));
  };
  const flush = async (last: Pixels) => {
    if (run.length === 0) return null;
    while (run.length < time - 1) await push(last);
    return push(last);
  };
  return { encoder: { shape: { time }, push, flush } as unknown as FrameEncoder, runs: () => runs };
}

describe("live codes", () => {
  /** Frames shown at each place of a recording of 10 a second. */
  async function record(time: number, times: readonly number[], signal = new AbortController().signal) {
    const frames = times.map((at, i) => ({ red: i + 1, at }));
    const { encoder, runs } = fakeEncoder(time);
    const next = async () => {
      const frame = frames.shift();
      return frame ? frameOf(frame.red, frame.at) : null;
    };
    let dropped = 0;
    const shown: number[] = [];
    const onFrame = (_: VideoFrame, missed: number) => {
      dropped += missed;
    };
    for await (const codes of encodeLive(next, encoder, { fps: 10, signal, onFrame })) shown.push(...codes);
    expect([...open]).toEqual([]);
    return { shown, dropped, runs: runs() };
  }

  it("every frame shows at its time; the one before stands where some were missed", async () => {
    const times = [0, 0.1, 0.2, 0.6, 0.7, 0.8];
    expect(await record(1, times)).toEqual({ shown: [1, 2, 3, 3, 3, 3, 4, 5, 6], dropped: 3, runs: 6 });
    // A step of two frames: whole steps are repeated and cost nothing, and the last one is filled up.
    expect(await record(2, times)).toEqual({ shown: [1, 2, 3, 3, 3, 3, 4, 5, 6, 6], dropped: 3, runs: 4 });
  });

  it("a long gap costs no run of the network", async () => {
    const { shown, dropped, runs } = await record(2, [0, 0.1, 1000]);
    expect([shown.length, dropped, runs]).toEqual([10_002, 9998, 2]);
    expect(new Set(shown.slice(2, 10_000))).toEqual(new Set([1, 2]));
  });

  it("leaves no frame open where one cannot be read or its listener throws", async () => {
    const { encoder } = fakeEncoder(1);
    const { signal } = new AbortController();
    const unreadable = frameOf(1, 0);
    Object.assign(unreadable.frame, { copyTo: () => Promise.reject(new Error("gone")) });
    const codes = encodeLive(async () => unreadable, encoder, { fps: 10, signal, onFrame: () => {} });
    await expect(codes.next()).rejects.toThrow("gone");
    expect([...open]).toEqual([]);
    const onFrame = () => {
      throw new Error("listener");
    };
    await expect(encodeLive(async () => frameOf(2, 0), encoder, { fps: 10, signal, onFrame }).next()).rejects.toThrow(
      "listener",
    );
    expect([...open]).toEqual([]);
  });

  it("stops at once, with what it has", async () => {
    const controller = new AbortController();
    controller.abort();
    expect(await record(2, [0, 0.1], controller.signal)).toEqual({ shown: [], dropped: 0, runs: 0 });
  });
});

describe("a worker's functions", () => {
  it("fail once it has failed, those that wait and those that come", async () => {
    const worker = { postMessage: () => {} } as unknown as Worker;
    const functions = remote<{ steps(): number }>(worker);
    const waiting = functions.steps();
    worker.onerror!({ message: "not found" } as ErrorEvent);
    await expect(waiting).rejects.toThrow("the store's worker failed: not found");
    await expect(functions.steps()).rejects.toThrow("the store's worker failed: not found");
  });
});

describe("turns", () => {
  it("of those asked for meanwhile the newest is done, and each asker is told", async () => {
    const turns = new Turns();
    const done: string[] = [];
    const job = (name: string) => async () => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      done.push(name);
    };
    const first = turns.ask(1, job("first"));
    const rest = Array.from({ length: 100 }, (_, i) => turns.ask(1, job(`${i}`)));
    const urgent = turns.ask(0, job("urgent"));
    expect(await Promise.all([first, urgent, ...rest])).toEqual([true, true, ...rest.map((_, i) => i === 99)]);
    expect(done).toEqual(["first", "urgent", "99"]);
  });

  it("goes on after a job that failed, and tells those that are dropped", async () => {
    const turns = new Turns();
    const failing = turns.ask(0, () => Promise.reject(new Error("damaged")));
    const next = turns.ask(0, async () => {});
    await expect(failing).rejects.toThrow("damaged");
    expect(await next).toBe(true);
    const running = turns.ask(0, async () => {});
    const waiting = turns.ask(0, async () => {});
    turns.clear();
    expect(await Promise.all([running, waiting])).toEqual([true, false]);
  });
});

describe("figures", () => {
  it("a rate over the last seconds, even where values come seldom", () => {
    const meter = new RateMeter();
    expect(meter.add(0, 0)).toBe(0);
    expect(meter.add(10, 1000)).toBe(10);
    for (let second = 2; second < 20; second++) meter.add(10 * second, 1000 * second);
    expect(meter.add(190 + 15, 20_000)).toBeCloseTo((205 - 170) / 3, 9);
    expect(meter.add(206, 30_000)).toBe(0.1);
  });

  it("bytes and names", () => {
    expect([0, 999, 1000, 25_600, 999_999, 1.5e9].map(bytesText)).toEqual([
      "0 B",
      "999 B",
      "1.00 kB",
      "25.6 kB",
      "1.00 MB",
      "1.50 GB",
    ]);
    const time = new Date(2026, 0, 31, 23, 5, 9);
    const named = (...taken: string[]) => newName("my clip/../ü (1).webm", "192", new Set(taken), time);
    const [first, second, third] = ["", "-2", "-3"].map((end) => `my-clip-ü-1-192-20260131-230509${end}.kvc`);
    expect([named(), named("another.kvc"), named(second!)]).toEqual([first, first, first]);
    expect([named(first!), named(first!, second!), named(first!, third!)]).toEqual([second, third, second]);
  });
});
