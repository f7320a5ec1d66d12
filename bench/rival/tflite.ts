// Writes a network as a .tflite file (TensorFlow Lite schema, version 3), op by op, so that LiteRT.js can run it.
import type { Folded } from "./cases.ts";
import type { Ops } from "./nets.ts";

/** What of the flatbuffers package's Builder is used: fields of a table are numbered, and come after their contents. */
export interface FlatBuilder {
  space: number;
  readonly bb: { bytes(): Uint8Array; setPosition(at: number): void };
  startObject(fields: number): void;
  addFieldInt8(field: number, value: number, standard: number): void;
  addFieldInt32(field: number, value: number, standard: number): void;
  addFieldOffset(field: number, value: number, standard: number): void;
  endObject(): number;
  createString(text: string): number;
  startVector(size: number, count: number, alignment: number): void;
  addInt32(value: number): void;
  addOffset(value: number): void;
  endVector(): number;
  finish(root: number, identifier: string): void;
  asUint8Array(): Uint8Array;
}

const CODES = {
  ...{ ADD: 0, CONCATENATION: 2, CONV_2D: 3, DEPTHWISE_CONV_2D: 4, FULLY_CONNECTED: 9 },
  ...{ MAX_POOL_2D: 17, RELU: 19, PAD: 34, MEAN: 40, SLICE: 65 },
};
type Code = keyof typeof CODES;
/** Members of the union BuiltinOptions. */
const OPTIONS = {
  ...{ CONV_2D: 1, DEPTHWISE_CONV_2D: 2, MAX_POOL_2D: 5, FULLY_CONNECTED: 8, CONCATENATION: 10, ADD: 11 },
  ...{ PAD: 22, MEAN: 27 },
};
const ACTIVATIONS = { linear: 0, relu: 1, relu6: 3 };
const [SAME, VALID] = [0, 1];
const [FLOAT32, INT32] = [0, 2];

interface Operator {
  readonly code: Code;
  readonly inputs: readonly number[];
  readonly output: number;
  /** Fields of its options, in the schema's order; all are small integers. */
  readonly options: readonly number[];
}

/** A network that is being written: the ops append to it, and a tensor is its number. */
export class TfLite {
  readonly #shapes: (readonly number[])[] = [];
  readonly #data: (Float32Array | Int32Array | null)[] = [];
  readonly #operators: Operator[] = [];
  readonly #unit: (name: string) => Folded;

  constructor(unit: (name: string) => Folded) {
    this.#unit = unit;
  }

  /** A tensor; with `data` a constant. */
  tensor(shape: readonly number[], data: Float32Array | Int32Array | null = null): number {
    this.#data.push(data);
    return this.#shapes.push(shape) - 1;
  }

