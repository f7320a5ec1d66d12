// node test/naga/install.mjs: puts Deno and Mesa's lavapipe where naga.test.ts looks for them. Nothing is installed on the system.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const SYSTEM = "/usr/share/vulkan/icd.d";

/** Runs a command and returns what it printed; ends the program if it fails, having said why. */
function run(command, args, cwd = here) {
  const { status, stdout, error } = spawnSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  if (status === 0) return stdout;
  console.error(`${command} ${args.join(" ")} failed${error ? `: ${error.message}` : ""}`);
  process.exit(1);
}

const isLavapipe = (file) => /^lvp_icd.*\.json$/.test(file);

/** lavapipe's package and those of its libraries that the system lacks, unpacked into lavapipe/. */
function unpackLavapipe() {
  const plan = run("apt-get", ["install", "--simulate", "--no-install-recommends", "mesa-vulkan-drivers"]);
  // "Inst name [old version] (...)" would replace a package that is there and serves.
  const packages = [...plan.matchAll(/^Inst (\S+) \(/gm)].map(([, name]) => name);
  const folder = mkdtempSync(join(tmpdir(), "kinema-lavapipe-"));
  const root = join(here, "lavapipe");
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root);
  run("apt-get", ["download", ...packages], folder);
  for (const file of readdirSync(folder)) run("dpkg", ["-x", join(folder, file), root]);
  rmSync(folder, { recursive: true });
  const manifests = join(root, SYSTEM);
  const manifest = JSON.parse(readFileSync(join(manifests, readdirSync(manifests).find(isLavapipe)), "utf8"));
  manifest.ICD.library_path = join(root, manifest.ICD.library_path);
  writeFileSync(join(root, "lvp_icd.json"), JSON.stringify(manifest));
  return packages;
}

run("npm", ["ci", "--no-audit", "--no-fund"]);
console.log("Deno: test/naga/node_modules");
if (existsSync(SYSTEM) && readdirSync(SYSTEM).some(isLavapipe)) console.log(`lavapipe: the system's, ${SYSTEM}`);
else console.log(`lavapipe: test/naga/lavapipe, from ${unpackLavapipe().join(", ")}`);
