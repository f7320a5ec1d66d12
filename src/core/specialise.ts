import { fail } from "./fail.ts";
import type { Consts, Kernel } from "./kernel.ts";

/**
 * The kernel's source with named consts given new values, the branches that they rule out left out, the loops marked
 * `// unroll` written out, and the arrays marked `// registers` split into one variable an element. The file is legal WGSL
 * before and after. It matters because a private array with a dynamic index lives in memory on every compiler, and on some
 * any private array does; and because a compiler works on a dead branch before it drops it.
 *
 * @param retype new types for bindings, e.g. `{ frame: "texture_external" }`, and for aliases, `{ Four: "vec4h" }`; a half type
 *   enables f16
 * @throws "graph" when a const, binding or alias is not in the file
 */
export function specialise(kernel: Kernel, consts: Consts, retype: Readonly<Record<string, string>> = {}): string {
  let code = kernel.code;
  for (const [name, value] of Object.entries(consts)) {
    const known = kernel.consts[name];
    if (known === undefined || typeof known !== typeof value)
      fail("graph", `kernel ${kernel.name} has no const "${name}" of this type`);
    const pattern = new RegExp(`(\\bconst ${name}\\s*(?::\\s*\\w+)?\\s*=\\s*)(-?\\d+|true|false)(u?)(\\s*;)`);
    code = code.replace(
      pattern,
      (_all, head: string, _old: string, suffix: string, tail: string) => `${head}${value}${suffix}${tail}`,
    );
  }
  for (const [name, type] of Object.entries(retype)) {
    const declared = kernel.bindings[name] ? `var(?:<[^>]*>)?\\s+${name}\\s*:\\s*` : `\\balias\\s+${name}\\s*=\\s*`;
    const pattern = new RegExp(`(${declared})[\\w<>, ]+(;)`);
    if (!pattern.test(code)) fail("graph", `kernel ${kernel.name} has no binding or alias "${name}"`);
    code = code.replace(pattern, `$1${type}$2`);
  }
  const table = constTable(code);
  // On the same line, so that a compiler's line numbers stay those of the kernel file.
  if (Object.values(retype).some((type) => HALF_TYPE.test(type))) code = `enable f16; ${code}`;
  code = withoutIdleEnables(prune(code, table, kernel.name));
  return intoRegisters(unroll(code, table, kernel.name), table, kernel.name);
}

/** `vec4h`, `array<mat4x4h>`, `f16`: what `enable f16` is for. */
const HALF_TYPE = /h>?$|\bf16\b/;

