/**
 * The stack machine of Python's pickle, restricted to data. It reads opcodes from a growing buffer and can be suspended
 * between any two of them: every handler reads its arguments before it changes anything.
 */
import { fail } from "../core/fail.ts";
import { lookUpGlobal } from "./pickle_globals.ts";
import type { PickleGlobal, PickleValue } from "./pickle_values.ts";

/** Bounds of all pickles of one file together (users-and-ecosystem B.10). */
export const MAX_PICKLE_BYTES = 64 * 1024 * 1024;
export const MAX_OPCODES = 1_000_000;
const MAX_STACK = 1 << 17;
const MAX_MEMO = 1 << 18;
const MAX_LONG_BYTES = 16;
const MAX_LINE = 1 << 16;

/** Opcodes left, shared by the pickles of one file. */
export interface OpcodeBudget {
  left: number;
}

/** Gives meaning to the three opcodes that build something out of globals. */
export interface Builder {
  persistent(id: PickleValue, machine: PickleMachine): PickleValue;
  reduce(callable: PickleValue, args: PickleValue, machine: PickleMachine): PickleValue;
  build(target: PickleValue, state: PickleValue, machine: PickleMachine): void;
}

export type Handler = (machine: PickleMachine) => void;

/** Thrown inside the machine when an opcode's arguments are not in the buffer yet. */
class NeedMore {
  readonly end: number;
  constructor(end: number) {
    this.end = end;
  }
}

const TEXT = new TextDecoder("utf-8");

export class PickleMachine {
  readonly builder: Builder;
  /** Bytes from the start of the pickle's file or entry; the driver replaces them by a longer run when asked. */
  bytes: Uint8Array;
  /** After "more": the position up to which bytes are needed. */
  needed = 0;
  stopped = false;
  private view: DataView;
  private at: number;
  private opcodeAt: number;
  private readonly file: string;
  private readonly budget: OpcodeBudget;
  private readonly stack: PickleValue[] = [];
  private readonly marks: number[] = [];
  private readonly memo = new Map<number, PickleValue>();

