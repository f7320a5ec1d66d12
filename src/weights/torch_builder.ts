/** Turns torch's persistent ids and rebuild calls into storage and tensor records, with every number checked. */
import type { DType } from "./dtype.ts";
import { bitsOf, elementCount, MAX_RANK } from "./dtype.ts";
import type { Builder, PickleMachine } from "./pickle_machine.ts";
import type { PickleValue } from "./pickle_values.ts";
import {
  PickleDict,
  PickleGlobal,
  PickleInert,
  PickleList,
  PickleTuple,
  StorageRecord,
  TensorRecord,
} from "./pickle_values.ts";
import { show } from "./safetensors_header.ts";

/** All tensors together may describe this many times the file's bytes (tied weights, views) plus a constant. */
const MAX_LOGICAL_FACTOR = 4;
const LOGICAL_SLACK_BYTES = 2 ** 31;

export class TorchBuilder implements Builder {
  /** Every storage that the pickle mentions, by key, whole (not as a view). */
  readonly storages = new Map<string, StorageRecord>();
  private readonly fileBytes: number;
  private logicalBytes = 0;

  /** @param fileBytes bytes of the file; a tensor may not describe more than its storage or the file */
  constructor(fileBytes: number) {
    this.fileBytes = fileBytes;
  }

  /** ('storage', type, key, device, element count[, view]): 6 items in legacy files, 5 in zip files. */
  persistent(id: PickleValue, m: PickleMachine): PickleValue {
    const items = id instanceof PickleTuple ? id.items : [];
    const [tag, type, rawKey, , count, view] = items;
    if (tag === "module") return m.refuse("the file holds a whole pickled module; save model.state_dict() instead");
    if (tag !== "storage" || items.length < 5 || items.length > 6) return m.wrong("an unknown persistent id");
    if (!(type instanceof PickleGlobal) || type.role.kind !== "storage") return m.wrong("a storage without a type");
    const key = typeof rawKey === "number" ? String(rawKey) : rawKey;
    if (typeof key !== "string") return m.wrong("a storage whose key is not text");
    const dtype = type.role.dtype ?? "U8";
    const elements = this.whole(count, m, `the element count of storage ${show(key)}`);
    const bytes = (elements * bitsOf(dtype)) / 8;
    if (!Number.isSafeInteger(bytes)) return m.wrong(`storage ${show(key)} of ${elements} elements`);
    const known = this.storages.get(key);
    if (known && (known.dtype !== dtype || known.elements !== elements)) {
      return m.wrong(`storage ${show(key)} is declared twice with different types or sizes`);
    }
    const whole = known ?? new StorageRecord(key, dtype, type.role.dtype === null, elements, 0, elements);
    this.storages.set(key, whole);
    return view === null || view === undefined ? whole : this.viewOf(whole, view, m);
  }

  private viewOf(whole: StorageRecord, view: PickleValue, m: PickleMachine): StorageRecord {
    if (!(view instanceof PickleTuple) || view.items.length !== 3)
      return m.wrong("a storage view that is not a triple");
    const start = this.whole(view.items[1], m, "a storage view's offset");
    const elements = this.whole(view.items[2], m, "a storage view's size");
    if (start + elements > whole.elements) return m.wrong(`a view leaves storage ${show(whole.key)}`);
    return new StorageRecord(whole.key, whole.dtype, whole.untyped, whole.elements, start, elements);
  }

  reduce(callable: PickleValue, args: PickleValue, m: PickleMachine): PickleValue {
    if (!(callable instanceof PickleGlobal)) return m.wrong("REDUCE of something that is not a global");
    if (!(args instanceof PickleTuple)) return m.wrong("REDUCE without an argument tuple");
    switch (callable.role.kind) {
      case "dict":
        return this.dict(args.items, m);
      case "rebuild-tensor":
        return this.tensor(args.items, null, m);
      case "rebuild-tensor-v3": {
        const type = args.items[6];
        if (!(type instanceof PickleGlobal) || type.role.kind !== "dtype") return m.wrong("a tensor without dtype");
        return this.tensor(args.items, type.role.dtype, m);
      }
      case "rebuild-parameter": {
        const data = args.items[0];
        return data instanceof TensorRecord ? data : m.wrong("a parameter without tensor");
      }
      case "size":
        return args.items[0] instanceof PickleTuple ? args.items[0] : new PickleTuple([]);
      case "inert":
        return new PickleInert(callable.name);
      default:
        return m.wrong(`${callable.name} cannot be called`);
    }
  }

