// Which code does a vector round to (finite scalar quantisation, Mentzer et al., ICLR 2024)?
//
//   digit[i] = round(tanh(z[i] + shift[i]) * half[i] - offset[i])        from -floor(L / 2) on, L levels
//   code = sum over i of (digit[i] + floor(L[i] / 2)) * place[i]         place[i]: product of the levels before i
//
// with half = (L - 1) (1 + 1e-3) / 2, offset = 1/2 where L is even, else 0, and shift = atanh(offset / half).
//
// A thread owns a vector. The sum of floor(L / 2) * place is `base`.

struct Params {
  rows: u32,
  in4: u32,    // channels of z / 4
  base: f32,
}

@group(0) @binding(0) var<storage, read_write> z: array<vec4f>;      // [rows, in4]
@group(0) @binding(1) var<storage, read> levels: array<vec4f>;       // [4 * in4]: shift, half, offset, place of a channel; zeros pad
@group(0) @binding(2) var<storage, read_write> codes: array<vec4f>;  // [rows]: the code, a whole number, and three zeros
@group(0) @binding(3) var<uniform> params: Params;

const WG = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let row = gid.y * n.x * WG + gid.x;
  if (row >= params.rows) { return; }
  var code = params.base;
  for (var c = 0u; c < params.in4; c++) {
    let four = z[row * params.in4 + c];
    for (var i = 0u; i < 4u; i++) { // unroll
      let level = levels[4u * c + i];
      // Beyond 10 tanh is 1 in f32; some compute it from exponentials that overflow.
      let bounded = tanh(clamp(four[i] + level.x, -10.0, 10.0)) * level.y - level.z;
      code += round(bounded) * level.w;
    }
  }
  codes[row] = vec4f(code, 0.0, 0.0, 0.0);
}
