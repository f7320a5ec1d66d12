import { rmSync } from "node:fs";
import { atExit } from "../host/exit.ts";
import { nodeStoreFile } from "../host/store_file.ts";
import { createStore, type StoreDescription, type StoreWriter } from "../store/index.ts";

/** Chunks that are committed together: a crash costs nothing that the store they come from does not have. */
const CHUNKS_PER_COMMIT = 64;

/**
 * Makes a store of another one's codes, at a path where nothing is yet: it is there whole or, where `fill` fails or the process is ended meanwhile, not
 * at all. Returns what `fill` gave.
 */
export async function newStore<T>(
  path: string,
  description: StoreDescription,
  fill: (writer: StoreWriter) => Promise<T>,
): Promise<T> {
  const file = await nodeStoreFile(path, { create: "new" });
  const remove = () => rmSync(path, { force: true });
  const forget = atExit(remove);
  try {
    const writer = await createStore(file, description, { chunksPerCommit: CHUNKS_PER_COMMIT });
    const filled = await fill(writer);
    await writer.close();
    return filled;
  } catch (error) {
    await file.close();
    remove();
    throw error;
  } finally {
    forget();
  }
}
