// npm run bench:pack [-- --out FOLDER]: the headless bench with all that it needs, for a Linux machine that is offline. Makes
// FOLDER/kinema-bench-linux-x64/ and the same as .tar.gz; `run.sh` in it takes the flags of `npm run bench` but for the browser's.
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { commitOf } from "./commit.mjs";
import { generateKernels } from "./gen.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const MOST_MB = 60;

/** No program but the shell itself is needed, and the caller's folder stays the current one: `--json` is a path in it. */
const RUN = `#!/bin/sh
# Kinema's bench on this machine's Vulkan driver. All that it needs lies beside it; ./run.sh --list names the cases.
here=\${0%/*}
[ "$here" = "$0" ] && here=.
here=$(cd "$here" && pwd)
if [ -z "$KINEMA_CACHE" ] && [ -w "$here" ]; then
  KINEMA_CACHE=$here/cache
  export KINEMA_CACHE
fi
exec "$here/node" "$here/bench.mjs" "$@"
`;

const README = `Kinema's bench, packed: Node, Dawn (WebGPU) and the cases. Linux, glibc 2.34 or newer, no network, nothing to install.

    ./run.sh --json out.json            everything: minutes on a GPU, an hour on a processor
    ./run.sh --quick --json out.json    a look
    ./run.sh --case matmul --case tsm-resnet50 --json out.json
    ./run.sh --list                     names of the cases
    ./run.sh --bodies --dtype f16       products in every body, f32 and f16, in the same rounds
    ./run.sh --batch 8                  models of eight clips or images a run
    python3 torch/bench_torch.py --against out.json    the same cases in PyTorch, where there is one, each beside Kinema's time

It takes a real GPU's Vulkan driver where one answers, and says which adapter it is before it begins. Without one it runs on the
software adapter that it carries (SwiftShader, x64 only) and says that too. The Vulkan loader comes along. A driver in
an unusual place is named by VK_DRIVER_FILES=/path/to/icd.json, and then no other is tried. Exit status: 0 done, 1 a case was refused, 2 it could
not run. Open out.json on the bench's page (npm run bench:page), or keep it in bench/results.

node is Node.js (MIT and others), node_modules/webgpu is Dawn (BSD-3-Clause), node_modules/@sparticuz/chromium is MIT and carries
SwiftShader and the Vulkan loader (Apache-2.0). The rest is Kinema (Apache-2.0).
`;

/** Packages and the parts of them that the bench reads. SwiftShader is found in its npm package, and unpacked from there. */
const PARTS = {
  webgpu: ["index.js", "package.json", "LICENSE.md", join("dist", `linux-${process.arch}`, "dawn.node")],
  "@sparticuz/chromium": ["package.json", "LICENSE", "build/cjs/index.cjs", "bin/swiftshader.tar.br"],
};

/** The native peer: its script, and the networks that it times. */
const TORCH = {
  "tools/bench_torch.py": "bench_torch.py",
  ...Object.fromEntries(
    ["models", "mobilenetv2", "resnet", "shift", "stam", "vit"].map((name) => [
      `tools/reference/${name}.py`,
      `reference/${name}.py`,
    ]),
  ),
};

/** Makes the folder anew and returns its path. */
export async function packFolder(out) {
  const folder = join(out, `kinema-bench-linux-${process.arch}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await generateKernels();
  await build({
    entryPoints: [join(root, "bench/portable.ts")],
    outfile: join(folder, "bench.mjs"),
    ...{ bundle: true, platform: "node", target: "node20", format: "esm", external: ["webgpu"], logLevel: "error" },
    define: { BENCH_COMMIT: JSON.stringify(commitOf(root)) },
  });
  cpSync(process.execPath, join(folder, "node"), { dereference: true });
  for (const [name, parts] of Object.entries(PARTS))
    for (const part of parts) {
      const from = join(root, "node_modules", name, part);
      if (existsSync(from)) cpSync(from, join(folder, "node_modules", name, part));
      else if (name === "webgpu") throw new Error(`${from} is not there; run npm ci`);
    }
  for (const [from, to] of Object.entries(TORCH)) cpSync(join(root, from), join(folder, "torch", to));
  cpSync(join(root, "LICENSE"), join(folder, "LICENSE"));
  writeFileSync(join(folder, "README.txt"), README);
  writeFileSync(join(folder, "run.sh"), RUN);
  for (const program of ["run.sh", "node"]) chmodSync(join(folder, program), 0o755);
  return folder;
}

/** The folder as .tar.gz beside it; returns its path. */
function compress(folder) {
  const archive = `${folder}.tar.gz`;
  const name = folder.slice(dirname(folder).length + 1);
  const owner = ["--owner=0", "--group=0", "--numeric-owner"];
  const tar = spawnSync("tar", ["-C", dirname(folder), ...owner, "-I", "gzip -9", "-cf", archive, name], {
    encoding: "utf8",
  });
  if (tar.status !== 0) throw new Error(`tar: ${tar.error?.message ?? tar.stderr.trim()}`);
  return archive;
}

function outOf([flag, value, ...rest]) {
  if (flag === undefined) return join(root, "pack");
  if (flag === "--out" && value && rest.length === 0) return resolve(value);
  console.error("usage: npm run bench:pack [-- --out FOLDER]");
  return process.exit(2);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const out = outOf(process.argv.slice(2));
  if (process.platform !== "linux") {
    console.error(`the bench packs this machine's Node, so it packs on Linux only, not on ${process.platform}`);
    process.exit(2);
  }
  try {
    const archive = compress(await packFolder(out));
    const mb = statSync(archive).size / 1e6;
    console.log(`${archive}: ${mb.toFixed(1)} MB`);
    if (mb > MOST_MB) console.error(`more than the ${MOST_MB} MB that it may have: look at what Node or Dawn grew by`);
    process.exitCode = mb > MOST_MB ? 1 : 0;
  } catch (error) {
    console.error(error.message);
    process.exit(2);
  }
}
