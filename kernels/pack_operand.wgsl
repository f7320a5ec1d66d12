// How does an activation become the second operand of a matrix product? Its 4x4 blocks are laid out as matmul reads
// weights: a block turns 4 input channels into 4 output channels, and a column of it belongs to one input channel.
//
//   w[o, k] = x[o, k]   rows of x are output channels (keys against queries)
//   w[o, k] = x[k, o]   where `transposed`: rows of x are input channels (values summed by attention)
//
// Rows beyond `rows` count as zero. A thread owns a block.

struct Params {
  rows: u32,       // rows of x
  channels4: u32,  // channels of x / 4
  rows4: u32,      // rows / 4, rounded up
  transposed: u32, // 0 or 1
}

@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;    // [rows, channels4]
@group(0) @binding(1) var<storage, read_write> w: array<mat4x4f>;  // [rows4, channels4], or [channels4, rows4] if transposed
@group(0) @binding(2) var<uniform> params: Params;

const WG = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let i = gid.y * n.x * WG + gid.x;
  if (i >= params.rows4 * params.channels4) { return; }
  let c = i % params.channels4;
  let r = i / params.channels4;
  var m: mat4x4f;
  for (var j = 0u; j < 4u; j++) { // unroll
    let row = 4u * r + j;
    m[j] = select(vec4f(), x[min(row, params.rows - 1u) * params.channels4 + c], row < params.rows);
  }
  // Row j of the block holds 4 channels of x's row 4r + j: as columns, an input channel each, that is x transposed.
  if (params.transposed == 1u) {
    w[c * params.rows4 + r] = m;
  } else {
    w[i] = transpose(m);
  }
}
