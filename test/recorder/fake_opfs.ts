// The part of the origin-private file system that the recorder uses, in memory.

type Entry = FakeFolder | FakeFile;

class FakeFile {
  readonly kind = "file";
  bytes = new Uint8Array(0);
  #open = false;

  async getFile(): Promise<File> {
    return new File([this.bytes], "file");
  }

  async createSyncAccessHandle() {
    if (this.#open) throw new DOMException("open", "NoModificationAllowedError");
    this.#open = true;
    return {
      getSize: () => this.bytes.length,
      read: (into: Uint8Array, { at }: { at: number }) => {
        const part = this.bytes.subarray(at, at + into.length);
        into.set(part);
        return part.length;
      },
      write: (from: Uint8Array, { at }: { at: number }) => {
        if (at + from.length > this.bytes.length) this.#resize(at + from.length);
        this.bytes.set(from, at);
        return from.length;
      },
      truncate: (size: number) => this.#resize(size),
      flush: () => {},
      close: () => {
        this.#open = false;
      },
    };
  }

  #resize(size: number): void {
    const bytes = new Uint8Array(size);
    bytes.set(this.bytes.subarray(0, size));
    this.bytes = bytes;
  }
}

export class FakeFolder {
  readonly kind = "directory";
  readonly #entries = new Map<string, Entry>();

  getDirectoryHandle = async (name: string, options: { create?: boolean } = {}) =>
    this.#entry(name, options.create ? () => new FakeFolder() : null) as FakeFolder;

  getFileHandle = async (name: string, options: { create?: boolean } = {}) =>
    this.#entry(name, options.create ? () => new FakeFile() : null) as FakeFile;

  async removeEntry(name: string): Promise<void> {
    this.#entry(name, null);
    this.#entries.delete(name);
  }

  async *keys(): AsyncGenerator<string> {
    yield* this.#entries.keys();
  }

  #entry(name: string, make: (() => Entry) | null): Entry {
    const there = this.#entries.get(name) ?? make?.();
    if (!there) throw new DOMException(name, "NotFoundError");
    this.#entries.set(name, there);
    return there;
  }
}
