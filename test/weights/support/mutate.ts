/** Mutations for the fuzz tests: of plain bytes, of pickle opcodes, of a safetensors header. */
import { concat, latin1, u64 } from "./bytes.ts";
import * as torch from "./torch_writer.ts";

export type Random = () => number;
export type Mutation = (input: Uint8Array, random: Random) => Uint8Array;

const below = (random: Random, limit: number): number => Math.floor(random() * limit);
const pick = <T>(random: Random, items: readonly T[]): T => items[below(random, items.length)]!;

const EXTREMES = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];

/** One to four changes: flip, set, extreme 32-bit value, delete, repeat, cut. */
export const mutateBytes: Mutation = (input, random) => {
  let bytes: Uint8Array = input.slice();
  for (let changes = 1 + below(random, 4); changes > 0 && bytes.length > 0; changes--) {
    const at = below(random, bytes.length);
    const length = 1 + below(random, Math.min(64, bytes.length - at));
    const kind = below(random, 7);
    if (kind === 0) bytes[at]! ^= 1 << below(random, 8);
    else if (kind === 1) bytes[at] = below(random, 256);
    else if (kind === 2 && at + 4 <= bytes.length)
      new DataView(bytes.buffer).setUint32(at, pick(random, EXTREMES), true);
    else if (kind === 3) bytes = concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
    else if (kind === 4) bytes = concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
    else if (kind === 5)
      bytes = concat([
        bytes.subarray(0, at),
        Uint8Array.from({ length }, () => below(random, 256)),
        bytes.subarray(at),
      ]);
    else if (below(random, 4) === 0) bytes = bytes.slice(0, at);
  }
  return bytes;
};

/** Opcode sequences that mean something somewhere. */
const SNIPPETS = [
  ...[
    ".",
    "(",
    ")",
    "]",
    "}",
    "t",
    "R",
    "b",
    "u",
    "s",
    "e",
    "a",
    "Q",
    "0",
    "1",
    "2",
    "N",
    "l",
    "d",
    "o",
    "\x85",
    "\x86",
    "\x87",
  ],
  ...[
    "\x88",
    "\x81",
    "\x90",
    "\x8f",
    "\x91",
    "\x92",
    "\x93",
    "\x94",
    "h\x00",
    "h\x03",
    "q\x00",
    "j\xff\xff\xff\xff",
    "r\xff\xff\xff\xff",
  ],
  ...[
    "I01\n",
    "L123456789012345678901234567890L\n",
    "F1e309\n",
    "S'x'\n",
    "Vx\n",
    "U\xff",
    "X\xff\xff\xff\xff",
    "B\xff\xff\xff\x7f",
    "g-1\n",
  ],
  ...[
    torch.long(2n ** 60n),
    torch.long(-1n),
    torch.int(-1),
    torch.int(0),
    torch.int(2 ** 31 - 1),
    "G\x7f\xf8\0\0\0\0\0\0",
  ],
  ...[
    "os.system",
    "torch.FloatStorage",
    "torch.ByteStorage",
    "torch.Size",
    "collections.OrderedDict",
    "numpy.dtype",
  ].map(torch.global),
  ...["torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter", "torch.storage.UntypedStorage"].map(
    torch.global,
  ),
  ...[torch.text("state_dict"), torch.text("storage"), torch.text("__proto__"), torch.tuple(), torch.vector("0", 2)],
].map(latin1);

/** Offsets where opcodes of a pickle start (enough opcodes for the seeds; stops at what it does not know). */
function boundaries(bytes: Uint8Array): number[] {
  const fixed: Record<string, number> = { K: 1, M: 2, J: 4, G: 8, q: 1, h: 1, r: 4, j: 4, "\x80": 1 };
  const counted: Record<string, number> = { X: 4, U: 1, T: 4, "\x8a": 1, C: 1 };
  const starts: number[] = [];
  let at = 0;
  while (at < bytes.length) {
    starts.push(at);
    const opcode = String.fromCharCode(bytes[at]!);
    if (opcode === "c") for (let lines = 0; lines < 2; lines++) at = bytes.indexOf(10, at + 1);
    else if ("ILFSVpg".includes(opcode)) at = bytes.indexOf(10, at);
    else if (opcode in counted) at += counted[opcode]! + bytes[at + 1]!;
    else at += fixed[opcode] ?? 0;
    at++;
    if (at <= starts.at(-1)!) break;
  }
  return starts;
}

/** Inserts, deletes, repeats, swaps or moves whole opcodes; sometimes changes bytes as well. */
export const mutatePickle: Mutation = (input, random) => {
  let bytes = input;
  for (let changes = 1 + below(random, 3); changes > 0; changes--) {
    const starts = boundaries(bytes);
    const i = below(random, starts.length);
    const j = Math.min(starts.length - 1, i + 1 + below(random, 6));
    const [from, to] = [starts[i] ?? 0, starts[j] ?? bytes.length];
    const [before, part, after] = [bytes.subarray(0, from), bytes.subarray(from, to), bytes.subarray(to)];
    const kind = below(random, 5);
    if (kind === 0) bytes = concat([before, pick(random, SNIPPETS), part, after]);
    else if (kind === 1) bytes = concat([before, pick(random, SNIPPETS), after]);
    else if (kind === 2) bytes = concat([before, after]);
    else if (kind === 3) bytes = concat([before, part, part, after]);
    else bytes = mutateBytes(bytes, random);
  }
  return bytes;
};

type Json = null | number | string | Json[] | { [key: string]: Json };
const VALUES: readonly Json[] = [
  ...[null, 0, 1, -1, 1.5, 2 ** 31, 2 ** 53, 1e308, "", "F32", "I64", "F4", "U8", "__proto__", [], {}],
  ...[[0, 0], [0, 8], [8, 0], [4, 12], [2 ** 52, 2 ** 53], [[1]], { dtype: "U8", shape: [1], data_offsets: [0, 1] }],
];

/** Replaces, deletes or adds a value somewhere in the header; keeps the length right, most of the time. */
export const mutateSafetensors: Mutation = (input, random) => {
  const length = Number(new DataView(input.buffer, input.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(input.subarray(8, 8 + length))) as Json;
  for (let changes = 1 + below(random, 3); changes > 0; changes--) mutateJson(header, random);
  let text = JSON.stringify(header);
  if (below(random, 6) === 0)
    text = text.replace(/"(\w+)":/, (key) => `${key}${JSON.stringify(pick(random, VALUES))},${key}`);
  if (below(random, 6) === 0) text = new TextDecoder().decode(mutateBytes(new TextEncoder().encode(text), random));
  const json = new TextEncoder().encode(text);
  const declared = below(random, 12) === 0 ? pick(random, EXTREMES) : json.length;
  const data = input.subarray(8 + length);
  return concat([u64(declared), json, below(random, 8) === 0 ? mutateBytes(data, random) : data]);
};

function mutateJson(root: Json, random: Random): void {
  let node = root;
  for (;;) {
    if (node === null || typeof node !== "object") return;
    const keys = Object.keys(node);
    const key = keys.length > 0 ? pick(random, keys) : "new";
    const parent = node as { [key: string]: Json };
    const child: Json | undefined = parent[key];
    if (child === undefined || child === null || typeof child !== "object" || below(random, 3) === 0) {
      const kind = below(random, 4);
      if (kind === 0) delete parent[key];
      else if (kind === 1) parent[`x${key}`] = structuredClone(pick(random, VALUES));
      else parent[key] = structuredClone(pick(random, VALUES));
      return;
    }
    node = child;
  }
}
