/** Reads the tensors that a model wants one by one, after one complete comparison of what it wants with what the file has. */
import { fail } from "../core/fail.ts";
import type { TensorSource } from "../core/graph.ts";
import { FLOAT_DTYPES } from "./dtype.ts";
import { show } from "./safetensors_header.ts";
import type { Checkpoint, TensorInfo } from "./types.ts";
import { isIgnorable } from "./unit_names.ts";

const LISTED = 8;

/** What becomes of tensors that the model does not want: TSM files are refused with them, ViT files are used without. */
export type Extras = "refuse" | "leave";

/**
 * Weights by canonical name, each read when it is asked for: see createSession.
 * @param wanted canonical name -> shape the model needs
 * @param names canonical name -> name in the file, from recognise()
 * @returns a reader of row-major f32 tensors, its keys in file order. `get` throws what Checkpoint.read throws, and
 *   "not-finite", naming every wanted tensor with NaN or infinity
 * Throws ONE "weights-mismatch" that lists every missing, unused, misshapen, mistyped and truncated tensor before any
 * data is read.
 */
export function openTensors(
  checkpoint: Checkpoint,
  wanted: ReadonlyMap<string, readonly number[]>,
  names: ReadonlyMap<string, string>,
  extras: Extras = "refuse",
): TensorSource {
  const infos = compare(checkpoint, wanted, names, extras);
  // Where a container does not tell positions, its tensors are listed in the order of their bytes.
  const place = new Map([...checkpoint.tensors.values()].map((info, i) => [info, info.offset ?? i]));
  const inFileOrder = [...infos].sort(([, a], [, b]) => place.get(a)! - place.get(b)!);
  return new TensorReader(checkpoint, new Map(inFileOrder));
}

/** {@link openTensors} of a file whose names are the canonical ones. */
export const openOwnTensors = (
  checkpoint: Checkpoint,
  wanted: ReadonlyMap<string, readonly number[]>,
  extras?: Extras,
): TensorSource => openTensors(checkpoint, wanted, new Map([...wanted.keys()].map((name) => [name, name])), extras);

class TensorReader implements TensorSource {
  private readonly checkpoint: Checkpoint;
  private readonly infos: ReadonlyMap<string, TensorInfo>;

  constructor(checkpoint: Checkpoint, infos: ReadonlyMap<string, TensorInfo>) {
    this.checkpoint = checkpoint;
    this.infos = infos;
  }

  keys(): Iterable<string> {
    return this.infos.keys();
  }

  async get(name: string): Promise<Float32Array | undefined> {
    const info = this.infos.get(name);
    if (!info) return undefined;
    const values = await this.checkpoint.readF32(info.name);
    return allFinite(values) ? values : this.refuse();
  }

  /** The file is of no use any more: reads all of it, to tell how much is damaged. */
  private async refuse(): Promise<never> {
    const tensors: string[] = [];
    for (const { name } of this.infos.values()) if (!allFinite(await this.checkpoint.readF32(name))) tensors.push(name);
    return fail(
      "not-finite",
      `${this.checkpoint.name}: NaN or infinity in ${list(tensors)}; the weights are damaged, use another file`,
      { tensors },
    );
  }
}

/** The file's tensor for every wanted name; throws the one mismatch error. */
function compare(
  checkpoint: Checkpoint,
  wanted: ReadonlyMap<string, readonly number[]>,
  names: ReadonlyMap<string, string>,
  extras: Extras,
): Map<string, TensorInfo> {
  const infos = new Map<string, TensorInfo>();
  const missing: string[] = [];
  const shapes: string[] = [];
  const dtypes: string[] = [];
  const truncated: string[] = [];
  const used = new Set<string>();
  for (const [name, shape] of wanted) {
    const info = checkpoint.tensors.get(names.get(name) ?? "");
    if (!info) {
      missing.push(name);
      continue;
    }
    used.add(info.name);
    infos.set(name, info);
    if (!sameShape(info.shape, shape)) shapes.push(`${info.name} is [${info.shape}], needs [${shape}]`);
    if (!FLOAT_DTYPES.has(info.dtype)) dtypes.push(`${info.name} is ${info.dtype}`);
    if (!info.present) truncated.push(info.name);
  }
  const others = extras === "leave" ? [] : [...checkpoint.tensors.keys()];
  const unused = others.filter((raw) => !used.has(raw) && !isIgnorable(raw));
  const kinds = { missing, unused, "wrong shape": shapes, "wrong dtype": dtypes, truncated };
  const found = Object.entries(kinds).filter(([, items]) => items.length > 0);
  if (found.length > 0) {
    const lines = found.map(([kind, items]) => `${items.length} ${kind}: ${list(items)}`);
    fail(
      "weights-mismatch",
      `${checkpoint.name}: the weights do not fit the model: ${lines.join("; ")}; give the model's own file`,
      {
        missing,
        unused,
        shapes,
        dtypes,
        truncated,
      },
    );
  }
  return infos;
}

/** Equal, or equal but for trailing extents of 1: a 1x1x1 Conv3d holds the numbers of a 1x1 convolution. */
function sameShape(have: readonly number[], want: readonly number[]): boolean {
  const rank = Math.max(have.length, want.length);
  if (want.length < 2 && have.length !== want.length) return false;
  for (let axis = 0; axis < rank; axis++) if ((have[axis] ?? 1) !== (want[axis] ?? 1)) return false;
  return true;
}

/** x - x is 0 for finite numbers and NaN for the rest, so one pass and one comparison decide. */
function allFinite(values: Float32Array): boolean {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! - values[i]!;
  return sum === 0;
}

function list(items: readonly string[]): string {
  const shown = items.slice(0, LISTED).map((item) => (item.length > 120 ? show(item) : item));
  return shown.join(", ") + (items.length > LISTED ? `, and ${items.length - LISTED} more` : "");
}
