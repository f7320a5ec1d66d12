/** Stores: `.kvc` files of codes, hours long, written while recording. README.md beside this file has the format. */
export type { BytesTrack, Codebook, Codes, CodesTrack, StoreDescription, Track } from "./description.ts";
export { opfsFile } from "./opfs.ts";
export { type Chunk, type LostSteps, openStore, type Part, type StoreReader } from "./reader.ts";
export { MemoryFile, type StoreFile } from "./store_file.ts";
export { createStore, resumeStore, type StoreOptions, type StoreWriter } from "./writer.ts";