/** Without `enable subgroups` where the branches that needed it are gone. */
const withoutIdleEnables = (code: string): string =>
  /\b(?:quad|subgroup)[A-Z]\w*\(/.test(code)
    ? code
    : code.replace(/^(?:enable subgroups|diagnostic\(off, subgroup_uniformity\));/gm, "");

/** Module consts with the source text of their values. */
function constTable(code: string): Map<string, string> {
  const table = new Map<string, string>();
  for (const m of code.matchAll(/^const (\w+)\s*(?::\s*\w+)?\s*=\s*([^;]+);/gm)) table.set(m[1]!, m[2]!);
  return table;
}

/** `if` on a bool const, or on two integer consts or literals that are compared. */
const BRANCH = /\bif \((?:([A-Z]\w*)|([A-Z]\w*|\d+u?) (==|!=) ([A-Z]\w*|\d+u?))\) \{/g;

/** Leaves out the branches that consts rule out; a branch that is taken stays as a block, and every line where it was. */
function prune(code: string, consts: ReadonlyMap<string, string>, where: string): string {
  let at = 0;
  for (;;) {
    BRANCH.lastIndex = at;
    const match = BRANCH.exec(code);
    if (!match) return code;
    const [head, flag, left, relation, right] = match;
    const known = [flag, left, right].every((name) => name === undefined || /^\d/.test(name) || consts.has(name));
    const chained = /\belse\s*$/.test(code.slice(0, match.index));
    const end = matching(code, match.index + head.length - 1, "{}", where) + 1;
    const tail = /^\s*else\s*(if\b)?/.exec(code.slice(end));
    at = match.index + 1;
    if (!known || chained || tail?.[1]) continue;
    const taken = flag
      ? consts.get(flag) === "true"
      : (evaluate(left!, consts, where) === evaluate(right!, consts, where)) === (relation === "==");
    const other = end + (tail?.[0].length ?? 0);
    const last = tail ? matching(code, other, "{}", where) + 1 : end;
    const kept = taken ? code.slice(match.index + head.length - 1, end) : code.slice(other, last);
    const lines = (text: string) => "\n".repeat(text.split("\n").length - 1);
    const [above, below] = taken ? ["", lines(code.slice(end, last))] : [lines(code.slice(match.index, other)), ""];
    code = code.slice(0, match.index) + above + kept + below + code.slice(last);
  }
}

const LOOP = /for\s*\(var (\w+)\s*=\s*([^;]+);\s*\1\s*<\s*([^;]+);\s*\1\+\+\)\s*\{\s*\/\/ unroll/;

/** Expands the first marked loop until none is left; an inner loop is expanded in each copy of its outer one. */
function unroll(code: string, consts: ReadonlyMap<string, string>, where: string): string {
  for (;;) {
    const match = LOOP.exec(code);
    if (!match) return code;
    const [head, name, from, to] = match as unknown as [string, string, string, string];
    const open = match.index + head.indexOf("{");
    const close = matching(code, open, "{}", where);
    const body = code.slice(match.index + head.length, close);
    const suffix = /u\s*$/.test(from) ? "u" : "";
    const index = new RegExp(`\\b${name}\\b`, "g");
    let copies = "";
    for (let i = evaluate(from, consts, where), end = evaluate(to, consts, where); i < end; i++) {
      copies += `{${body.replace(index, `${i}${suffix}`)}}\n`;
    }
    code = code.slice(0, match.index) + copies + code.slice(close + 1);
  }
}

const ARRAY = /var (\w+)\s*:\s*array<(\w+),\s*([^>]+)>;[ \t]*\/\/ registers/;

/**
 * Splits every marked array into variables `name_0`, `name_1`, ...; all its indices are constants by now. Their zeros are
 * written out, as naga without the fix of wgpu #9489 leaves a variable in a loop what it held the time before.
 */
function intoRegisters(code: string, consts: ReadonlyMap<string, string>, where: string): string {
  for (;;) {
    const match = ARRAY.exec(code);
    if (!match) return code;
    const [declaration, name, type, length] = match as unknown as [string, string, string, string];
    const variables = Array.from(
      { length: evaluate(length, consts, where) },
      (_, i) => `var ${name}_${i} = ${type}();`,
    ).join(" ");
    const end = scopeEnd(code, match.index);
    const use = new RegExp(`\\b${name}\\[`, "g");
    let body = "";
    let at = match.index + declaration.length;
    for (use.lastIndex = at; ; ) {
      const found = use.exec(code);
      if (!found || found.index > end) break;
      const close = matching(code, use.lastIndex - 1, "[]", where);
      body += `${code.slice(at, found.index)}${name}_${evaluate(code.slice(use.lastIndex, close), consts, where)}`;
      at = use.lastIndex = close + 1;
    }
    code = code.slice(0, match.index) + variables + body + code.slice(at);
  }
}

/** Where the block ends in which position `at` stands. */
function scopeEnd(code: string, at: number): number {
  for (let i = at, depth = 0; i < code.length; i++) {
    if (code[i] === "{") depth++;
    else if (code[i] === "}" && --depth < 0) return i;
  }
  return code.length;
}

function matching(code: string, open: number, pair: string, where: string): number {
  for (let i = open, depth = 0; i < code.length; i++) {
    if (code[i] === pair[0]) depth++;
    else if (code[i] === pair[1] && --depth === 0) return i;
  }
  return fail("graph", `kernel ${where}: "${pair[0]}" is not closed`);
}

/** Integer arithmetic over literals and module consts: `+ - * /` and parentheses. */
function evaluate(text: string, consts: ReadonlyMap<string, string>, where: string): number {
  const tokens = text.match(/\d+|\w+|\S/g) ?? [];
  let at = 0;
  const refuse = (): never =>
    fail("graph", `kernel ${where}: the bound or index "${text}" of a marked loop or array is not a constant`);
  const atom = (): number => {
    const token = tokens[at++];
    if (token === "(") {
      const value = sum();
      return tokens[at++] === ")" ? value : refuse();
    }
    if (token === "-") return -atom();
    if (token !== undefined && /^\d+$/.test(token)) {
      if (/^[ui]$/.test(tokens[at] ?? "")) at++;
      return Number(token);
    }
    const source = token === undefined ? undefined : consts.get(token);
    return source === undefined ? refuse() : evaluate(source, consts, where);
  };
  const product = (): number => {
    let value = atom();
    while (tokens[at] === "*" || tokens[at] === "/")
      value = tokens[at++] === "*" ? value * atom() : Math.trunc(value / atom());
    return value;
  };
  const sum = (): number => {
    let value = product();
    while (tokens[at] === "+" || tokens[at] === "-")
      value = tokens[at++] === "+" ? value + product() : value - product();
    return value;
  };
  const value = sum();
  return at === tokens.length ? value : refuse();
}
