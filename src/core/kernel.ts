import { fail } from "./fail.ts";
import type { Value } from "./graph.ts";
import type { Kept } from "./kept.ts";

/** How a binding is declared in the kernel file. */
export type BindingKind = "read" | "read_write" | "uniform" | "texture" | "sampler";
export type ParamType = "u32" | "i32" | "f32" | "vec3f" | "vec4f" | "mat3x3f";

/** A WGSL file and what reflection read in it at build time (tools/gen.ts). */
export interface Kernel {
  readonly name: string;
  readonly code: string;
  readonly bindings: Readonly<Record<string, { readonly index: number; readonly kind: BindingKind }>>;
  readonly params: Readonly<Record<string, { readonly offset: number; readonly type: ParamType }>>;
  readonly paramsBytes: number;
  readonly consts: Readonly<Record<string, number | boolean>>;
  /** Type aliases, which a variant may give another type. */
  readonly aliases?: Readonly<Record<string, string>>;
}

export type ParamValue = number | ArrayLike<number>;
export type Consts = Readonly<Record<string, number | boolean>>;
export type Workgroups = readonly [number, number, number];

/** One dispatch as a value: nothing of the GPU in it, so that ops can be tested without one. */
export interface Dispatch {
  readonly kernel: Kernel;
  readonly consts: Consts;
  readonly params: Readonly<Record<string, ParamValue>>;
  /** Every binding but `params`; null where the specialised code never touches it. */
  readonly bind: Readonly<Record<string, Value | null>>;
  readonly groups: Workgroups;
  /** New types for bindings, see specialise(). */
  readonly retype?: Readonly<Record<string, string>>;
  /** How the weights behind bindings are kept; f32 where nothing is said. */
  readonly kept?: Readonly<Record<string, Kept>>;
}

type BoundNames<K extends Kernel> = Exclude<keyof K["bindings"], "params">;
type TypedNames<K extends Kernel> = BoundNames<K> | keyof NonNullable<K["aliases"]>;

/** A typed {@link Dispatch}: a forgotten or misspelt param, const or binding does not compile. */
export function dispatch<const K extends Kernel>(
  kernel: K,
  d: {
    readonly consts?: { readonly [C in keyof K["consts"]]?: number | boolean };
    readonly params: { readonly [P in keyof K["params"]]: ParamValue };
    readonly bind: { readonly [B in BoundNames<K>]: Value | null };
    readonly groups: Workgroups;
    readonly retype?: { readonly [B in TypedNames<K>]?: string };
    readonly kept?: { readonly [B in BoundNames<K>]?: Kept };
  },
): Dispatch {
  return {
    kernel,
    consts: (d.consts ?? {}) as Consts,
    params: d.params,
    bind: d.bind as Record<string, Value | null>,
    groups: d.groups,
    ...(d.retype ? { retype: d.retype as Record<string, string> } : {}),
    ...(d.kept ? { kept: d.kept as Record<string, Kept> } : {}),
  };
}

const MAX_GROUPS = 65535;

/** Workgroups for `count` threads, one axis; folds into y above the limit of 65,535 a dimension. */
export function flat(count: number, workgroup: number): Workgroups {
  const groups = Math.max(1, Math.ceil(count / workgroup));
  if (groups <= MAX_GROUPS) return [groups, 1, 1];
  const y = Math.ceil(groups / MAX_GROUPS);
  return [Math.ceil(groups / y), y, 1];
}

/** Identity of a pipeline: nothing but the kernel, its consts and its types can change the source. */
export function variantName(kernel: Kernel, consts: Consts, retype: Readonly<Record<string, string>> = {}): string {
  const changed = Object.entries(consts)
    .filter(([name, value]) => kernel.consts[name] !== value)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const words = [...changed.map(([n, v]) => `${n}=${v}`), ...Object.entries(retype).map(([n, type]) => `${n}:${type}`)];
  return words.length === 0 ? kernel.name : `${kernel.name}(${words.join(" ")})`;
}

/** Writes named params at their reflected offsets. Throws on a missing, unknown or misshapen one. */
export function packParams(
  kernel: Kernel,
  params: Readonly<Record<string, ParamValue>>,
  view: DataView,
  at: number,
): void {
  for (const name of Object.keys(params)) {
    if (!kernel.params[name]) fail("graph", `kernel ${kernel.name} has no param "${name}"`);
  }
  for (const [name, { offset, type }] of Object.entries(kernel.params)) {
    const value = params[name];
    if (value === undefined) fail("graph", `kernel ${kernel.name}: param "${name}" is missing`);
    packOne(kernel.name, name, type, value, view, at + offset);
  }
}

function packOne(kernel: string, name: string, type: ParamType, value: ParamValue, view: DataView, at: number): void {
  const list = typeof value === "number" ? [value] : Array.from(value);
  const want = type === "vec3f" ? 3 : type === "vec4f" ? 4 : type === "mat3x3f" ? 9 : 1;
  if (list.length !== want || list.some((v) => Number.isNaN(v))) {
    fail("graph", `kernel ${kernel}: param "${name}" is ${type}, got ${JSON.stringify(list)}`);
  }
  if ((type === "u32" && list[0]! >>> 0 !== list[0]) || (type === "i32" && (list[0]! | 0) !== list[0])) {
    fail("graph", `kernel ${kernel}: param "${name}" is ${type}, got ${list[0]}`);
  }
  if (type === "u32") view.setUint32(at, list[0]!, true);
  else if (type === "i32") view.setInt32(at, list[0]!, true);
  else {
    const columns = type === "mat3x3f"; // a matrix column takes 16 bytes
    for (const [i, v] of list.entries())
      view.setFloat32(at + (columns ? Math.floor(i / 3) * 16 + (i % 3) * 4 : i * 4), v, true);
  }
}
