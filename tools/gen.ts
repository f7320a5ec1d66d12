// kernels/*.wgsl -> src/kernels.gen.ts: source, bindings with access, params with offsets, consts, aliases. The parser stays here.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
// The package's "main" is CommonJS under "type": "module" and cannot be imported by name (wgsl_reflect 1.6.0).
import { WgslReflect } from "wgsl_reflect/wgsl_reflect.module.js";

const KNOB = /^const ([A-Z][A-Z0-9_]*)\s*(?::\s*\w+)?\s*=\s*(?:(\d+)u?|(true|false));/gm;
const ALIAS = /^alias (\w+) = ([^;]+);/gm;
const PARAM_TYPES: Record<string, string> = { mat3x3: "mat3x3f", vec3: "vec3f", vec4: "vec4f" };

interface ReflectedVariable {
  name: string;
  group: number;
  binding: number;
  access?: string;
  size: number;
  members?: { name: string; offset: number; type: { name: string; format?: { name: string } } }[];
}

/** Comments go, lines stay, so that a compiler's line numbers are those of the kernel file. `// unroll` and `// registers` are no comments. */
function stripComments(code: string): string {
  return code
    .split("\n")
    .map((line) => line.replace(/\s*\/\/(?! (?:unroll|registers)\b).*$/, "").trim())
    .join("\n")
    .trimEnd();
}

function camelCase(name: string): string {
  return name.replace(/_(\w)/g, (_all, letter: string) => letter.toUpperCase());
}

/** What wgsl_reflect 1.6.0 can read: subgroup matrices, which it cannot, become vectors. */
export const readable = (code: string): string =>
  code
    .replace(/^(?:enable|diagnostic)\b.*$/gm, "")
    .replace(/\bsubgroup_matrix_\w+<[^>]*>/g, "vec4f")
    .replace(/\b(subgroupMatrix\w+)<[^>]*>/g, "$1");

/** What the rest of the engine knows of one kernel file; throws when reflection missed something that the text declares. */
export function describe(name: string, code: string): object {
  const reflect = new WgslReflect(readable(code));
  const bindings: Record<string, { index: number; kind: string }> = {};
  const add = (variables: ReflectedVariable[], kind: (v: ReflectedVariable) => string) => {
    for (const v of variables) {
      if (v.group !== 0) throw new Error(`${name}: binding ${v.name} is in group ${v.group}; kernels use group 0`);
      bindings[v.name] = { index: v.binding, kind: kind(v) };
    }
  };
  const r = reflect as unknown as Record<string, ReflectedVariable[]>;
  add(r.storage ?? [], (v) => (v.access === "read_write" ? "read_write" : "read"));
  add(r.uniforms ?? [], () => "uniform");
  add(r.textures ?? [], () => "texture");
  add(r.samplers ?? [], () => "sampler");
  const declared = (code.match(/@binding\(/g) ?? []).length;
  if (Object.keys(bindings).length !== declared)
    throw new Error(`${name}: ${declared} bindings declared, ${Object.keys(bindings).length} reflected`);
  if (reflect.entry.compute.length !== 1 || reflect.entry.compute[0]?.name !== "main")
    throw new Error(`${name}: one entry point "main"`);

  const uniform = (r.uniforms ?? [])[0];
  if (uniform?.name !== "params" || (r.uniforms ?? []).length !== 1)
    throw new Error(`${name}: one uniform, named params`);
  const params: Record<string, { offset: number; type: string }> = {};
  for (const member of uniform.members ?? []) {
    params[member.name] = { offset: member.offset, type: PARAM_TYPES[member.type.name] ?? member.type.name };
  }
  const consts: Record<string, number | boolean> = {};
  for (const [, knob, number, flag] of code.matchAll(KNOB))
    consts[knob as string] = number === undefined ? flag === "true" : Number(number);
  const aliases = Object.fromEntries([...code.matchAll(ALIAS)].map(([, alias, type]) => [alias, type]));
  return { name, code: stripComments(code), bindings, params, paramsBytes: uniform.size, consts, aliases };
}

/** Writes the typed module. */
export function generate(folder: string, out: string): number {
  const files = readdirSync(folder)
    .filter((f) => f.endsWith(".wgsl"))
    .sort();
  const parts = files.map((file) => {
    const name = camelCase(file.replace(/\.wgsl$/, ""));
    return `export const ${name} = ${JSON.stringify(describe(name, readFileSync(`${folder}/${file}`, "utf8")), null, 1)} as const;\n`;
  });
  const text = `// Written by tools/gen.ts from kernels/*.wgsl; not edited, not committed.\n${parts.join("\n")}`;
  // Left alone when nothing changed: another process may be reading it.
  if (!existsSync(out) || readFileSync(out, "utf8") !== text) writeFileSync(out, text);
  return files.length;
}
