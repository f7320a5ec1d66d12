// What is left of x where its negative numbers are zero? For blocks that begin with it and add x itself at their end.
//
//   y[i] = max(x[i], 0)
//
// A thread owns 4 channels of a pixel.

struct Params {
  total: u32,  // pixels * channels4
}

@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;  // [pixels, channels4]
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;  // [pixels, channels4]
@group(0) @binding(2) var<uniform> params: Params;

const WG = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let i = gid.y * n.x * WG + gid.x;
  if (i >= params.total) { return; }
  y[i] = max(x[i], vec4f());
}
