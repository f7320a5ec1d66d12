// What are the mean and the spread of each group of channels, in each piece of a frame? The first half of group norm.
//
//   mean    = sum of x / count
//   squares = sum of (x - mean)^2            over the pixels of the piece and the channels of the group
//
// The squares are a second pass over the piece: the difference of the mean square and the squared mean would cancel where the mean
// is large. Pieces are short, so that their sums are; group_norm.wgsl puts them together. A thread owns a group in a piece.

struct Params {
  pixels: u32,     // of a frame
  channels4: u32,  // channels / 4
  groups: u32,
  span: u32,       // pixels in a piece; the last of a frame may have fewer
  pieces: u32,     // in a frame
  total: u32,      // frames * pieces * groups
}

@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;  // [frames * pixels, channels4]
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;  // [frames, pieces, groups]: count, mean, squares, 0
@group(0) @binding(2) var<uniform> params: Params;

const WG = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let i = gid.y * n.x * WG + gid.x;
  if (i >= params.total) { return; }
  let group = i % params.groups;
  let piece = i / params.groups % params.pieces;
  let frame = i / params.groups / params.pieces;
  let four = params.channels4 / params.groups;
  let begin = piece * params.span;
  let end = min(begin + params.span, params.pixels);
  let first = frame * params.pixels * params.channels4 + group * four;

  var sums = vec4f();
  for (var p = begin; p < end; p++) {
    for (var c = 0u; c < four; c++) {
      sums += x[first + p * params.channels4 + c];
    }
  }
  let count = f32((end - begin) * four * 4u);
  let mean = (sums.x + sums.y + sums.z + sums.w) / count;

  var squares = vec4f();
  for (var p = begin; p < end; p++) {
    for (var c = 0u; c < four; c++) {
      let d = x[first + p * params.channels4 + c] - mean;
      squares += d * d;
    }
  }
  y[i] = vec4f(count, mean, squares.x + squares.y + squares.z + squares.w, 0.0);
}