  /** Only known records take state, and all of them ignore it (`_metadata`, a Namespace's fields). */
  build(target: PickleValue, _state: PickleValue, m: PickleMachine): void {
    if (target instanceof PickleDict || target instanceof PickleInert || target instanceof TensorRecord) return;
    m.wrong("BUILD on something that takes no state");
  }

  /** OrderedDict() or Python 2's OrderedDict([[key, value], ...]); a defaultdict's factory is ignored. */
  private dict(args: readonly PickleValue[], m: PickleMachine): PickleDict {
    const dict = new PickleDict();
    const source = args[0];
    if (!(source instanceof PickleList)) return dict; // a Counter's dict carries no weights
    m.charge(source.items.length);
    for (const pair of source.items) {
      const items = pair instanceof PickleList || pair instanceof PickleTuple ? pair.items : [];
      if (items.length !== 2) return m.wrong("an OrderedDict item that is not a pair");
      dict.entries.set(items[0]!, items[1]!);
    }
    return dict;
  }

  /** (storage, offset, size, strides, ...): the view must lie inside its storage. */
  private tensor(args: readonly PickleValue[], declared: DType | null, m: PickleMachine): TensorRecord {
    const [storage, rawOffset, rawSize, rawStrides] = args;
    if (!(storage instanceof StorageRecord)) return m.wrong("a tensor without storage");
    const shape = this.wholes(rawSize, m, "a tensor's size");
    const strides = this.wholes(rawStrides, m, "a tensor's strides");
    const count = elementCount(shape);
    if (count === null || shape.length !== strides.length) {
      return m.wrong(`a tensor of impossible size [${shape.slice(0, 12)}] with strides [${strides.slice(0, 12)}]`);
    }
    const dtype = declared ?? storage.dtype;
    if (declared !== null && !storage.untyped && declared !== storage.dtype)
      return m.wrong("a tensor of another dtype");
    const unit = bitsOf(dtype) / bitsOf(storage.dtype);
    const offset = this.whole(rawOffset, m, "a tensor's storage offset") + storage.viewStart / unit;
    if (!Number.isInteger(offset)) return m.wrong("a tensor that starts inside an element");
    const last = count === 0 ? offset : offset + shape.reduce((sum, extent, i) => sum + (extent - 1) * strides[i]!, 0);
    const end = Math.floor((storage.viewStart + storage.viewElements) / unit);
    if (!Number.isSafeInteger(last) || (count === 0 ? offset > end : last >= end)) {
      return m.wrong(`a tensor [${shape}] at element ${offset} leaves its storage of ${end} elements`);
    }
    this.account((count * bitsOf(dtype)) / 8, (storage.elements * bitsOf(storage.dtype)) / 8, m);
    return new TensorRecord(storage, dtype, offset, shape, strides);
  }

  /** A stride of 0 lets one element stand for billions: repacked bytes are bounded by what the file holds. */
  private account(tensorBytes: number, storageBytes: number, m: PickleMachine): void {
    this.logicalBytes += tensorBytes;
    const limit = Math.max(this.fileBytes, storageBytes);
    if (tensorBytes > limit) m.wrong(`a tensor of ${tensorBytes} bytes in a file of ${this.fileBytes}`);
    if (this.logicalBytes > MAX_LOGICAL_FACTOR * limit + LOGICAL_SLACK_BYTES) {
      m.wrong(`tensors of more than ${this.logicalBytes} bytes in a file of ${this.fileBytes}`);
    }
  }

  private whole(value: PickleValue | undefined, m: PickleMachine, what: string): number {
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
    return m.wrong(`${what} is not a whole number below 2^53`);
  }

  private wholes(value: PickleValue | undefined, m: PickleMachine, what: string): number[] {
    if (!(value instanceof PickleTuple) && !(value instanceof PickleList)) return m.wrong(`${what} is not a tuple`);
    if (value.items.length > MAX_RANK)
      return m.wrong(`${what} has rank ${value.items.length}, the limit is ${MAX_RANK}`);
    return value.items.map((item) => this.whole(item, m, what));
  }
}
