// node tools/render_clip/render.mjs: draws bench/assets/motion.webm and motion.json anew, in a few minutes.
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..");
const cache = join(root, "node_modules", ".cache", "kinema"); // inside the project, so that packages are found
mkdirSync(cache, { recursive: true });
const common = { bundle: true, format: "esm", logLevel: "error", loader: { ".wgsl": "text" } };
const [program, page] = [join(cache, "render_clip.mjs"), join(cache, "render_clip_page.js")];
await build({
  ...common,
  entryPoints: [join(here, "render.ts")],
  outfile: program,
  platform: "node",
  packages: "external",
});
await build({ ...common, entryPoints: [join(here, "page.ts")], outfile: page, target: "es2022" });
const { render } = await import(pathToFileURL(program).href);
await render(page, join(root, "bench", "assets"));
