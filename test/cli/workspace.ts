// A temporary folder of small files for the tests of the program.
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeSafetensors } from "../../src/weights/safetensors.ts";
import { syntheticTensor } from "../synthetic.ts";

export class Workspace {
  readonly folder = mkdtempSync(join(tmpdir(), "kinema-cli-"));

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Writes a file and returns its path. */
  write(name: string, content: string | Uint8Array): string {
    writeFileSync(this.path(name), content);
    return this.path(name);
  }

  /** A file that says `size` bytes and takes up hardly any. */
  sparse(name: string, head: Uint8Array, size: number): string {
    const file = openSync(this.path(name), "w");
    writeSync(file, head);
    ftruncateSync(file, size);
    closeSync(file);
    return this.path(name);
  }

  /** A safetensors file with one synthetic input: `video` or `image` [N, 3, H, W]. */
  input(
    name: string,
    tensor: "video" | "image",
    shape: readonly number[],
    change?: (data: Float32Array) => void,
  ): string {
    const data = syntheticTensor(tensor, shape);
    change?.(data);
    return this.write(name, writeSafetensors({ [tensor]: { dtype: "F32", shape, data } }));
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
