// How do channels look with the mean of their group over the whole frame taken away and its spread made one? In place.
//
//   y[p, c] = clamp((x[p, c] - mean) / sqrt(variance + epsilon) * scale[c] + shift[c], low, high)
//   mean, variance: of the group of c over all pixels of the frame
//
// Wu and He, "Group Normalization", 2018. Moments come in pieces from group_moments.wgsl: with counts n, means m and squares s,
//   mean = sum of n m / sum of n,    variance = sum of (s + n (m - mean)^2) / sum of n
// A thread owns 4 channels of a piece: what it adds up of the moments, it uses for every pixel of the piece.

struct Params {
  pixels: u32,     // of a frame
  channels4: u32,  // channels / 4
  groups: u32,
  span: u32,       // pixels in a piece; the last of a frame may have fewer
  pieces: u32,     // in a frame
  total: u32,      // frames * pieces * channels4
  epsilon: f32,
  low: f32,
  high: f32,
}

@group(0) @binding(0) var<storage, read_write> moments: array<vec4f>;  // [frames, pieces, groups]: count, mean, squares, 0
@group(0) @binding(1) var<storage, read> scale: array<vec4f>;          // [channels4]
@group(0) @binding(2) var<storage, read> shift: array<vec4f>;          // [channels4]
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;        // [frames * pixels, channels4]; holds x before
@group(0) @binding(4) var<uniform> params: Params;

const WG = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let i = gid.y * n.x * WG + gid.x;
  if (i >= params.total) { return; }
  let c = i % params.channels4;
  let piece = i / params.channels4 % params.pieces;
  let frame = i / params.channels4 / params.pieces;
  let group = c / (params.channels4 / params.groups);
  let first = frame * params.pieces * params.groups + group;

  var count = 0.0;
  var sum = 0.0;
  for (var p = 0u; p < params.pieces; p++) {
    let m = moments[first + p * params.groups];
    count += m.x;
    sum += m.x * m.y;
  }
  let mean = sum / count;
  var squares = 0.0;
  for (var p = 0u; p < params.pieces; p++) {
    let m = moments[first + p * params.groups];
    squares += m.z + m.x * (m.y - mean) * (m.y - mean);
  }
  let factor = inverseSqrt(squares / count + params.epsilon) * scale[c];

  let end = min((piece + 1u) * params.span, params.pixels);
  for (var p = piece * params.span; p < end; p++) {
    let at = (frame * params.pixels + p) * params.channels4 + c;
    y[at] = clamp((y[at] - mean) * factor + shift[c], vec4f(params.low), vec4f(params.high));
  }
}
