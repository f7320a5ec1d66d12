// How fast do loads come that the nearest cache can answer? A kernel that loads its operands so often for each product is not faster.
//
//   y[i] = sum over j < 4 * rounds of  sum over columns l of  x[(i + j) % size][l]
//
// A thread owns one element of y. A 4x4 block is four loads of 16 bytes behind one computed index, as weights are read; the
// four sums of its columns do not wait for each other.

struct Params {
  total: u32,   // threads
  rounds: u32,  // four blocks each
  mask: u32,    // size - 1; size is a power of two
}

@group(0) @binding(0) var<storage, read_write> x: array<mat4x4f>;  // [size]
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;    // [total]
@group(0) @binding(2) var<uniform> params: Params;

const WG = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let i = gid.y * n.x * WG + gid.x;
  if (i >= params.total) { return; }
  var sum: array<vec4f, 4>; // registers
  for (var round = 0u; round < params.rounds; round++) {
    let first = i + 4u * round;
    for (var j = 0u; j < 4u; j++) { // unroll
      let m = x[(first + j) & params.mask];
      for (var l = 0u; l < 4u; l++) { // unroll
        sum[l] += m[l];
      }
    }
  }
  y[i] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
}
