/** The page of opfs.test.ts: starts the worker, and reads its file as a page can. */
import { openStore } from "../../../src/store/index.ts";
import { opfsFile } from "../../../src/store/opfs.ts";
import { fromBlob } from "../../../src/weights/byte_source.ts";

export { serve } from "../../../src/host/page/rpc.ts";

/** Runs a task of the worker whose script is `code`. */
export async function inWorker({ code, task }: { code: string; task: string }): Promise<unknown> {
  const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  const worker = new Worker(url);
  try {
    return await new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => ("error" in data ? reject(new Error(data.error)) : resolve(data.result));
      worker.onerror = (event) => reject(new Error(event.message));
      worker.postMessage(task);
    });
  } finally {
    worker.terminate();
    URL.revokeObjectURL(url);
  }
}

/** What a page sees of the worker's store, and what it is told where only a worker may. */
export async function fromPage(): Promise<{ steps: number; refused: string }> {
  const root = await navigator.storage.getDirectory();
  const file = await (await (await root.getDirectoryHandle("films")).getFileHandle("a.kvc")).getFile();
  const reader = await openStore(fromBlob(file));
  const refused = await opfsFile("films/a.kvc").catch((error) => `${error.code}: ${error.message}`);
  return { steps: reader.steps(), refused: String(refused) };
}
