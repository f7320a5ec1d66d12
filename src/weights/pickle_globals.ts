/**
 * The closed table of names that a checkpoint's pickle may mention. None of them is ever called: the table says what
 * inert record stands for each. A name outside the table refuses the file.
 */
import { fail } from "../core/fail.ts";
import type { DType } from "./dtype.ts";
import type { GlobalRole } from "./pickle_values.ts";
import { PickleGlobal } from "./pickle_values.ts";
import { show } from "./safetensors_header.ts";

const STORAGES: Readonly<Record<string, DType>> = {
  FloatStorage: "F32",
  HalfStorage: "F16",
  BFloat16Storage: "BF16",
  DoubleStorage: "F64",
  LongStorage: "I64",
  IntStorage: "I32",
  ShortStorage: "I16",
  CharStorage: "I8",
  ByteStorage: "U8",
  BoolStorage: "BOOL",
};

const DTYPES: Readonly<Record<string, DType>> = {
  float32: "F32",
  float: "F32",
  float16: "F16",
  half: "F16",
  bfloat16: "BF16",
  float64: "F64",
  double: "F64",
  int64: "I64",
  long: "I64",
  int32: "I32",
  int: "I32",
  int16: "I16",
  short: "I16",
  int8: "I8",
  uint8: "U8",
  bool: "BOOL",
  complex64: "C64",
  float8_e4m3fn: "F8_E4M3",
  float8_e5m2: "F8_E5M2",
  uint16: "U16",
  uint32: "U32",
  uint64: "U64",
};

/** Plain data that train-time checkpoints carry next to the weights (optimizer, arguments, best score). */
const INERT = [
  "argparse.Namespace",
  "_codecs.encode",
  "numpy.dtype",
  "numpy.ndarray",
  "numpy.core.multiarray.scalar",
  "numpy._core.multiarray.scalar",
  "numpy.core.multiarray._reconstruct",
  "numpy._core.multiarray._reconstruct",
  "torch.device",
  "torch.serialization._get_layout",
  "mmengine.logging.history_buffer.HistoryBuffer",
];

const PLAIN_TYPES = [
  "set",
  "frozenset",
  "list",
  "dict",
  "tuple",
  "int",
  "long",
  "float",
  "bool",
  "str",
  "unicode",
  "complex",
  "bytearray",
];

const TABLE: ReadonlyMap<string, GlobalRole> = buildTable();

function buildTable(): Map<string, GlobalRole> {
  const table = new Map<string, GlobalRole>([
    ["collections.OrderedDict", { kind: "dict" }],
    ["collections.defaultdict", { kind: "dict" }],
    ["collections.Counter", { kind: "dict" }],
    ["torch._utils._rebuild_tensor", { kind: "rebuild-tensor" }],
    ["torch._utils._rebuild_tensor_v2", { kind: "rebuild-tensor" }],
    ["torch._utils._rebuild_tensor_v3", { kind: "rebuild-tensor-v3" }],
    ["torch._utils._rebuild_parameter", { kind: "rebuild-parameter" }],
    ["torch._utils._rebuild_parameter_with_state", { kind: "rebuild-parameter" }],
    ["torch.Size", { kind: "size" }],
    ["torch.UntypedStorage", { kind: "storage", dtype: null }],
    ["torch.storage.UntypedStorage", { kind: "storage", dtype: null }],
  ]);
  for (const [name, dtype] of Object.entries(STORAGES)) {
    table.set(`torch.${name}`, { kind: "storage", dtype });
    table.set(`torch.cuda.${name}`, { kind: "storage", dtype });
  }
  for (const [name, dtype] of Object.entries(DTYPES)) table.set(`torch.${name}`, { kind: "dtype", dtype });
  for (const name of INERT) table.set(name, { kind: "inert" });
  for (const module of ["builtins", "__builtin__"]) {
    for (const name of PLAIN_TYPES) table.set(`${module}.${name}`, { kind: "inert" });
  }
  return table;
}

/** Looks a name up. Throws "unsupported-pickle" naming the global and the byte where the file asks for it. */
export function lookUpGlobal(module: string, attribute: string, file: string, position: number): PickleGlobal {
  const name = `${module}.${attribute}`;
  const role = TABLE.get(name);
  if (role) return new PickleGlobal(name, role);
  return fail(
    "unsupported-pickle",
    `${file}: the pickle asks for ${show(name)} at byte ${position}, which is not data and is never run; save model.state_dict() with torch.save, or convert to safetensors`,
    { global: name, position },
  );
}