  constructor(bytes: Uint8Array, start: number, file: string, budget: OpcodeBudget, builder: Builder) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = start;
    this.opcodeAt = start;
    this.file = file;
    this.budget = budget;
    this.builder = builder;
  }

  /** Position after the last opcode that ran. */
  get position(): number {
    return this.at;
  }

  /** Runs at most `steps` opcodes. "more": give bytes up to `needed`; "paused": call again; "stop": the value is ready. */
  run(handlers: readonly (Handler | undefined)[], steps: number): "stop" | "more" | "paused" {
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
    try {
      for (let step = 0; step < steps; step++) {
        this.opcodeAt = this.at;
        const opcode = this.u8();
        const handler = handlers[opcode];
        if (!handler) this.wrong(`opcode 0x${opcode.toString(16).padStart(2, "0")} is unknown or refused`);
        handler(this);
        this.charge(1);
        if (this.stopped) return "stop";
      }
      return "paused";
    } catch (error) {
      if (!(error instanceof NeedMore)) throw error;
      this.at = this.opcodeAt;
      this.needed = error.end;
      return "more";
    }
  }

  /** Takes work off the budget: one per opcode, and one per item that an opcode copies. */
  charge(work: number): void {
    this.budget.left -= work;
    if (this.budget.left < 0) this.wrong(`more than ${MAX_OPCODES} opcodes`);
  }

  wrong(what: string): never {
    return fail("bad-file", `${this.file}: pickle, byte ${this.opcodeAt}: ${what}; the file is damaged or hostile`, {
      position: this.opcodeAt,
    });
  }

  refuse(what: string): never {
    return fail("unsupported", `${this.file}: pickle, byte ${this.opcodeAt}: ${what}`, { position: this.opcodeAt });
  }

  global(module: string, attribute: string): PickleGlobal {
    return lookUpGlobal(module, attribute, this.file, this.opcodeAt);
  }

  // Arguments

  private claim(length: number): number {
    const start = this.at;
    if (length > MAX_PICKLE_BYTES) this.wrong(`an argument of ${length} bytes`);
    if (start + length > this.bytes.byteLength) throw new NeedMore(start + length);
    this.at = start + length;
    return start;
  }
  u8(): number {
    return this.view.getUint8(this.claim(1));
  }
  u16(): number {
    return this.view.getUint16(this.claim(2), true);
  }
  u32(): number {
    return this.view.getUint32(this.claim(4), true);
  }
  i32(): number {
    return this.view.getInt32(this.claim(4), true);
  }
  f64(): number {
    return this.view.getFloat64(this.claim(8), false);
  }
  u64(): number {
    const value = this.view.getBigUint64(this.claim(8), true);
    if (value > BigInt(MAX_PICKLE_BYTES)) this.wrong(`a length of ${value} bytes`);
    return Number(value);
  }
  raw(length: number): Uint8Array {
    const start = this.claim(length);
    return this.bytes.subarray(start, start + length);
  }
  text(length: number): string {
    return TEXT.decode(this.raw(length));
  }
  /** Text up to a newline, which is consumed. */
  line(): string {
    const start = this.at;
    const window = this.bytes.subarray(start, start + MAX_LINE);
    const length = window.indexOf(0x0a);
    if (length < 0) {
      if (window.byteLength === MAX_LINE) this.wrong("a line without end");
      throw new NeedMore(this.bytes.byteLength + 1);
    }
    this.at = start + length + 1;
    return TEXT.decode(window.subarray(0, length));
  }
  /** A two's complement little-endian integer of `length` bytes. */
  long(length: number): number | bigint {
    if (length > MAX_LONG_BYTES) this.wrong(`an integer of ${length} bytes, the limit is ${MAX_LONG_BYTES}`);
    let value = 0n;
    const bytes = this.raw(length);
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
    return simplify(BigInt.asIntN(8 * length, value));
  }

  // Stack

  push(value: PickleValue): void {
    if (this.stack.length >= MAX_STACK) this.wrong(`more than ${MAX_STACK} values on the stack`);
    this.stack.push(value);
  }
  pop(): PickleValue {
    if (this.stack.length <= (this.marks.at(-1) ?? 0)) this.wrong("the stack is empty");
    return this.stack.pop()!;
  }
  top(): PickleValue {
    if (this.stack.length <= (this.marks.at(-1) ?? 0)) this.wrong("the stack is empty");
    return this.stack.at(-1)!;
  }
  mark(): void {
    if (this.marks.length >= MAX_STACK) this.wrong(`more than ${MAX_STACK} marks`);
    this.marks.push(this.stack.length);
  }
  /** The values above the last mark, which are taken off with it. */
  popToMark(): PickleValue[] {
    const height = this.marks.pop();
    if (height === undefined) return this.wrong("there is no mark");
    return this.stack.splice(height);
  }
  /** POP also takes off a mark when nothing is above it. */
  popOrMark(): void {
    if (this.marks.length > 0 && this.marks.at(-1) === this.stack.length) this.marks.pop();
    else this.pop();
  }

  // Memo

  store(index: number): void {
    if (!Number.isSafeInteger(index) || index < 0) this.wrong("a memo index that is not a whole number");
    if (this.memo.size >= MAX_MEMO && !this.memo.has(index)) this.wrong(`more than ${MAX_MEMO} memo entries`);
    this.memo.set(index, this.top());
  }
  storeNext(): void {
    this.store(this.memo.size);
  }
  load(index: number): void {
    const value = this.memo.get(index);
    if (value === undefined) this.wrong(`memo entry ${index} is empty`);
    this.push(value);
  }

  /** The value of the whole pickle: what STOP leaves. */
  result(): PickleValue {
    return this.pop();
  }
}

/** An integer as a number where that is exact. */
export function simplify(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
