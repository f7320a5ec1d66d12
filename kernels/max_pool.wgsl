// What is the largest value in each window?
//
//   y[f, i, j, c] = max over u < kernel_height, v < kernel_width of  x[f, i * stride + u - pad, j * stride + v - pad, c]
//
// Pixels beyond the border do not take part (they count as the lowest finite value). A thread owns 4 channels of an output pixel.

struct Params {
  channels4: u32,  // channels / 4
  in_height: i32,
  in_width: i32,
  out_height: u32,
  out_width: u32,
  kernel: i32,     // window height and width
  stride: i32,
  pad: i32,
  total: u32,      // frames * out_height * out_width * channels4
}

@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;  // [frames, in_height, in_width, channels4]
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;  // [frames, out_height, out_width, channels4]
@group(0) @binding(2) var<uniform> params: Params;

const WG = 64u;
const LOWEST = -3.402823e38;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let i = gid.y * n.x * WG + gid.x;
  if (i >= params.total) { return; }
  let c = i % params.channels4;
  let pixel = i / params.channels4;
  let column = i32(pixel % params.out_width) * params.stride - params.pad;
  let line = i32(pixel / params.out_width % params.out_height) * params.stride - params.pad;
  let frame = i32(pixel / params.out_width / params.out_height);

  var best = vec4f(LOWEST);
  for (var u = max(0, line); u < min(params.in_height, line + params.kernel); u++) {
    for (var v = max(0, column); v < min(params.in_width, column + params.kernel); v++) {
      best = max(best, x[u32((frame * params.in_height + u) * params.in_width + v) * params.channels4 + c]);
    }
  }
  y[i] = best;
}
