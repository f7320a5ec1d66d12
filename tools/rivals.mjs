// In Node: which rivals are installed here, and the scripts that a page loads them by.
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

/** Rival -> its packages; those without files of their own for a page are bundled into one script. */
const PACKAGES = {
  "ort-webgpu": { packages: ["onnxruntime-web"], script: null },
  "ort-wasm": { packages: ["onnxruntime-web"], script: null },
  tfjs: { packages: ["@tensorflow/tfjs-core", "@tensorflow/tfjs-backend-webgpu"], script: "tfjs" },
  litert: { packages: ["@litertjs/core", "flatbuffers"], script: "litert" },
  jax: { packages: ["@jax-js/jax"], script: "jax" },
};

const folderOf = (root) => join(root, "bench", "rival");

/** Folders that a page reads, by name. */
export function rivalFolders(root) {
  return {
    models: join(folderOf(root), "models"),
    ort: join(folderOf(root), "node_modules", "onnxruntime-web", "dist"),
    litert: join(folderOf(root), "node_modules", "@litertjs", "core", "wasm"),
    scripts: join(root, "node_modules", ".cache", "kinema", "rival"),
  };
}

/** Rivals whose packages are installed; onnxruntime-web needs the case's file beside, which `hasModel` tells. */
export function rivalsHere(root) {
  const has = (name) => existsSync(join(folderOf(root), "node_modules", name, "package.json"));
  return Object.entries(PACKAGES).flatMap(([rival, { packages }]) => (packages.every(has) ? [rival] : []));
}

export const hasModel = (root, name) => existsSync(join(rivalFolders(root).models, `${name}.onnx`));

/** Bundles each installed rival that a page cannot load as it is. */
export async function bundleRivals(root) {
  const { scripts } = rivalFolders(root);
  mkdirSync(scripts, { recursive: true });
  for (const rival of rivalsHere(root)) {
    const { packages, script } = PACKAGES[rival];
    if (!script) continue;
    const [main, ...more] = packages;
    const { version } = JSON.parse(readFileSync(join(folderOf(root), "node_modules", main, "package.json"), "utf8"));
    const lines = [`export * from "${main}";`, ...more.map((name) => `export * from "${name}";`)];
    const contents = [...lines, `export const version = "${version}";`].join("\n");
    await build({
      stdin: { contents, resolveDir: folderOf(root), loader: "js" },
      ...{ outfile: join(scripts, `${script}.js`), bundle: true, minify: true, format: "esm", target: "es2022" },
      ...{ platform: "browser", logLevel: "error", define: { "process.env.NODE_ENV": '"production"' } },
      // TensorFlow.js asks for them where there is no browser.
      external: ["crypto", "worker_threads", "perf_hooks", "util", "os", "node-fetch", "string_decoder"],
    });
  }
}
