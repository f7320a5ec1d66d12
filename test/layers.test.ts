// Imports point one way (ARCHITECTURE.md), library code knows no Node, and files stay readable.
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../src", import.meta.url));
const files = new Map(
  readdirSync(root, { recursive: true })
    .map((file) => String(file).replaceAll("\\", "/"))
    .filter((file) => file.endsWith(".ts") && !file.endsWith(".d.ts"))
    .map((file) => [file, readFileSync(`${root}/${file}`, "utf8")]),
);

/** The engine: everything that has to run in a page, a worker, Node and Deno alike. */
const library = [...files].filter(([file]) => !/^(host|cli)\//.test(file));

interface Import {
  readonly from: string;
  /** A file of src, `node:...`, or a package. */
  readonly to: string;
  /** Gone after compilation. */
  readonly typeOnly: boolean;
}

function importsOf([file, code]: [string, string]): Import[] {
  const statements = code.matchAll(
    /^(?:import|export)\b([^;"'`()=]*?)\bfrom\s*"([^"]+)"|\bimport\(\s*"([^"]+)"\s*\)/gm,
  );
  const bare = code.matchAll(/^import\s*"([^"]+)"/gm);
  return [...statements, ...[...bare].map(([all, path]) => [all, "", path] as const)].map(([, what, path, dynamic]) => {
    const target = (path ?? dynamic)!;
    const names =
      what
        ?.replace(/[{}*]/g, " ")
        .split(",")
        .map((name) => name.trim())
        .filter((name) => name !== "") ?? [];
    const typeOnly =
      /^\s*type\b/.test(what ?? "") || (names.length > 0 && names.every((name) => name.startsWith("type ")));
    return { from: file, to: target.startsWith(".") ? posix.join(posix.dirname(file), target) : target, typeOnly };
  });
}

const imports = [...files].flatMap(importsOf);

/** What a folder (or file) of src may import besides itself. First match decides. */
const RULES: readonly (readonly [from: RegExp, allowed: RegExp])[] = [
  [/^core\//, /^$/],
  [/^ops\//, /^(core\/|kernels\.gen\.ts$)/],
  [/^gpu\//, /^core\//],
  [/^weights\//, /^core\//],
  [/^labels\//, /^core\//],
  [/^store\//, /^(core\/|weights\/byte_source\.ts$)/],
  [/^models\//, /^(core\/|ops\/|weights\/(models|types)\.ts$)/],
  [/^session\.ts$/, /^(core|gpu)\//],
  [/^video\//, /^(core\/|gpu\/|kernels\.gen\.ts$|session\.ts$|gl-matrix|mediabunny$)/],
  [/^(index\.ts$|entries\/)/, /^(?!host\/|cli\/|node:)/],
  [/^host\/page\//, /^(?!host\/(?!page\/)|cli\/|index\.ts|node:)/], // runs in the browser, and runs the library
  [/^host\//, /^(core\/|store\/|weights\/|node:|webgpu$|puppeteer-core$)/],
  [/^cli\//, /./],
  [
    /^(augmenter|ceilings|classifier|codes_classifier|compare|compressor|explain|latent_transform|moments|precision|profile|run|timeline|tune)\.ts$/,
    /^(?!host\/|cli\/|index\.ts|node:)/,
  ],
  [/^kernels\.gen\.ts$/, /^$/],
];

describe("layers", () => {
  it("sees the imports", () => {
    expect(imports.length).toBeGreaterThan(200);
    expect(imports).toContainEqual({ from: "models/head.ts", to: "ops/index.ts", typeOnly: false });
    expect(imports).toContainEqual({ from: "core/op.ts", to: "core/kernel.ts", typeOnly: true });
    expect(imports).toContainEqual({ from: "host/dawn.ts", to: "webgpu", typeOnly: false });
  });

  it("imports point toward core", () => {
    const wrong = imports.filter(({ from, to, typeOnly }) => {
      const rule = RULES.find(([pattern]) => pattern.test(from));
      if (!rule) return true;
      const folder = from.includes("/") ? from.slice(0, from.indexOf("/") + 1) : from;
      if (from.startsWith("video/") && to === "session.ts" && !typeOnly) return true;
      return !(to.startsWith(folder) || rule[1].test(to));
    });
    expect(wrong).toEqual([]);
  });

  it("every import of ours is a file", () => {
    const missing = imports.filter(({ to }) => /^[\w./]+\.ts$/.test(to) && !files.has(to));
    expect(missing).toEqual([]);
  });

  it("nothing imports tests, benches, tools, or the WGSL parser", () => {
    const outside = imports.filter(({ to }) => /^\.\.|wgsl_reflect/.test(to) && to !== "../package.json");
    expect(outside).toEqual([]);
  });

  it("no file needs itself at run time", () => {
    const needs = new Map(
      [...files.keys()].map((file) => [file, imports.filter((i) => i.from === file && !i.typeOnly).map((i) => i.to)]),
    );
    const done = new Set<string>();
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) expect.fail([...path, file].join(" -> "));
      if (done.has(file)) return;
      for (const next of needs.get(file) ?? []) visit(next, [...path, file]);
      done.add(file);
    };
    for (const file of files.keys()) visit(file, []);
  });

  it("the library knows no Node", () => {
    expect(imports.filter(({ from, to }) => !/^(host|cli)\//.test(from) && to.startsWith("node:"))).toEqual([]);
    const globals = library.filter(([, code]) =>
      /\b(process|Buffer|__dirname)\b(?!`)[.(]|\brequire\(/.test(withoutComments(code)),
    );
    expect(globals.map(([file]) => file)).toEqual([]);
  });

  it("only gpu, the session, the ingest and the hosts say GPU...", () => {
    const say = library.filter(([, code]) => /\bGPU[A-Z]\w*/.test(withoutComments(code))).map(([file]) => file);
    expect(say.length).toBeGreaterThan(3);
    expect(say.filter((file) => !/^(gpu\/|session\.ts$|video\/ingest)/.test(file))).toEqual([]);
  });

  it("no file is over 300 lines", () => {
    const long = [...files].filter(([file, code]) => file !== "kernels.gen.ts" && code.split("\n").length > 301);
    expect(long.map(([file]) => file)).toEqual([]);
  });
});

function withoutComments(code: string): string {
  return code.replace(/\/\*[\s\S]*?\*\//g, "").replace(/\/\/.*$/gm, "");
}
