// Work on a device that may go: who is told what, and that nobody waits on after the work is done.
import { expect, it } from "vitest";
import { unlessLost } from "../src/gpu/lost.ts";

function device() {
  let lose!: (reason: Error) => void;
  const lost = new Promise<never>((_, reject) => {
    lose = reject;
  });
  lost.catch(() => {});
  return { lost, lose };
}

it("gives what the work gives, or its rejection", async () => {
  const { lost } = device();
  expect(await unlessLost(lost, Promise.resolve(3))).toBe(3);
  await expect(unlessLost(lost, Promise.reject(new Error("no")))).rejects.toThrow("no");
});

it("rejects everything that waits when the device goes, and all that comes after", async () => {
  const { lost, lose } = device();
  const never = new Promise(() => {});
  const waiting = [1, 2].map(() => unlessLost(lost, never));
  lose(new Error("gone"));
  for (const one of waiting) await expect(one).rejects.toThrow("gone");
  await expect(unlessLost(lost, never)).rejects.toThrow("gone");
  await expect(unlessLost(lost, Promise.reject(new Error("map")))).rejects.toThrow();
});

it("rejects if the device went before anybody asked", async () => {
  const { lost, lose } = device();
  lose(new Error("gone"));
  await expect(unlessLost(lost, Promise.resolve())).rejects.toThrow("gone");
});
