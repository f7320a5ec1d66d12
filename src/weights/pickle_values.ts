/**
 * What the unpickler builds: inert data. Nothing here has behaviour of its own, whatever the pickle asked for.
 */
import type { DType } from "./dtype.ts";

export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleTuple
  | PickleList
  | PickleDict
  | PickleGlobal
  | PickleInert
  | StorageRecord
  | TensorRecord;

export class PickleTuple {
  readonly items: readonly PickleValue[];
  constructor(items: readonly PickleValue[]) {
    this.items = items;
  }
}

export class PickleList {
  readonly items: PickleValue[] = [];
}

/** dict, OrderedDict, defaultdict, Counter. Keys that Python compares by value are compared by identity here. */
export class PickleDict {
  readonly entries = new Map<PickleValue, PickleValue>();
}

export type GlobalRole =
  | { readonly kind: "dict" } // OrderedDict and the like
  | { readonly kind: "storage"; readonly dtype: DType | null } // null: an untyped storage, counted in bytes
  | { readonly kind: "dtype"; readonly dtype: DType }
  | { readonly kind: "rebuild-tensor" } // torch._utils._rebuild_tensor, _v2
  | { readonly kind: "rebuild-tensor-v3" }
  | { readonly kind: "rebuild-parameter" }
  | { readonly kind: "size" }
  | { readonly kind: "inert" }; // known, harmless, of no use to weights

/** A name out of the closed table. */
export class PickleGlobal {
  readonly name: string;
  readonly role: GlobalRole;
  constructor(name: string, role: GlobalRole) {
    this.name = name;
    this.role = role;
  }
}

/** Stands for an object that was described and not built. */
export class PickleInert {
  readonly global: string;
  constructor(global: string) {
    this.global = global;
  }
}

/** A storage as the pickle declares it; its bytes are elsewhere in the file. */
export class StorageRecord {
  readonly key: string;
  readonly dtype: DType;
  /** True when the pickle calls the storage untyped: `elements` counts bytes then. */
  readonly untyped: boolean;
  readonly elements: number;
  /** First element and element count of the part of the storage that this reference may touch (legacy storage views). */
  readonly viewStart: number;
  readonly viewElements: number;
  constructor(key: string, dtype: DType, untyped: boolean, elements: number, viewStart: number, viewElements: number) {
    this.key = key;
    this.dtype = dtype;
    this.untyped = untyped;
    this.elements = elements;
    this.viewStart = viewStart;
    this.viewElements = viewElements;
  }
}

/** A strided view of a storage, checked to lie inside it. Offset and strides count elements of `dtype`. */
export class TensorRecord {
  readonly storage: StorageRecord;
  readonly dtype: DType;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  constructor(
    storage: StorageRecord,
    dtype: DType,
    offset: number,
    shape: readonly number[],
    strides: readonly number[],
  ) {
    this.storage = storage;
    this.dtype = dtype;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }
}
