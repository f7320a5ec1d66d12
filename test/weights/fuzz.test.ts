/**
 * Seeded mutation fuzz of each parser. Invariant: a typed error or a valid result, never another exception, never a
 * hang, never a read larger than the file. Default 2 s a parser; KINEMA_FUZZ=seconds for longer, KINEMA_SEED=n to
 * start elsewhere. A failure prints the seed and the input.
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { KinemaError } from "../../src/core/fail.ts";
import type { ByteSource } from "../../src/weights/byte_source.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import { recognise, type Transformer } from "../../src/weights/recognise.ts";
import { writeSafetensors } from "../../src/weights/safetensors.ts";
import { checkTransformer } from "../../src/weights/transformer.ts";
import { seeded } from "./support/bytes.ts";
import type { Mutation, Random } from "./support/mutate.ts";
import { mutateBytes, mutatePickle, mutateSafetensors } from "./support/mutate.ts";
import * as torch from "./support/torch_writer.ts";
import { fileOf, SMALL, stam } from "./support/transformer_names.ts";
import { zip } from "./support/zip_writer.ts";

const SECONDS = Number(process.env.KINEMA_FUZZ ?? 2);
const FIRST_SEED = Number(process.env.KINEMA_SEED ?? 1);
/** A case takes far below a millisecond; this leaves room for a loaded machine. */
const SLOWEST_MS = 3_000;

