/** Opens a weight file of any known kind. The content decides, never the extension: `.pth.tar` is not a tar. */
import { fail } from "../core/fail.ts";
import type { ByteSource } from "./byte_source.ts";
import { readExactly } from "./byte_source.ts";
import { openSafetensors } from "./safetensors.ts";
import type { Checkpoint } from "./types.ts";

export type { ByteSource } from "./byte_source.ts";
export type { DType } from "./dtype.ts";
export type { Checkpoint, Container, TensorInfo } from "./types.ts";

const SNIFF_BYTES = 512;

/** Files that are often given instead of weights: where their mark is, the mark (Latin-1), what it is and what to do. */
const IMPOSTORS: readonly (readonly [number, string, string])[] = [
  [
    0,
    "version https://git-lfs",
    "is a Git LFS pointer, not the weights; run `git lfs pull` or download the file itself",
  ],
  [0, "\x1f\x8b", "is a gzip archive; unpack it and give the file inside"],
  [257, "ustar", "is a tar archive; unpack it and give the .pth or .safetensors file inside"],
  [0, "BZh", "is a bzip2 archive; unpack it and give the file inside"],
  [0, "\xfd7zXZ\0", "is an xz archive; unpack it and give the file inside"],
  [0, "\x28\xb5\x2f\xfd", "is a zstd archive; unpack it and give the file inside"],
  [0, "\x89HDF\r\n", "is an HDF5 (Keras) file; export the weights as safetensors"],
  [0, "GGUF", "is a GGUF file; export the weights as safetensors"],
  [4, "TFL3", "is a TensorFlow Lite file; export the weights as safetensors"],
];
const HTML = /^(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|head|body|\?xml|!--)/i;

/**
 * Opens safetensors, torch zip or torch legacy; reads what lists the tensors and no tensor data.
 * Throws "bad-file" (empty, HTML, unknown, malformed), "unsupported", "unsupported-pickle" or "truncated", one line each.
 * A file that was cut after its header opens: see `missingBytes` and `TensorInfo.present`.
 */
export async function openCheckpoint(source: ByteSource): Promise<Checkpoint> {
  const { name, size } = source;
  if (size === 0) fail("bad-file", `${name}: the file is empty (0 bytes); download it again`);
  const head = await readExactly(source, 0, Math.min(size, SNIFF_BYTES), "the start of the file");
  const text = Array.from(head, (byte) => String.fromCharCode(byte)).join("");
  if (text[8] === "{") return openSafetensors(source); // no other format below has this byte there
  if (HTML.test(text))
    fail("bad-file", `${name}: is an HTML page, not weights; the download went wrong, check the address`);
  for (const [at, mark, what] of IMPOSTORS) if (text.startsWith(mark, at)) fail("bad-file", `${name}: ${what}`);
  if (text.startsWith("PK\x03\x04") || text.startsWith("PK\x05\x06")) return (await torch(name)).openTorchZip(source);
  if (looksLikePickle(text)) return (await torch(name)).openTorchLegacy(source);
  if (/\.safetensors$/i.test(name)) return openSafetensors(source); // its own error says what is wrong with it
  const start = Array.from(head.subarray(0, 8), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return fail(
    "bad-file",
    `${name}: unknown format (starts with ${start}); give a safetensors or a torch .pth/.pt file`,
  );
}

/** The module of the torch readers, fetched when the first torch file is opened. */
function torch(name: string): Promise<typeof import("./torch.ts")> {
  return import("./torch.ts").catch((cause) =>
    fail(
      "unsupported",
      `${name}: the part that reads torch files cannot be loaded; serve every file of dist`,
      {},
      cause,
    ),
  );
}

/** Protocol 2 and later start with PROTO; protocols 0 and 1 with a global, a dict or a list. */
function looksLikePickle(text: string): boolean {
  return /^\x80/.test(text) || /^\(*c[\w.]+\n/.test(text) || /^\([dl]p\d+\n/.test(text);
}
