import { createReadStream, createWriteStream, existsSync, readFileSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { brotliDecompress, createBrotliDecompress } from "node:zlib";
import { unpackOnce } from "./cache.ts";
import { readTar } from "./tar.ts";

/** The archives of the npm package `@sparticuz/chromium`, and its version; null where it cannot serve this machine. */
export interface PackagedChromium {
  readonly archives: string;
  readonly version: string;
}

/** Finds the npm package that carries a Chromium and a SwiftShader Vulkan driver (Linux x64 only). */
export function packagedChromium(): PackagedChromium | null {
  if (process.platform !== "linux" || process.arch !== "x64") return null;
  try {
    const entry = createRequire(import.meta.url).resolve("@sparticuz/chromium");
    const root = dirname(dirname(dirname(entry))); // <root>/build/cjs/index.cjs; package.json is not exported
    const archives = join(root, "bin");
    if (!existsSync(join(archives, "swiftshader.tar.br"))) return null;
    return { archives, version: JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version };
  } catch {
    return null; // not installed: npm ci --omit=optional, or a library user who has no need of it
  }
}

/** Unpacks only the software Vulkan driver and loader (15 MB) and returns their folder. */
export function unpackSwiftShader(source: PackagedChromium, onFirst?: (message: string) => void): Promise<string> {
  return unpackOnce(
    `swiftshader-${source.version}`,
    (folder) => untar(join(source.archives, "swiftshader.tar.br"), folder),
    onFirst,
  );
}

/**
 * Unpacks the browser with the driver beside it and the libraries a bare system lacks in `lib/`; returns the folder,
 * whose program is `chromium`.
 */
export function unpackChromium(source: PackagedChromium, onFirst?: (message: string) => void): Promise<string> {
  const fill = async (folder: string): Promise<void> => {
    for (const name of ["swiftshader", "al2023"]) await untar(join(source.archives, `${name}.tar.br`), folder);
    const program = createWriteStream(join(folder, "chromium"), { mode: 0o755 });
    await pipeline(createReadStream(join(source.archives, "chromium.br")), createBrotliDecompress(), program);
  };
  return unpackOnce(`chromium-${source.version}`, fill, onFirst);
}

async function untar(archive: string, folder: string): Promise<void> {
  const plain = await promisify(brotliDecompress)(await readFile(archive));
  for (const file of readTar(plain, archive)) {
    const path = join(folder, file.path);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, file.data, { mode: file.executable ? 0o755 : 0o644 });
  }
}