const fixture = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../golden/torch/${name}`, import.meta.url)));

/** A source that fails the test when asked for more than there is. */
function guarded(bytes: Uint8Array): ByteSource {
  const read = async (offset: number, length: number): Promise<Uint8Array> => {
    if (!(offset >= 0 && length >= 0 && offset + length <= bytes.length))
      throw new RangeError(`read ${offset}+${length} of ${bytes.length}`);
    return bytes.subarray(offset, offset + length);
  };
  return { name: "fuzz", size: bytes.length, read };
}

/** Opens, recognises and reads everything; counts typed errors by code. Anything else escapes. */
async function exercise(bytes: Uint8Array, codes: Map<string, number>): Promise<void> {
  const note = (code: string): void => void codes.set(code, (codes.get(code) ?? 0) + 1);
  try {
    const checkpoint = await openCheckpoint(guarded(bytes));
    const { transformer } = recognise(checkpoint);
    note("opened");
    if (transformer) note(fits(checkpoint.name, transformer));
    for (const { name, byteLength } of checkpoint.tensors.values()) {
      try {
        const data = await checkpoint.read(name);
        if (data.byteLength !== byteLength)
          throw new Error(`tensor ${name}: ${data.byteLength} bytes instead of ${byteLength}`);
        if (byteLength > bytes.length)
          throw new Error(`tensor ${name} of ${byteLength} bytes from a file of ${bytes.length}`);
      } catch (error) {
        if (!(error instanceof KinemaError)) throw error;
        note(`read ${error.code}`);
      }
    }
  } catch (error) {
    if (!(error instanceof KinemaError)) throw error;
    if (error.message.includes("\n")) throw new Error(`an error on two lines: ${error.message}`);
    note(error.code);
  }
}

/** Whether a network could be built, as checkTransformer has it. */
function fits(name: string, transformer: Transformer): string {
  try {
    checkTransformer(name, transformer);
    return "transformer";
  } catch (error) {
    if (!(error instanceof KinemaError) || error.message.includes("\n") || error.message.length > 5_000) throw error;
    return `transformer ${error.code}`;
  }
}

async function fuzz(make: (random: Random) => Uint8Array): Promise<Map<string, number>> {
  const codes = new Map<string, number>();
  const end = performance.now() + 1000 * SECONDS;
  for (let seed = FIRST_SEED; performance.now() < end; seed++) {
    const bytes = make(seeded(seed));
    const started = performance.now();
    try {
      await exercise(bytes, codes);
    } catch (error) {
      throw new Error(`seed ${seed}, input (base64) ${Buffer.from(bytes).toString("base64")}`, { cause: error });
    }
    const took = performance.now() - started;
    if (took > SLOWEST_MS)
      throw new Error(`seed ${seed} took ${took} ms, input (base64) ${Buffer.from(bytes).toString("base64")}`);
  }
  return codes;
}

function pick<T>(random: Random, items: readonly T[]): T {
  return items[Math.floor(random() * items.length)]!;
}

/** Every run must reach both outcomes, or it tests nothing. */
function expectBoth(codes: ReadonlyMap<string, number>, ...others: string[]): void {
  for (const code of ["opened", "bad-file", ...others])
    expect(codes.get(code) ?? 0, `${code} in ${JSON.stringify([...codes])}`).toBeGreaterThan(0);
  if (process.env.KINEMA_FUZZ) console.log(JSON.stringify(Object.fromEntries(codes)));
}

const OBJECTS = [
  torch.dict(["a", torch.vector("0", 2)], ["b", torch.vector("1", 3)]),
  torch.dict(
    ["epoch", torch.int(3)],
    ["state_dict", torch.dict(["module.w", torch.vector("0", 2)], ["s", torch.vector("1", 3)])],
  ),
  `${torch.global("collections.OrderedDict")})Rq\x00(${torch.text("w")}${torch.tensor({ key: "0", count: torch.int(2) }, torch.int(1), [torch.int(1)], [torch.int(1)])}q\x01${torch.text("t")}h\x01u}${torch.text("_metadata")}h\x00sb`,
];
/** STAM with one layer of each kind. */
const STAM = stam({ ...SMALL, width: 8, hidden: 4, temporalHidden: 4, depth: 1, temporalDepth: 1 });
const HEADS = { heads: "2", temporalHeads: "1" };
const FIRST = torch.floats(1, 2);
const SECOND = torch.floats(3, 4, 5);
const timeout = 1000 * SECONDS + 20_000;

describe(`fuzz, ${SECONDS} s each`, () => {
  it("safetensors", { timeout }, async () => {
    const seeds = [
      writeSafetensors(
        { a: { dtype: "F32", shape: [2], data: FIRST }, b: { dtype: "U8", shape: [3, 1], data: new Uint8Array(3) } },
        { k: "v" },
      ),
      writeSafetensors({ "blocks.1.expand.weight": { dtype: "F16", shape: [2, 2], data: new Uint16Array(4) } }),
    ];
    const codes = await fuzz((random) =>
      (random() < 0.3 ? mutateBytes : mutateSafetensors)(pick(random, seeds), random),
    );
    expectBoth(codes, "truncated");
  });

  it("STAM in safetensors: the header is what is changed", { timeout }, async () => {
    const file = fileOf(STAM, "safetensors", HEADS);
    const codes = await fuzz((random) => mutateSafetensors(file, random));
    expectBoth(codes, "transformer", "transformer weights-mismatch");
  });

  it("STAM in torch files", { timeout }, async () => {
    const files = (["torch zip", "torch legacy"] as const).map((kind) => fileOf(STAM, kind, HEADS));
    const codes = await fuzz((random) => mutateBytes(pick(random, files), random));
    expectBoth(codes, "transformer", "truncated");
  });

  it("torch legacy", { timeout }, async () => {
    const files = ["dtypes", "views", "module", "wrapper", "nested", "protocol4", "python2"].map((name) =>
      fixture(`${name}.legacy.pt`),
    );
    const codes = await fuzz((random) => {
      if (random() < 0.4) return mutateBytes(pick(random, files), random);
      return torch.legacyOf(mutatePickle(torch.pickle(pick(random, OBJECTS)), random), [
        ["0", 2, FIRST],
        ["1", 3, SECOND],
      ]);
    });
    expectBoth(codes, "truncated", "unsupported-pickle");
  });

  it("torch zip", { timeout }, async () => {
    const files = ["dtypes", "views", "module", "wrapper", "nested", "protocol4"].map((name) =>
      fixture(`${name}.zip.pt`),
    );
    const wide = torch.torchZip(
      OBJECTS[0]!,
      [
        ["0", FIRST],
        ["1", SECOND],
      ],
      true,
    );
    const change: Mutation = (bytes, random) =>
      random() < 0.5 ? mutatePickle(bytes, random) : mutateBytes(bytes, random);
    const codes = await fuzz((random) => {
      if (random() < 0.5) return mutateBytes(pick(random, [...files, wide]), random);
      const data = change(torch.pickle(pick(random, OBJECTS)), random); // with the right CRC, so that it is reached
      return zip(
        [
          { name: "r/data.pkl", data },
          { name: "r/data/0", data: FIRST },
          { name: "r/data/1", data: SECOND },
        ],
        random() < 0.5,
      );
    });
    expectBoth(codes, "truncated", "unsupported-pickle", "unsupported");
  });

  it("whatever else", { timeout }, async () => {
    const starts = [
      "",
      "PK\x03\x04",
      "\x80\x02",
      "version https",
      "<html",
      "\x10\0\0\0\0\0\0\0{",
      "(dp0\n",
      "ctorch\nSize\n",
    ];
    const codes = await fuzz((random) => {
      const noise = Uint8Array.from({ length: Math.floor(random() * 200) }, () => Math.floor(random() * 256));
      return new Uint8Array([...pick(random, starts)].map((c) => c.charCodeAt(0)).concat(...noise));
    });
    expect(codes.get("bad-file")).toBeGreaterThan(0);
    expect(codes.get("opened")).toBeUndefined();
  });
});
