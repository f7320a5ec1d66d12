// The kernel rules (kernels/README.md), read off the files themselves, and what specialise() may do to them.
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WgslReflect } from "wgsl_reflect/wgsl_reflect.module.js";
import type { Graph } from "../src/core/graph.ts";
import type { Dispatch, Kernel } from "../src/core/kernel.ts";
import type { Caps } from "../src/core/op.ts";
import { specialise } from "../src/core/specialise.ts";
import { compile } from "../src/gpu/pipelines.ts";
import { type Dawn, openNullDawn } from "../src/host/dawn.ts";
import * as generated from "../src/kernels.gen.ts";
import { readable, describe as reflectKernel } from "../tools/gen.ts";
import { CASES } from "./cases/index.ts";
import { fullModels, variantsOf } from "./pipelines.ts";
import { smallModels } from "./small_models.ts";

const folder = new URL("../kernels/", import.meta.url);
const names = readdirSync(folder).filter((file) => file.endsWith(".wgsl"));
const files = names.map((file): [string, string] => [file, readFileSync(new URL(file, folder), "utf8")]);
const kernels = Object.values(generated as Record<string, Kernel>);

/** Bodies of the loops marked `// unroll`. */
const marked = (code: string): string[] => bodies(code, /\{\s*\/\/ unroll/g);

/** The blocks whose opening brace is the first in what `head` finds. */
function bodies(code: string, head: RegExp): string[] {
  return [...code.matchAll(head)].map(({ index }) => {
    let at = index;
    for (let depth = 0; at < code.length; at++) {
      if (code[at] === "{") depth++;
      else if (code[at] === "}" && --depth === 0) break;
    }
    return code.slice(index, at);
  });
}

const MATRICES = "chromium-experimental-subgroup-matrix";

const withoutComments = (code: string) => code.replace(/\/\/.*$/gm, "");

describe.each(files)("%s", (_file, code) => {
  const reflected = new WgslReflect(readable(code));
  const bindings = reflected.getBindGroups();
  const text = withoutComments(code);

  it("has one entry point, main, of at most 256 threads", () => {
    expect(Object.values(reflected.entry).flat()).toHaveLength(1);
    expect(reflected.entry.compute[0]!.name).toBe("main");
    expect(text).toMatch(/@compute @workgroup_size\(WG\)\s*fn main\(/);
    expect(Number(/const WG = (\d+)u;/.exec(text)![1])).toBeLessThanOrEqual(256);
  });

  it("binds in group 0, from 0 up, params last, at most 8 storage buffers", () => {
    expect(bindings).toHaveLength(1);
    expect(bindings[0]!.map(({ binding }) => binding)).toEqual(bindings[0]!.map((_, i) => i));
    expect(bindings[0]!.at(-1)!.name).toBe("params");
    expect(reflected.uniforms.map(({ name }) => name)).toEqual(["params"]);
    expect(reflected.storage.length).toBeLessThanOrEqual(8);
    expect([...text.matchAll(/@binding\((\d+)\)/g)].map(([, n]) => Number(n))).toEqual(bindings[0]!.map((_, i) => i));
  });

  it("says what it computes, which thread owns what, and the shape of every binding", () => {
    const head = code.slice(0, code.search(/^[^/\n]/m));
    expect(head).toMatch(/^\/\/ \S/);
    expect(head, "a formula, indented").toMatch(/^\/\/ {2,}\S.* = /m);
    expect(head).toMatch(/[Aa] thread owns/);
    for (const line of code.split("\n").filter((l) => l.includes("@binding") && !l.includes("<uniform>"))) {
      expect(line).toMatch(line.includes("<storage") ? /; +\/\/ \[[\w *,+]+\]/ : /; +\/\/ \w/);
    }
  });

  it("names params in words and knobs in capitals", () => {
    const members = reflected.uniforms[0]!.members!.map(({ name }) => name);
    for (const name of members) expect(name).toMatch(/^[a-z][a-z0-9_]*$/);
    for (const [, name] of text.matchAll(/^const (\w+)/gm)) expect(name).toMatch(/^[A-Z][A-Z0-9_]*$/);
  });

  it("has no infinity, no override, no arrayLength, no enable", () => {
    expect(text).not.toMatch(/\binf(inity)?\b|0x7f800000|\/ *0\.0\b|log\(0/i);
    expect(text).not.toMatch(/\boverride\b|\barrayLength\b|^\s*requires\b/m);
    // Subgroup matrices have no other spelling; f16 comes in as another type.
    const directives = text.match(/^\s*(enable|diagnostic)\b.*$/gm) ?? [];
    // Subgroups are enabled where a const needs them, and specialise() leaves these lines out elsewhere.
    const subgroups = ["enable subgroups;", "diagnostic(off, subgroup_uniformity);"];
    const extra = directives.filter((line) => !line.includes("subgroup_matrix") && !subgroups.includes(line.trim()));
    expect(extra).toEqual([]);
  });

  it("keeps short circuits and jumps out of unrolled loops", () => {
    // Each copy of the body gets its branches: SwiftShader took 45 s instead of 1.3 s for a window kernel. & and | do not branch.
    for (const body of marked(code).map(withoutComments))
      expect(body).not.toMatch(/&&|\|\||\b(break|continue|return)\b/);
  });

  it("gives a variable in a loop its value", () => {
    // naga without the fix of wgpu #9489 keeps what it held the time before; specialise() writes the zeros of marked arrays.
    for (const body of bodies(code, /^\s*(for|while|loop)\b/gm)) {
      const unset = body
        .split("\n")
        .filter((line) => /\bvar \w+\s*:[^=]*;/.test(line) && !line.includes("// registers"));
      expect(unset).toEqual([]);
    }
  });

  it("has the lines that compilers will name", () => {
    const { code: kept } = reflectKernel("kernel", code) as Kernel;
    expect(kept.split("\n").length).toBe(code.trimEnd().split("\n").length);
    const at = (text: string) => text.split("\n").findIndex((line) => line.includes("fn main("));
    expect(at(kept)).toBe(at(code));
  });
});

describe("compilers", () => {
  let dawn: Dawn;
  let device: GPUDevice;
  beforeAll(async () => {
    dawn = await openNullDawn();
    const adapter = (await dawn.gpu.requestAdapter())!;
    // Default limits: what every adapter has.
    device = await adapter.requestDevice({
      requiredFeatures: ["shader-f16", "subgroups", MATRICES] as GPUFeatureName[],
    });
  });
  afterAll(() => {
    device.destroy();
    dawn.close();
  });

  it.each(files)("take %s as it stands", async (_file, code) => {
    const module = device.createShaderModule({ code });
    expect((await module.getCompilationInfo()).messages.map(({ message }) => message)).toEqual([]);
    await device.createComputePipelineAsync({ layout: "auto", compute: { module } });
  });

  it("take every variant of every model and case", async () => {
    const variants = new Map<string, Dispatch>();
    const add = (graphs: readonly Graph[], adapters: readonly Omit<Caps, "f16" | "timestamps">[]) => {
      for (const graph of graphs)
        for (const caps of adapters)
          for (const weights of ["f32", "native", "int8"] as const)
            for (const [name, d] of variantsOf(graph, { ...caps, f16: true, timestamps: false, weights }))
              variants.set(name, d);
    };
    const quads = { kind: "cpu", subgroups: true } as const;
    const gpu = { kind: "gpu", subgroups: true } as const;
    // Tiles of quads grow with the work that is foreseen, those of GPUs with the product.
    const large = { ...quads, macs: 1e9 };
    const huge = { ...quads, macs: 1e10 };
    const plain = { kind: "cpu", subgroups: false } as const;
    add(
      [...smallModels(), ...CASES.map((c) => c.graph)],
      [plain, quads, large, huge, gpu, { ...gpu, subgroups: false }],
    );
    add(fullModels(), [huge, gpu]);
    const tiles = [...variants.values()]
      .filter(({ consts }) => consts.QUAD)
      .map(({ consts }) => `${consts.ROWS}x${consts.COLS}`);
    expect(new Set(tiles)).toEqual(new Set(["4x2", "4x4", "8x2", "8x4", "8x8"]));
    expect([...variants.keys()].filter((name) => name.includes("mat4x4h")).length).toBeGreaterThan(10);
    expect([...variants.keys()].filter((name) => name.includes("QUAD=true")).length).toBeGreaterThan(10);
    await Promise.all([...variants.values()].map((d) => compile(device, d.kernel, d.consts, d.retype)));
    await compile(device, generated.frameFast, {}, { frame: "texture_external" });
    await compile(device, generated.ceilingFma, {}, { Four: "vec4h" });
    await compile(device, generated.ceilingLoad, {}, { x: "array<mat4x4h>" });
  }, 180_000);

  it("tell the line of the kernel file when one does not compile", async () => {
    const broken = {
      ...generated.mean,
      name: "broken",
      code: generated.mean.code.replace("f32(params.count)", "f32(nothing)"),
    };
    const line = generated.mean.code.split("\n").findIndex((text) => text.includes("f32(params.count)")) + 1;
    await expect(compile(device, broken, {})).rejects.toThrow(
      new RegExp(`kernel broken does not compile.*line ${line}: .*nothing`),
    );
  });
});

describe("specialise", () => {
  const small = (code: string): Kernel => ({
    name: "small",
    code,
    bindings: {},
    params: {},
    paramsBytes: 0,
    consts: { N: 2, ON: false },
  });
  const squeezed = (code: string, consts = {}) => specialise(small(code), consts).replace(/\s+/g, " ").trim();

  it("replaces the value of a const and nothing else", () => {
    const code = "const N = 2u;\nconst NN = 2u;\nconst ON: bool = false;\nfn f() { let x = N; }";
    expect(specialise(small(code), { N: 7, ON: true })).toBe(
      "const N = 7u;\nconst NN = 2u;\nconst ON: bool = true;\nfn f() { let x = N; }",
    );
  });

  it("refuses a const or binding that is not there, or of another type", () => {
    expect(() => specialise(small("const N = 2;"), { M: 1 })).toThrow('kernel small has no const "M"');
    expect(() => specialise(small("const N = 2;"), { N: true })).toThrow('no const "N" of this type');
    expect(() => specialise(small("const N = 2;"), {}, { w: "array<f16>" })).toThrow(
      'kernel small has no binding or alias "w"',
    );
  });

  it("gives an alias another type, and enables f16 where that is a half", () => {
    const code = "alias Four = vec4f;\nvar a = Four();";
    expect(specialise(small(code), {}, { Four: "vec4h" })).toBe("enable f16; alias Four = vec4h;\nvar a = Four();");
    expect(specialise(small(code), {}, { Four: "vec4u" })).toBe("alias Four = vec4u;\nvar a = Four();");
  });

  it("writes marked loops out, with bounds of consts, inner loops in each copy", () => {
    expect(squeezed("for (var i = 0; i < 3; i++) { // unroll\nx += i * ii; }")).toBe(
      "{ x += 0 * ii; } { x += 1 * ii; } { x += 2 * ii; }",
    );
    const nested =
      "const N = 2;\nfor (var i = 1u; i < N + 1; i++) { // unroll\nfor (var j = 0; j < N / 2; j++) { // unroll\nf(i, j); } }";
    expect(squeezed(nested)).toBe("const N = 2; { { f(1u, 0); } } { { f(2u, 0); } }");
    expect(squeezed(nested, { N: 4 }).match(/f\(/g)).toHaveLength(8);
    expect(squeezed("for (var i = 0; i < n; i++) { f(i); }")).toContain("i < n");
  });

  it("splits marked arrays into variables, in their scope only", () => {
    const code =
      "const N = 2;\n{ var a: array<vec4f, N * 2>; // registers\na[0] += a[N + 1]; b[1] = a[(N - 1) * 2]; }\na[9] = 1;";
    expect(squeezed(code)).toBe(
      "const N = 2; { var a_0 = vec4f(); var a_1 = vec4f(); var a_2 = vec4f(); var a_3 = vec4f(); a_0 += a_3; b[1] = a_2; } a[9] = 1;",
    );
    const loop = "var a: array<f32, 2>; // registers\nfor (var i = 0; i < 2; i++) { // unroll\na[i] = b[a[i]]; }";
    expect(squeezed(loop)).toBe("var a_0 = f32(); var a_1 = f32(); { a_0 = b[a_0]; } { a_1 = b[a_1]; }");
  });

  it("refuses what it cannot compute", () => {
    expect(() => squeezed("for (var i = 0; i < n; i++) { // unroll\n}")).toThrow(
      '"n" of a marked loop or array is not a constant',
    );
    const index = (text: string) => `var a: array<f32, 4>; // registers\na[${text}] = 1.0;`;
    for (const text of ["5 % 3", "1 << 1", "k", "(1 + 2", "1 +", "2 3"])
      expect(() => squeezed(index(text)), text).toThrow("kernel small");
  });

  it("leaves out what consts rule out, and keeps every line where it was", () => {
    const code =
      "const N = 1u;\nconst A = 0u;\nconst ON = false;\nif (ON) {\nx();\n} else {\ny();\n}\nif (N == A) {\nz();\n}\nend();";
    expect(specialise(small(code), {})).toBe(
      "const N = 1u;\nconst A = 0u;\nconst ON = false;\n\n\n{\ny();\n}\n\n\n\nend();",
    );
    expect(squeezed(code, { ON: true, N: 0 })).toContain("{ x(); } { z(); } end();");
    // A chain, a condition of the run and a name that is no const stay as they are.
    for (const kept of ["if (a == 1u) { x(); }", "if (a) { x(); } else if (N == 1u) { y(); }", "if (T == 1u) { x(); }"])
      expect(squeezed(`const N = 0u; ${kept}`)).toContain(kept);
  });

  it("enables subgroups where a branch that is left needs them", () => {
    const code = "enable subgroups;  \nconst ON = false;\nif (ON) { x = quadBroadcast(x, 0u); }";
    expect(specialise(small(code), { ON: true })).toContain("enable subgroups;");
    expect(specialise(small(code), {})).toBe("  \nconst ON = false;\n");
    expect(specialise(generated.matmul, {})).not.toMatch(/enable|diagnostic/);
    expect(specialise(generated.matmul, { QUAD: true })).toContain("enable subgroups;");
  });

  it("leaves a kernel that compiles to the same text wherever it is specialised with its own values", () => {
    for (const kernel of kernels) {
      expect(specialise(kernel, { WG: kernel.consts.WG! })).toBe(specialise(kernel, {}));
      expect(specialise(kernel, {})).not.toMatch(/\/\/ (unroll|registers)/);
    }
  });
});

describe("tools/gen.ts", () => {
  const source = (text: string) => () => reflectKernel("made up", text);
  const rest =
    "struct P { n: u32 }\n@group(0) @binding(1) var<uniform> params: P;\n@compute @workgroup_size(1) fn main() { y[0] = f32(params.n); }";
  it("refuses a kernel that reflection cannot bind", () => {
    expect(source(`@group(0) @binding(0) var<storage, read_write> y: array<f32>;\n${rest}`)).not.toThrow();
    expect(source(`@group(1) @binding(0) var<storage, read_write> y: array<f32>;\n${rest}`)).toThrow(
      "kernels use group 0",
    );
    expect(
      source(`@group(0) @binding(0) var<storage, read_write> y: array<f32>;\n${rest.replaceAll("params", "p")}`),
    ).toThrow("named params");
    expect(
      source(`@group(0) @binding(0) var<storage, read_write> y: array<f32>;\n${rest.replace("main", "start")}`),
    ).toThrow("entry point");
  });
});
