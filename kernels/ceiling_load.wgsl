// How fast do loads come that the nearest cache can answer? A kernel that loads its operands so often for each product is not faster.
//
//   y[i] = sum over j < 4 * rounds of  sum over columns l of  x[(i / NEIGHBOURS + j) % size][l]
//
// A thread owns one element of y. A 4x4 block is four loads of 16 bytes behind one computed index, as weights are read; the
// four sums of its columns do not wait for each other. Each of four neighbours begins at another column, so that loads that are issued
// together lie side by side. In f16 a block is two such loads, native or as pairs in words; then two neighbours share one.

struct Params {
  total: u32,   // threads
  rounds: u32,  // four blocks each
  mask: u32,    // size - 1; size is a power of two
}

@group(0) @binding(0) var<storage, read_write> x: array<mat4x4f>;  // [size]; f16 too
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;    // [total]
@group(0) @binding(2) var<uniform> params: Params;

const UNPACKED = false;  // x holds pairs of f16 in words
const NEIGHBOURS = 4u;   // threads that share a block: as many as it has loads
const WG = 64u;

fn unpacked(words: vec2u) -> vec4f {
  return vec4f(unpack2x16float(words.x), unpack2x16float(words.y));
}

// A block of x, its columns from column c on.
fn block_at(i: u32, c: u32) -> mat4x4f {
  if (UNPACKED) {
    let left = bitcast<vec4u>(x[i][c & 1u]);
    let right = bitcast<vec4u>(x[i][(c + 1u) & 1u]);
    return mat4x4f(unpacked(left.xy), unpacked(left.zw), unpacked(right.xy), unpacked(right.zw));
  } else {
    return mat4x4f(vec4f(x[i][c & 3u]), vec4f(x[i][(c + 1u) & 3u]), vec4f(x[i][(c + 2u) & 3u]), vec4f(x[i][(c + 3u) & 3u]));
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let i = gid.y * n.x * WG + gid.x;
  if (i >= params.total) { return; }
  var sum: array<vec4f, 4>; // registers
  for (var round = 0u; round < params.rounds; round++) {
    let first = i / NEIGHBOURS + 4u * round;
    for (var j = 0u; j < 4u; j++) { // unroll
      let m = block_at((first + j) & params.mask, i);
      for (var l = 0u; l < 4u; l++) { // unroll
        sum[l] += m[l];
      }
    }
  }
  y[i] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
}
