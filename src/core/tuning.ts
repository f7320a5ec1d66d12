import { fail } from "./fail.ts";

/** What was measured on an adapter: plain data, for a file or a browser's storage. */
export interface Tuning {
  /** The adapter: see Gpu.identity. */
  readonly adapter: string;
  /** Of which kernels: a hash of their text. */
  readonly kernels: string;
  /** Class of products -> the fastest body. */
  readonly bodies: Readonly<Record<string, string>>;
}

/** Reads tunings that were written as JSON. @throws "bad-input" when the text is anything else */
export function parseTunings(text: string): readonly Tuning[] {
  try {
    const list: unknown = JSON.parse(text);
    if (Array.isArray(list) && list.every(isTuning)) return list;
  } catch {
    // said below
  }
  return fail("bad-input", "this is no list of tunings");
}

function isTuning(value: unknown): value is Tuning {
  const { adapter, kernels, bodies } = (value ?? {}) as Partial<Tuning>;
  if (typeof adapter !== "string" || typeof kernels !== "string" || typeof bodies !== "object" || !bodies) return false;
  return Object.values(bodies).every((body) => typeof body === "string");
}

/** The list with `tuning` in it, joined with what there was of the same adapter and kernels; other kernels' is dropped. */
export function joinTunings(list: readonly Tuning[], tuning: Tuning): readonly Tuning[] {
  const before = list.find(({ adapter, kernels }) => adapter === tuning.adapter && kernels === tuning.kernels);
  const joined = { ...tuning, bodies: { ...before?.bodies, ...tuning.bodies } };
  return [...list.filter(({ adapter }) => adapter !== tuning.adapter), joined];
}
