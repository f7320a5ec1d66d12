/** Drives the pickle machine over a byte source that is read in growing chunks. */
import { fail } from "../core/fail.ts";
import type { ByteSource } from "./byte_source.ts";
import { readExactly } from "./byte_source.ts";
import type { Builder, OpcodeBudget } from "./pickle_machine.ts";
import { MAX_PICKLE_BYTES, PickleMachine } from "./pickle_machine.ts";
import { OPCODES } from "./pickle_opcodes.ts";
import type { PickleValue } from "./pickle_values.ts";
import { timeSlice } from "./time_slice.ts";

const FIRST_CHUNK = 1 << 16;
const STEPS_PER_SLICE = 5_000;

/** The start of a source, grown by doubling: reading n bytes costs at most 4 n. */
export class HeadBuffer {
  readonly source: ByteSource;
  bytes: Uint8Array = new Uint8Array(0);
  constructor(source: ByteSource) {
    this.source = source;
  }

  /** Makes at least `end` bytes available. Throws "truncated" beyond the end of the file, "bad-file" beyond 64 MiB. */
  async grow(end: number): Promise<void> {
    const { source, bytes } = this;
    if (end > source.size) {
      fail(
        "truncated",
        `${source.name}: the file ends at byte ${source.size}, inside the pickle that lists its tensors; download it again`,
        { size: source.size },
      );
    }
    if (end > MAX_PICKLE_BYTES)
      fail("bad-file", `${source.name}: the pickles are longer than ${MAX_PICKLE_BYTES} bytes`);
    const want = Math.min(Math.max(end, 2 * bytes.byteLength, FIRST_CHUNK), source.size, MAX_PICKLE_BYTES);
    this.bytes = await readExactly(source, 0, want, "the pickle"); // again from 0: no second copy in memory
  }
}

/**
 * Reads one pickle that starts at `start`. Nothing in it is executed. Throws "unsupported-pickle" (a global outside the
 * closed table), "unsupported", "bad-file" or "truncated".
 * @returns the value and the position after its STOP
 */
export async function unpickle(
  head: HeadBuffer,
  start: number,
  budget: OpcodeBudget,
  builder: Builder,
): Promise<{ value: PickleValue; end: number }> {
  const machine = new PickleMachine(head.bytes, start, head.source.name, budget, builder);
  const pause = timeSlice();
  for (;;) {
    const state = machine.run(OPCODES, STEPS_PER_SLICE);
    if (state === "stop") return { value: machine.result(), end: machine.position };
    if (state === "more") {
      await head.grow(machine.needed);
      machine.bytes = head.bytes;
    } else {
      await pause();
    }
  }
}
