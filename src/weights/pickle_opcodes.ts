/** One handler per pickle opcode (protocols 0 to 5, without the ones that only code can use). */
import type { Handler, PickleMachine } from "./pickle_machine.ts";
import { simplify } from "./pickle_machine.ts";
import type { PickleValue } from "./pickle_values.ts";
import { PickleDict, PickleGlobal, PickleInert, PickleList, PickleTuple } from "./pickle_values.ts";

const HANDLERS: (Handler | undefined)[] = [];

function on(opcode: number | string, handler: Handler): void {
  HANDLERS[typeof opcode === "string" ? opcode.charCodeAt(0) : opcode] = handler;
}

/** The table, indexed by opcode byte. */
export const OPCODES: readonly (Handler | undefined)[] = HANDLERS;

// Framing
on(0x80, (m) => {
  const protocol = m.u8();
  if (protocol > 5) m.refuse(`pickle protocol ${protocol} is unknown; save with torch.save's default`);
});
on(0x95, (m) => void m.u64()); // FRAME: a hint about buffering
on(".", (m) => {
  m.stopped = true;
});

// Stack and memo
on("(", (m) => m.mark());
on("0", (m) => m.popOrMark());
on("1", (m) => void m.popToMark());
on("2", (m) => m.push(m.top()));
on("p", (m) => m.store(Number(m.line())));
on("q", (m) => m.store(m.u8()));
on("r", (m) => m.store(m.u32()));
on(0x94, (m) => m.storeNext());
on("g", (m) => m.load(Number(m.line())));
on("h", (m) => m.load(m.u8()));
on("j", (m) => m.load(m.u32()));

// Scalars
on("N", (m) => m.push(null));
on(0x88, (m) => m.push(true));
on(0x89, (m) => m.push(false));
on("J", (m) => m.push(m.i32()));
on("K", (m) => m.push(m.u8()));
on("M", (m) => m.push(m.u16()));
on(0x8a, (m) => m.push(m.long(m.u8())));
on(0x8b, (m) => m.push(m.long(m.u32())));
on("G", (m) => m.push(m.f64()));
on("I", (m) => {
  const digits = m.line();
  m.push(digits === "00" ? false : digits === "01" ? true : decimal(m, digits));
});
on("L", (m) => m.push(decimal(m, m.line().replace(/L$/, ""))));
on("F", (m) => m.push(Number(m.line())));

function decimal(m: PickleMachine, digits: string): number | bigint {
  if (!/^-?\d{1,39}$/.test(digits)) m.wrong("a text integer that is not one");
  return simplify(BigInt(digits));
}

// Text and bytes; Python 2's str is read as text
on("S", (m) => {
  const line = m.line().trim();
  const quoted = /^(['"])([\s\S]*)\1$/.exec(line);
  if (!quoted) return m.wrong("a string without quotes");
  return m.push(quoted[2]!);
});
on("V", (m) => m.push(m.line()));
on("U", (m) => m.push(text(m, m.u8())));
on("T", (m) => m.push(text(m, m.u32())));
on("X", (m) => m.push(text(m, m.u32())));
on(0x8c, (m) => m.push(text(m, m.u8())));
on(0x8d, (m) => m.push(text(m, m.u64())));
on("C", (m) => m.push(m.raw(m.u8())));
on("B", (m) => m.push(m.raw(m.u32())));
on(0x8e, (m) => m.push(m.raw(m.u64())));

/** No name is longer than this; a longer text (a log, a configuration) is passed over. */
const MAX_TEXT = 1 << 20;

function text(m: PickleMachine, length: number): PickleValue {
  if (length <= MAX_TEXT) return m.text(length);
  m.raw(length);
  return new PickleInert("long text");
}

// Tuples
on(")", (m) => m.push(new PickleTuple([])));
on("t", (m) => m.push(new PickleTuple(m.popToMark())));
on(0x85, (m) => m.push(new PickleTuple([m.pop()])));
on(0x86, (m) => {
  const second = m.pop();
  m.push(new PickleTuple([m.pop(), second]));
});
on(0x87, (m) => {
  const third = m.pop();
  const second = m.pop();
  m.push(new PickleTuple([m.pop(), second, third]));
});

// Lists
on("]", (m) => m.push(new PickleList()));
on("l", (m) => {
  const list = new PickleList();
  appendTo(m, list, m.popToMark());
  m.push(list);
});
on("a", (m) => {
  const value = m.pop();
  appendTo(m, m.top(), [value]);
});
on("e", (m) => {
  const values = m.popToMark();
  appendTo(m, m.top(), values);
});

function appendTo(m: PickleMachine, list: PickleValue, values: readonly PickleValue[]): void {
  if (!(list instanceof PickleList)) m.wrong("APPEND to something that is not a list");
  for (const value of values) list.items.push(value);
}

// Dictionaries
on("}", (m) => m.push(new PickleDict()));
on("d", (m) => {
  const dict = new PickleDict();
  setItems(m, dict, m.popToMark());
  m.push(dict);
});
on("s", (m) => {
  const value = m.pop();
  const key = m.pop();
  setItems(m, m.top(), [key, value]);
});
on("u", (m) => {
  const pairs = m.popToMark();
  setItems(m, m.top(), pairs);
});

function setItems(m: PickleMachine, dict: PickleValue, pairs: readonly PickleValue[]): void {
  if (!(dict instanceof PickleDict)) m.wrong("SETITEM on something that is not a dictionary");
  if (pairs.length % 2 !== 0) m.wrong("a key without value");
  for (let i = 0; i < pairs.length; i += 2) dict.entries.set(pairs[i]!, pairs[i + 1]!);
}

// Sets carry no weights
on(0x8f, (m) => m.push(new PickleInert("set")));
on(0x90, (m) => {
  m.popToMark();
  if (!(m.top() instanceof PickleInert)) m.wrong("ADDITEMS to something that is not a set");
});
on(0x91, (m) => {
  m.popToMark();
  m.push(new PickleInert("frozenset"));
});

// Globals and what is built from them
on("c", (m) => {
  const module = m.line();
  m.push(m.global(module, m.line()));
});
on(0x93, (m) => {
  const attribute = m.pop();
  const module = m.pop();
  if (typeof module !== "string" || typeof attribute !== "string") return m.wrong("STACK_GLOBAL without two names");
  return m.push(m.global(module, attribute));
});
on("R", (m) => {
  const args = m.pop();
  m.push(m.builder.reduce(m.pop(), args, m));
});
on(0x81, (m) => {
  const args = m.pop();
  m.push(m.builder.reduce(m.pop(), args, m));
});
on(0x92, (m) => {
  m.pop(); // keyword arguments
  const args = m.pop();
  m.push(m.builder.reduce(m.pop(), args, m));
});
on("i", (m) => {
  const module = m.line();
  const callable = m.global(module, m.line());
  m.push(m.builder.reduce(callable, new PickleTuple(m.popToMark()), m));
});
on("o", (m) => {
  const [callable, ...args] = m.popToMark();
  if (!(callable instanceof PickleGlobal)) return m.wrong("OBJ without a class");
  return m.push(m.builder.reduce(callable, new PickleTuple(args), m));
});
on("b", (m) => {
  const state = m.pop();
  m.builder.build(m.top(), state, m);
});
on("Q", (m) => m.push(m.builder.persistent(m.pop(), m)));
