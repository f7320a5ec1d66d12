/**
 * PyTorch checkpoints without PyTorch: the frames that tools/reference/export_skeleton.py kept (every byte of a file that
 * torch.save wrote, except the tensor data), filled with the weights of the synthetic recipe.
 */
import { readFile } from "node:fs/promises";
import { gunzipSync } from "node:zlib";
import { syntheticTensor } from "./synthetic.ts";

export type Container = "legacy" | "zip";

interface Layout {
  /** Size and SHA-256 of the whole file as PyTorch wrote it. */
  bytes: number;
  sha256: string;
  /** Offset of the data in the file, canonical name (or "num_batches_tracked"), shape; in file order. */
  storages: [offset: number, name: string, shape: number[]][];
}

const folder = new URL("./golden/models/", import.meta.url);

/** Where which tensor lies in the checkpoint of a TSM model, and the SHA-256 of the whole. */
export async function checkpointLayout(model: string, container: Container): Promise<Layout> {
  return JSON.parse(await readFile(new URL(`${model}.${container}.json`, folder), "utf8")) as Layout;
}

async function assemble(model: string, container: Container): Promise<Uint8Array> {
  const layout = await checkpointLayout(model, container);
  const frame = gunzipSync(await readFile(new URL(`${model}.${container}.gz`, folder)));
  const file = new Uint8Array(layout.bytes);
  let taken = 0;
  let position = 0;
  for (const [offset, name, shape] of layout.storages) {
    file.set(frame.subarray(taken, taken + offset - position), position);
    taken += offset - position;
    const counter = name === "num_batches_tracked";
    const data = new Uint8Array(counter ? BigInt64Array.of(1n).buffer : syntheticTensor(name, shape).buffer);
    file.set(data, offset);
    position = offset + data.length;
  }
  file.set(frame.subarray(taken), position);
  return file;
}

/**
 * The whole checkpoint of a TSM model (official key names, synthetic weights) in PyTorch's legacy container of five pickles.
 * tsm-resnet*: 98 to 172 MB; tsm-mobilenetv2: 11 MB; tsm-mobilenetv2-online: 9 MB.
 */
export function assembleLegacy(model: string): Promise<Uint8Array> {
  return assemble(model, "legacy");
}

/** The same checkpoint in PyTorch's zip container. */
export function assembleZip(model: string): Promise<Uint8Array> {
  return assemble(model, "zip");
}
