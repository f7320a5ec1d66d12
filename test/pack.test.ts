// The packed bench: it holds what it needs, and starts where there is nothing else.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, it } from "vitest";
import { readReport } from "../bench/report.ts";
import { CASE_NAMES } from "../bench/run.ts";
import { typeOf } from "../src/core/kept.ts";

it.skipIf(process.platform !== "linux")(
  "starts with no PATH, no HOME and no repository",
  { timeout: 240_000 },
  async () => {
    const out = mkdtempSync(join(tmpdir(), "kinema-pack-"));
    try {
      const { packFolder } = await import(pathToFileURL(resolve("tools/bench_pack.mjs")).href);
      const folder = await packFolder(out);
      const dawn = `node_modules/webgpu/dist/linux-${process.arch}/dawn.node`;
      const torch = ["torch/bench_torch.py", "torch/reference/models.py"];
      for (const part of ["node", "bench.mjs", "run.sh", "README.txt", "LICENSE", dawn, ...torch])
        expect(existsSync(join(folder, part)), part).toBe(true);
      const run = (...args: string[]) =>
        spawnSync(join(folder, "run.sh"), args, { cwd: out, env: { PATH: "" }, encoding: "utf8" });
      const list = run("--list");
      expect(list.stderr).toBe("");
      expect(list.stdout.trim().split("\n")).toEqual(CASE_NAMES);
      const rivals = run("--beside", "all");
      expect(rivals.stderr).toMatch(/^the rivals are not part of this bench\nusage: \.\/run\.sh \[--json F\]/);
      expect(rivals.status).toBe(2);
      // It computes there too: Dawn loads, on whatever adapter the machine has, and the kernel is right.
      const json = join(out, "relu.json");
      const relu = run("--quick", "--dtype", "f16", "--case", "relu", "--json", json);
      expect(relu.status, relu.stderr).toBe(0);
      const report = readReport(readFileSync(json, "utf8"), json);
      expect(typeOf(report.weights)).toBe("f16");
      expect(report.kernels.map(({ name, refused }) => [name, refused])).toEqual([["relu", null]]);
    } finally {
      rmSync(out, { recursive: true });
    }
  },
);
