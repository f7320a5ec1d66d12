// How fast can this adapter multiply and add, with everything in registers? No other kernel is faster.
//
//   y[i, l] = sum over chains c of  a[c, l],   a[c, l] = a[c, l] * factor + x[i, l],  4 * rounds times, from  a[c, l] = x[i, l] * (c + 1)
//
// A thread owns one element of four lanes. CHAINS sums that do not wait for each other hide the time that one takes; how many are
// best is the adapter's, so all are tried.

struct Params {
  total: u32,   // threads
  rounds: u32,  // four steps each
  factor: f32,
}

@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;  // [total]
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;  // [total]
@group(0) @binding(2) var<uniform> params: Params;

const CHAINS = 4u;
const WG = 64u;

alias Four = vec4f;  // f16 too

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let i = gid.y * n.x * WG + gid.x;
  if (i >= params.total) { return; }
  let start = Four(x[i]);
  let factor = Four(vec4f(params.factor));
  var a: array<Four, CHAINS>; // registers
  for (var c = 0u; c < CHAINS; c++) { // unroll
    a[c] = start * Four(vec4f(f32(c + 1u)));
  }
  for (var round = 0u; round < params.rounds; round++) {
    for (var step = 0u; step < 4u; step++) { // unroll
      for (var c = 0u; c < CHAINS; c++) { // unroll
        a[c] = a[c] * factor + start;
      }
    }
  }
  var sum = vec4f();
  for (var c = 0u; c < CHAINS; c++) { // unroll
    sum += vec4f(a[c]);
  }
  y[i] = sum;
}
