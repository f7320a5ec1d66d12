// npm test: generate, type-check, lint, test. The last line is "N passed, N failed[, N skipped]".
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const bin = (name) => join(root, "node_modules", ".bin", process.platform === "win32" ? `${name}.cmd` : name);
let [passed, failed, skipped] = [0, 0, 0];

/** Runs a command; one check that passes or fails. */
function check(name, command, args) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: "inherit", shell: process.platform === "win32" });
  console.log(`${status === 0 ? "ok  " : "FAIL"} ${name}`);
  if (status === 0) passed++;
  else failed++;
  return status === 0;
}

const built = check("build", process.execPath, ["tools/build.mjs"]);
check("types", bin("tsc"), ["--noEmit", "-p", "."]);
check("format and lint", bin("biome"), ["check", "--error-on-warnings"]);
if (built) {
  const folder = mkdtempSync(join(tmpdir(), "kinema-test-"));
  const report = join(folder, "report.json");
  const { status } = spawnSync(
    bin("vitest"),
    ["run", "--reporter=default", "--reporter=json", `--outputFile.json=${report}`, ...process.argv.slice(2)],
    { cwd: root, stdio: "inherit", shell: process.platform === "win32" },
  );
  try {
    const result = JSON.parse(readFileSync(report, "utf8"));
    passed += result.numPassedTests;
    failed += result.numFailedTests;
    skipped += result.numPendingTests + result.numTodoTests;
    // A file that could not even be loaded counts no test of its own.
    const broken = result.testResults.filter(
      (file) => file.status === "failed" && file.assertionResults.length === 0,
    ).length;
    failed += broken || (status !== 0 && result.numFailedTests === 0 ? 1 : 0);
  } catch {
    console.error("the tests gave no report");
    failed++;
  }
  rmSync(folder, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ""}`);
process.exit(failed === 0 ? 0 : 1);
