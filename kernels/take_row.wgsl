// Which row of each sequence goes on? The class token's, behind which nothing reads the others.
//
//   y[n, c] = x[n, row, c]
//
// A thread owns 4 channels of a sequence.

struct Params {
  channels4: u32,  // channels / 4
  rows: u32,       // rows in a sequence
  row: u32,
  total: u32,      // sequences * channels4
}

@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;  // [sequences, rows, channels4]
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;  // [sequences, channels4]
@group(0) @binding(2) var<uniform> params: Params;

const WG = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let i = gid.y * n.x * WG + gid.x;
  if (i >= params.total) { return; }
  y[i] = x[(i / params.channels4 * params.rows + params.row) * params.channels4 + i % params.channels4];
}
