/**
 * Values between Node and the page: JSON for the shape, and one binary body for all typed arrays in it, each at an
 * offset that is a multiple of 8, so that no array is copied through text. Used on both sides.
 */

const ALIGNMENT = 8;

const ARRAYS = {
  Uint8Array,
  Uint8ClampedArray,
  Int8Array,
  Uint16Array,
  Int16Array,
  Uint32Array,
  Int32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
} as const;

type ArrayName = keyof typeof ARRAYS;
type TypedArray = InstanceType<(typeof ARRAYS)[ArrayName]>;
type Marked = { $array: [ArrayName, number, number] } | { $number: string };

export interface Packed {
  readonly json: string;
  /** Bodies in order, paddings included; empty if the value holds no typed array. */
  readonly parts: Uint8Array<ArrayBuffer>[];
}

/**
 * Takes a value of plain objects, arrays, strings, booleans, null, numbers (NaN and infinities too) and typed arrays
 * apart. Throws TypeError on anything else, such as a class instance or a function, rather than lose it.
 */
export function pack(value: unknown): Packed {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  const mark = (array: TypedArray): Marked => {
    const padding = (ALIGNMENT - (length % ALIGNMENT)) % ALIGNMENT;
    if (padding > 0) parts.push(new Uint8Array(padding));
    length += padding;
    const offset = length;
    parts.push(new Uint8Array(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength));
    length += array.byteLength;
    return { $array: [array.constructor.name as ArrayName, offset, array.length] };
  };
  const walk = (node: unknown, path: string): unknown => {
    if (typeof node === "number") return Number.isFinite(node) ? node : { $number: String(node) };
    if (node === null || node === undefined || typeof node === "string" || typeof node === "boolean") return node;
    if (Array.isArray(node)) return node.map((item, index) => walk(item, `${path}[${index}]`));
    if (typeof node === "object" && node.constructor.name in ARRAYS) return mark(node as TypedArray);
    if (typeof node !== "object" || (Object.getPrototypeOf(node) ?? Object.prototype) !== Object.prototype) {
      throw new TypeError(`cannot send ${path}: only plain data and typed arrays cross between Node and the page`);
    }
    return Object.fromEntries(Object.entries(node).map(([name, item]) => [name, walk(item, `${path}.${name}`)]));
  };
  return { json: JSON.stringify({ value: walk(value, "value") }), parts };
}

/** Puts together what {@link pack} took apart; the arrays are views of `body`, which must begin at a multiple of 8. */
export function unpack(json: string, body: ArrayBufferLike): unknown {
  const revive = (_name: string, node: unknown): unknown => {
    if (typeof node !== "object" || node === null) return node;
    const marked = node as Partial<{ $array: [ArrayName, number, number]; $number: string }>;
    if (marked.$number !== undefined) return Number(marked.$number);
    if (marked.$array === undefined) return node;
    const [name, offset, length] = marked.$array;
    return new ARRAYS[name](body as ArrayBuffer, offset, length);
  };
  return (JSON.parse(json, revive) as { value?: unknown }).value;
}