  #apply(code: Code, inputs: readonly number[], shape: readonly number[], options: readonly number[]): number {
    const output = this.tensor(shape);
    this.#operators.push({ code, inputs, output, options });
    return output;
  }

  /** Zeros before and behind along each axis. */
  #padded(x: number, around: readonly (readonly [number, number])[]): number {
    const shape = this.#shapes[x]!.map((extent, axis) => extent + around[axis]![0] + around[axis]![1]);
    return this.#apply("PAD", [x, this.tensor([4, 2], Int32Array.from(around.flat()))], shape, []);
  }

  #sliced(x: number, begin: readonly number[], shape: readonly number[]): number {
    const [from, size] = [begin, shape].map((list) => this.tensor([4], Int32Array.from(list)));
    return this.#apply("SLICE", [x, from!, size!], shape, []);
  }

  /** Where a window lands: the padded input, how the rest is padded, and the output's sides. */
  #window(x: number, size: number, stride: number) {
    const [, h, w] = this.#shapes[x] as [number, number, number, number];
    const lopsided = stride > 1 && size > 1;
    const sides = [h, w].map((side) => Math.floor((side - 1) / stride) + 1) as [number, number];
    const around = [(size - 1) / 2, (size - 1) / 2] as const;
    // As PyTorch pads: TensorFlow's own padding is lopsided at stride 2.
    const from = lopsided ? this.#padded(x, [[0, 0], around, around, [0, 0]]) : x;
    return { from, padding: lopsided ? VALID : SAME, sides };
  }

  #filter(x: number, name: string, stride: number, activation: keyof typeof ACTIVATIONS, depthwise: boolean): number {
    const { shape, weight, bias } = this.#unit(name);
    const [out, each, size] = shape as [number, number, number];
    const taps = size * size;
    // [out, in, taps] -> [out, taps, in]; of a depthwise filter [1, taps, channels].
    const turned = new Float32Array(weight.length);
    for (let o = 0; o < out; o++)
      for (let k = 0; k < each; k++)
        for (let t = 0; t < taps; t++)
          turned[depthwise ? t * out + o : (o * taps + t) * each + k] = weight[(o * each + k) * taps + t]!;
    const filter = this.tensor(depthwise ? [1, size, size, out] : [out, size, size, each], turned);
    const { from, padding, sides } = this.#window(x, size, stride);
    const inputs = [from, filter, this.tensor([out], bias)];
    const output = [this.#shapes[x]![0]!, ...sides, out];
    return depthwise
      ? this.#apply("DEPTHWISE_CONV_2D", inputs, output, [padding, stride, stride, 1, ACTIVATIONS[activation]])
      : this.#apply("CONV_2D", inputs, output, [padding, stride, stride, ACTIVATIONS[activation]]);
  }

  #mean(x: number, axes: readonly number[]): number {
    const shape = this.#shapes[x]!.filter((_, axis) => !axes.includes(axis));
    return this.#apply("MEAN", [x, this.tensor([axes.length], Int32Array.from(axes))], shape, [0]);
  }

  readonly ops: Ops<number> = {
    conv: (x, name, stride, activation) => this.#filter(x, name, stride, activation, false),
    depthwise: (x, name, stride, activation) => this.#filter(x, name, stride, activation, true),
    linear: (x, name) => {
      const { shape, weight, bias } = this.#unit(name);
      const inputs = [x, this.tensor(shape, weight), this.tensor([shape[0]!], bias)];
      return this.#apply("FULLY_CONNECTED", inputs, [this.#shapes[x]![0]!, shape[0]!], [0]);
    },
    shift: (x) => {
      const [n, h, w, c] = this.#shapes[x] as [number, number, number, number];
      const fold = c >> 3;
      const still = [0, 0] as const;
      const next = this.#padded(this.#sliced(x, [1, 0, 0, 0], [n - 1, h, w, fold]), [[0, 1], still, still, still]);
      const past = this.#padded(this.#sliced(x, [0, 0, 0, fold], [n - 1, h, w, fold]), [[1, 0], still, still, still]);
      const rest = this.#sliced(x, [0, 0, 0, 2 * fold], [n, h, w, c - 2 * fold]);
      return this.#apply("CONCATENATION", [next, past, rest], [n, h, w, c], [3, 0]);
    },
    sum: (x, y) => this.#apply("ADD", [x, y], this.#shapes[x]!, [0]),
    relu: (x) => this.#apply("RELU", [x], this.#shapes[x]!, []),
    maxPool: (x) => {
      // Zeros around what a ReLU gave never are a maximum.
      const { from, padding, sides } = this.#window(x, 3, 2);
      const [n, , , c] = this.#shapes[x] as [number, number, number, number];
      return this.#apply("MAX_POOL_2D", [from], [n, ...sides, c], [padding, 2, 2, 3, 3, 0]);
    },
    pool: (x) => this.#mean(x, [1, 2]),
    consensus: (x) => this.#mean(x, [0]),
    again: (x) => x,
  };

  /** The file, of the network from `input` to `output`. */
  finish(b: FlatBuilder, input: number, output: number): Uint8Array {
    const codes = [...new Set(this.#operators.map(({ code }) => code))];
    // Buffer 0 is empty by convention, and what tensors without data have.
    const buffers = [table(b, []), ...this.#data.flatMap((data) => (data ? [table(b, [offset(bytes(b, data))])] : []))];
    let constants = 0;
    const tensors = this.#shapes.map((shape, i) => {
      const data = this.#data[i] ?? null;
      const type = data instanceof Int32Array ? INT32 : FLOAT32;
      const [numbers, name] = [offset(integers(b, shape)), offset(b.createString(`t${i}`))];
      return table(b, [numbers, int8(type), int32(data ? ++constants : 0), name]);
    });
    const operators = this.#operators.map(({ code, inputs, output: result, options }) => {
      const union = OPTIONS[code as keyof typeof OPTIONS] ?? 0;
      const [from, to] = [offset(integers(b, inputs)), offset(integers(b, [result]))];
      const chosen = union === 0 ? null : offset(table(b, options.map(fieldsOf(code))));
      return table(b, [int32(codes.indexOf(code)), from, to, ...(chosen ? [int8(union), chosen] : [])]);
    });
    const [ins, outs] = [offset(integers(b, [input])), offset(integers(b, [output]))];
    const lists = [
      offset(offsets(b, tensors)),
      ins,
      outs,
      offset(offsets(b, operators)),
      offset(b.createString("main")),
    ];
    const subgraph = table(b, lists);
    // The code stands twice: as a byte for old readers, and as an integer.
    const known = codes.map((code) => table(b, [int8(CODES[code]), null, int32(1), int32(CODES[code])]));
    const parts = [offset(offsets(b, known)), offset(offsets(b, [subgraph])), offset(b.createString("kinema bench"))];
    b.finish(table(b, [int32(3), ...parts, offset(offsets(b, buffers))]), "TFL3");
    return b.asUint8Array();
  }
}

