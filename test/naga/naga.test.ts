// The kernels under wgpu and its compiler naga, in f32 and in f16: see README.md beside this file.
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { beforeAll, describe, expect, it } from "vitest";
import { findWgpu } from "./find.ts";
import type { Line } from "./line.ts";

const wgpu = findWgpu();

/** Runs main.ts in Deno. It needs no permission: no file, no network. */
async function runInDeno({ deno, env }: NonNullable<typeof wgpu>): Promise<Line[]> {
  const folder = await mkdtemp(join(tmpdir(), "kinema-naga-"));
  try {
    const outfile = join(folder, "main.mjs");
    const options = { bundle: true, format: "esm", target: "es2022", platform: "neutral", logLevel: "error" } as const;
    await build({ entryPoints: [join(import.meta.dirname, "main.ts")], outfile, ...options });
    const { stdout, stderr } = await promisify(execFile)(deno, ["run", "--unstable-webgpu", "--no-prompt", outfile], {
      env: { ...process.env, ...env, XDG_RUNTIME_DIR: folder, DENO_DIR: folder, NO_COLOR: "1" },
      maxBuffer: 2 ** 26,
    });
    expect(stderr.trim()).toBe("");
    return stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Line);
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe.skipIf(!wgpu)(wgpu ? "wgpu" : "wgpu, absent: node test/naga/install.mjs", () => {
  let lines: Line[];
  beforeAll(async () => {
    lines = await runInDeno(wgpu!);
  }, 420_000);

  const cases = (kind: string, form: string, body: string | null = null) =>
    lines.flatMap((line) =>
      "case" in line && line.kind === kind && line.form === form && line.body === body ? [line] : [],
    );
  const wrong = (list: readonly { readonly wrong: readonly string[] }[]) => list.flatMap((line) => line.wrong);

  it("offers f16 on lavapipe", () => {
    expect(lines[0]).toMatchObject({ adapter: expect.stringContaining("llvmpipe"), f16: true });
  });

  it("compiles every kernel variant", () => {
    const variants = lines.flatMap((line) => ("variant" in line ? [line] : []));
    expect(variants.filter(({ variant }) => variant.includes("mat4x4h")).length).toBeGreaterThan(10);
    expect(wrong(variants)).toEqual([]);
  });

  it.each(["cpu", "gpu"])("gives every op case its f64 answer, tiles for a %s", (kind) => {
    expect(cases(kind, "f32").length).toBeGreaterThan(50);
    expect(wrong(cases(kind, "f32"))).toEqual([]);
  });

  it.each(["cpu", "gpu"])("gives f16 and int8 weights the answer of the numbers they hold, tiles for a %s", (kind) => {
    for (const form of ["native", "unpacked", "arithmetic", "int8"]) {
      expect(cases(kind, form).length).toBeGreaterThan(20);
      expect(wrong(cases(kind, form))).toEqual([]);
    }
  });

  it.each(["f32", "native", "unpacked", "arithmetic", "int8"])(
    "gives them in workgroup memory too, weights %s",
    (form) => {
      const tiled = lines.flatMap((line) => ("case" in line && line.body !== null && line.form === form ? [line] : []));
      expect(new Set(tiled.map(({ body }) => body)).size).toBeGreaterThan(5);
      expect(tiled.length).toBeGreaterThan(30);
      expect(wrong(tiled)).toEqual([]);
    },
  );

  it("runs whole models with f16 weights near f32", () => {
    const models = lines.flatMap((line) => ("model" in line ? [line] : []));
    expect(models.length).toBeGreaterThan(1);
    // A weight is off by a share of 2^-12 on average; sums over independent weights keep that share, layers add it up like
    // a walk: sqrt(50 layers) * 2^-12 = 0.0017. Three times that is an angle of 0.005, whose cosine is 1 - 1.3e-5.
    for (const { model, cosine, equal } of models) {
      expect(cosine, model).toBeGreaterThan(1 - 1.3e-5);
      expect(equal, `${model}: f16 weights were used`).toBe(false);
    }
  });
});
