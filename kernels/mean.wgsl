// What is the mean of each run of rows? Global average pooling (rows are a frame's pixels) and the consensus of a
// clip (rows are its frames).
//
//   y[g, c] = ( sum over i < count of  x[g * count + i, c] ) / count
//
// A thread owns 4 channels of a group and adds its rows in order.

struct Params {
  channels4: u32,  // channels / 4
  count: u32,      // rows in a group
  total: u32,      // groups * channels4
}

@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;  // [groups * count, channels4]
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;  // [groups, channels4]
@group(0) @binding(2) var<uniform> params: Params;

const WG = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let i = gid.y * n.x * WG + gid.x;
  if (i >= params.total) { return; }
  let first = i / params.channels4 * params.count * params.channels4 + i % params.channels4;
  var sum = vec4f();
  for (var row = 0u; row < params.count; row++) {
    sum += x[first + row * params.channels4];
  }
  y[i] = sum / f32(params.count);
}