type Field = { readonly kind: "int8" | "int32" | "offset"; readonly value: number } | null;
const int8 = (value: number): Field => ({ kind: "int8", value });
const int32 = (value: number): Field => ({ kind: "int32", value });
const offset = (value: number): Field => ({ kind: "offset", value });

/** Options are integers, but for enumerations (padding first, activation last) and the one flag of a mean, which are bytes. */
function fieldsOf(code: Code): (value: number, i: number, all: readonly number[]) => Field {
  const windowed = code === "CONV_2D" || code === "DEPTHWISE_CONV_2D" || code === "MAX_POOL_2D";
  return (value, i, all) => (i === all.length - 1 || (windowed && i === 0) ? int8(value) : int32(value));
}

function table(b: FlatBuilder, fields: readonly Field[]): number {
  b.startObject(fields.length);
  // A field that has its standard value is left out; -1 is none's, so that every one is written.
  for (const [i, field] of fields.entries()) {
    if (field?.kind === "int8") b.addFieldInt8(i, field.value, -1);
    else if (field?.kind === "int32") b.addFieldInt32(i, field.value, -1);
    else if (field) b.addFieldOffset(i, field.value, 0);
  }
  return b.endObject();
}

function integers(b: FlatBuilder, values: readonly number[]): number {
  b.startVector(4, values.length, 4);
  for (const value of [...values].reverse()) b.addInt32(value);
  return b.endVector();
}

function offsets(b: FlatBuilder, values: readonly number[]): number {
  b.startVector(4, values.length, 4);
  for (const value of [...values].reverse()) b.addOffset(value);
  return b.endVector();
}

/** Tensor data begins at multiples of 16. */
function bytes(b: FlatBuilder, data: Float32Array | Int32Array): number {
  b.startVector(1, data.byteLength, 16);
  b.space -= data.byteLength;
  b.bb.setPosition(b.space);
  b.bb.bytes().set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), b.space);
  return b.endVector();
}
