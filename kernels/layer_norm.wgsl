// How does a row look with its mean taken away and its spread made one?
//
//   y[r, c] = (x[r, c] - mean) / sqrt(variance + epsilon) * scale[c] + shift[c]
//   mean = sum over c of x[r, c] / channels,   variance = sum over c of (x[r, c] - mean)^2 / channels
//
// Ba et al., "Layer Normalization", 2016. The variance is a second pass over the row: the difference of the mean square
// and the squared mean would cancel where the mean is large. A thread owns a row.

struct Params {
  rows: u32,
  channels: u32,
  channels4: u32,  // channels / 4, rounded up
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;  // [rows, channels4]
@group(0) @binding(1) var<storage, read> scale: array<vec4f>;    // [channels4]
@group(0) @binding(2) var<storage, read> shift: array<vec4f>;    // [channels4]
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;  // [rows, channels4]
@group(0) @binding(4) var<uniform> params: Params;

const WG = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let row = gid.y * n.x * WG + gid.x;
  if (row >= params.rows) { return; }
  let first = row * params.channels4;
  let lanes = vec4u(0u, 1u, 2u, 3u);

  var sums = vec4f();
  for (var c = 0u; c < params.channels4; c++) {
    sums += x[first + c];
  }
  let mean = (sums.x + sums.y + sums.z + sums.w) / f32(params.channels);

  var squares = vec4f();
  for (var c = 0u; c < params.channels4; c++) {
    let d = select(vec4f(), x[first + c] - mean, 4u * c + lanes < vec4u(params.channels));
    squares += d * d;
  }
  let variance = (squares.x + squares.y + squares.z + squares.w) / f32(params.channels);
  let factor = inverseSqrt(variance + params.epsilon);

  // Scale and shift are zero in the last four's surplus lanes.
  for (var c = 0u; c < params.channels4; c++) {
    y[first + c] = (x[first + c] - mean) * factor * scale[c] + shift[c];
  }
}
