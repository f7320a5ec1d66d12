// How does a row look with its mean taken away and its spread made one? For GPUs: the arithmetic of layer_norm.wgsl, a workgroup a row.
//
//   y[r, c] = (x[r, c] - mean) / sqrt(variance + epsilon) * scale[c] + shift[c]
//   mean = sum over c of x[r, c] / channels,   variance = sum over c of (x[r, c] - mean)^2 / channels
//
// A thread owns every WG-th four of channels of its workgroup's row; neighbours read neighbours. Partial sums meet in workgroup
// memory, and every thread adds them up.

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

var<workgroup> partial: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) n: vec3u) {
  let row = id.y * n.x + id.x;
  if (row >= params.rows) { return; }
  let first = row * params.channels4;
  let lanes = vec4u(0u, 1u, 2u, 3u);

  var sums = vec4f();
  for (var c = lane; c < params.channels4; c += WG) {
    sums += x[first + c];
  }
  partial[lane] = sums.x + sums.y + sums.z + sums.w;
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < WG; i++) {
    sum += partial[i];
  }
  let mean = sum / f32(params.channels);

  var squares = vec4f();
  for (var c = lane; c < params.channels4; c += WG) {
    let d = select(vec4f(), x[first + c] - mean, 4u * c + lanes < vec4u(params.channels));
    squares += d * d;
  }
  workgroupBarrier();
  partial[lane] = squares.x + squares.y + squares.z + squares.w;
  workgroupBarrier();
  var square = 0.0;
  for (var i = 0u; i < WG; i++) {
    square += partial[i];
  }
  let factor = inverseSqrt(square / f32(params.channels) + params.epsilon);

  // Scale and shift are zero in the last four's surplus lanes.
  for (var c = lane; c < params.channels4; c += WG) {
    y[first + c] = (x[first + c] - mean) * factor * scale[c] + shift[c];
  }
}
