// How fast can this adapter move memory? A kernel that reads and writes less than its caches hold may be faster, no other.
//
//   y[i] = x[i]
//
// A thread owns 4 elements, `threads` apart, so that neighbours read neighbours.

struct Params {
  total: u32,    // elements of 16 bytes
  threads: u32,  // a quarter of them, rounded up
}

@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;  // [total]
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;  // [total]
@group(0) @binding(2) var<uniform> params: Params;

const WG = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let thread = gid.y * n.x * WG + gid.x;
  if (thread >= params.threads) { return; }
  for (var j = 0u; j < 4u; j++) { // unroll
    let i = thread + j * params.threads;
    if (i < params.total) { y[i] = x[i]; }
  }
}
