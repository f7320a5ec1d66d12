/**
 * Synthetic weights that need no file: every value follows from the tensor's canonical name and its index.
 * The recipe is written out in tools/reference/synthetic.py; both must agree bit for bit (the golden files and the
 * sha256 of the assembled checkpoints hold them together).
 */

const GAIN: Readonly<Record<string, number>> = {
  stem: 2,
  expand: 2,
  depthwise: 2,
  last: 2,
  conv1: 2,
  conv2: 2,
  project: 1,
  conv3: 1,
  head: 1,
  out: 1,
  fc1: 2,
  linear1: 2,
  qkv: 2,
  self_attn: 2,
  proj: 1,
  fc2: 1,
  out_proj: 1,
  linear2: 1,
  g: 0.5,
  downsample: 0.25,
  theta: 0.1,
  phi: 0.1,
  time: 2,
  join: 1,
  enter: 2,
  space: 0.5,
  embed: 16,
  classifier: 1,
  up: 2,
  down: 1,
  leave: 1,
};

const BLOCK_GAIN: Readonly<Record<string, number>> = { "conv.0": 2, "conv.2": 2, "conv.4": 0.25, "pool.3": 0.25 };

/** The gain of a unit by the last part of its name, of a latent auto-encoder's numbered unit by the last two. */
function gainOf(unit: string): number | undefined {
  const [, last] = /([^.]*)$/.exec(unit)!;
  if (last !== "conv" && !/^\d+$/.test(last!)) return GAIN[last!];
  return BLOCK_GAIN[unit.split(".").slice(-2).join(".")] ?? 1;
}

/** FNV-1a, 32 bit, of the text's UTF-8 bytes. */
function fnv1a(text: string): number {
  let hash = 2166136261;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 16777619);
  return hash >>> 0;
}

/** u_i of a name's hash: a multiple of 2^-24 in [0, 1). */
function uniform(hash: number, index: number): number {
  let x = (hash + Math.imul(index, 0x9e3779b9)) | 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return ((x ^ (x >>> 16)) >>> 8) * 2 ** -24;
}

/** The formula of a tensor: the value at u, in f64. */
function formula(name: string, shape: readonly number[]): (u: number) => number {
  const dot = name.lastIndexOf(".");
  const unit = name.slice(0, Math.max(dot, 0));
  const leaf = name.slice(dot + 1);
  if (name === "video" || name === "image") return (u) => 4 * (u - 0.5);
  if (name === "latent") return (u) => 6 * (u - 0.5);
  if (["cls_token", "pos_embed", "positions"].includes(leaf)) return (u) => 2 * u - 1;
  if (leaf.endsWith("bias") || leaf === "running_mean") return (u) => 0.4 * (u - 0.5);
  if (leaf === "running_var") return (u) => 0.5 + u;
  if (unit.endsWith(".bn")) {
    const scale = unit.endsWith(".conv3.bn") ? 0.5 : 1;
    return (u) => (0.5 + u) * scale;
  }
  if (/norm[12]?$|pool\.1$/.test(unit)) return (u) => 0.5 + u;
  const gain = gainOf(unit);
  if (gain === undefined) throw new Error(`no synthetic recipe for '${name}'`);
  const fanIn = shape.slice(1).reduce((product, extent) => product * extent, 1);
  const bound = Math.sqrt(3) * Math.sqrt(gain / fanIn);
  return (u) => (2 * u - 1) * bound;
}

/**
 * The synthetic tensor of that canonical name (`blocks.3.expand.weight`, `stem.bn.running_var`, ..., or the network's input
 * `video` / `image`), row-major in the given shape (weights OIHW, `video` [T,3,H,W]).
 */
export function syntheticTensor(canonicalName: string, shape: readonly number[]): Float32Array {
  const value = formula(canonicalName, shape);
  const hash = fnv1a(canonicalName);
  const data = new Float32Array(shape.reduce((product, extent) => product * extent, 1));
  for (let i = 0; i < data.length; i++) data[i] = value(uniform(hash, i));
  return data;
}
