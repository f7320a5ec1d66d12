// Frame to network input in one pass through the texture sampler: turn, scale, crop, mirror, normalise.
//
//   y[row, col] = (sum over i, j of w(i) w(j) frame(to_source * (col + 0.5 + d(i), row + 0.5 + d(j))) / W - mean) / deviation
//   o(i) = (2 i + 1) / taps - 1,   w(i) = 1 - |o(i)|,   d(i) = reach * o(i),   W = (sum over i of w(i))^2
//
// One bilinear tap sees a triangle one source pixel wide on each side; PIL's is as wide as the scale is large, so a
// frame that shrinks would alias. The grid of taps x taps widens it: `reach` is such that the grid's variance and the
// tap's own add up to the variance of PIL's triangle. taps is 1 where the frame does not shrink. Measured on real
// clips: 0.3 to 0.5 grey levels from PIL on average for scales of 0.8 to 8, where one tap is 1.8 off at scale 1.9
// and 7 off at scale 8.
//
// A thread owns one output pixel. Written for a plain texture; it is legal for an external texture (a video frame) as
// well, when the type of `frame` is replaced and nothing else.

struct Params {
  width: u32,          // output columns
  height: u32,         // output rows
  first: u32,          // first element of y written: frames before this one * width * height
  taps: u32,           // taps per axis
  reach: f32,          // distance of the triangle's foot from the pixel's centre, in output pixels
  to_source: mat3x3f,  // output coordinates in pixels -> source coordinates from 0 to 1
  mean: vec3f,         // red, green, blue on the scale 0 to 1
  deviation: vec3f,
}

@group(0) @binding(0) var frame: texture_2d<f32>;                   // stored frame, any size
@group(0) @binding(1) var linear: sampler;                          // linear filter
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;     // [frames, height, width, 4]
@group(0) @binding(3) var<uniform> params: Params;

const WG = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = gid.y * groups.x * WG + gid.x;
  if (i >= params.width * params.height) { return; }
  let centre = vec2f(vec2u(i % params.width, i / params.width)) + 0.5;
  var sum = vec3f(0.0);
  var total = 0.0;
  for (var j = 0u; j < params.taps; j++) {
    for (var k = 0u; k < params.taps; k++) {
      let offset = vec2f(vec2u(2u * k + 1u, 2u * j + 1u)) / f32(params.taps) - 1.0;
      let weight = (1.0 - abs(offset.x)) * (1.0 - abs(offset.y));
      let at = (params.to_source * vec3f(centre + params.reach * offset, 1.0)).xy;
      sum += weight * textureSampleBaseClampToEdge(frame, linear, at).rgb;
      total += weight;
    }
  }
  y[params.first + i] = vec4f((sum / total - params.mean) / params.deviation, 0.0);
}
