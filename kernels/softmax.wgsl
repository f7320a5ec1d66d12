// How is each row's attention shared out?
//
//   y[r, c] = exp(x[r, c] - max over c' of x[r, c']) / sum over c' of exp(x[r, c'] - max)
//
// A thread owns a row; columns beyond `columns` (the padding of the last four) stay zero. In place: x becomes y.

struct Params {
  rows: u32,
  columns: u32,
  columns4: u32,  // columns / 4, rounded up
}

@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;  // [rows, columns4]
@group(0) @binding(1) var<uniform> params: Params;

const WG = 64u;
const LOWEST = -3.402823e38;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let row = gid.y * n.x * WG + gid.x;
  if (row >= params.rows) { return; }
  let first = row * params.columns4;
  let lanes = vec4u(0u, 1u, 2u, 3u);

  var largest = vec4f(LOWEST);
  for (var c = 0u; c < params.columns4; c++) {
    largest = max(largest, select(vec4f(LOWEST), x[first + c], 4u * c + lanes < vec4u(params.columns)));
  }
  let top = max(max(largest.x, largest.y), max(largest.z, largest.w));

  var sums = vec4f();
  for (var c = 0u; c < params.columns4; c++) {
    let e = select(vec4f(), exp(x[first + c] - top), 4u * c + lanes < vec4u(params.columns));
    x[first + c] = e;
    sums += e;
  }
  let scale = 1.0 / (sums.x + sums.y + sums.z + sums.w);
  for (var c = 0u; c < params.columns4; c++) {
    x[first + c] *= scale;
  }
}
