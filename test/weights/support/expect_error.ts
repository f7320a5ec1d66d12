import { expect } from "vitest";
import type { ErrorCode } from "../../../src/core/fail.ts";
import { KinemaError } from "../../../src/core/fail.ts";
import { fromBytes } from "../../../src/weights/byte_source.ts";
import type { Checkpoint } from "../../../src/weights/checkpoint.ts";
import { openCheckpoint } from "../../../src/weights/checkpoint.ts";

export const openBytes = (bytes: Uint8Array, name = "test.bin"): Promise<Checkpoint> =>
  openCheckpoint(fromBytes(bytes, name));

/** Expects a KinemaError of that code, on one line, whose message matches; returns it. */
export async function expectError(action: Promise<unknown>, code: ErrorCode, message: RegExp): Promise<KinemaError> {
  const error = await action.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error, "nothing was thrown").toBeInstanceOf(KinemaError);
  const kinema = error as KinemaError;
  expect(`${kinema.code}: ${kinema.message}`).toMatch(new RegExp(`^${code}: `));
  expect(kinema.message).toMatch(message);
  expect(kinema.message).not.toContain("\n");
  expect(kinema.message.length).toBeLessThan(1500);
  return kinema;
}
