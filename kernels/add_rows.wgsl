// What do rows of a larger tensor become when others are added to them? In place.
//
//   y[at + r, c] = y[at + r, c] + x[r, c]
//
// A thread owns 4 channels of a row of x.

struct Params {
  first: u32,  // at * channels4
  total: u32,  // rows of x * channels4
}

@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;  // [rows, channels4]
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;  // [at + rows + others, channels4]
@group(0) @binding(2) var<uniform> params: Params;

const WG = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let i = gid.y * n.x * WG + gid.x;
  if (i >= params.total) { return; }
  y[params.first + i] += x[i];
}
