// Which vectors do codes stand for, behind the 1x1 convolution that follows?
//
//   y[n, c] = sum over parts p of table[start[p] + digit(p, n), c]
//   digit(p, n) = code[n, channel[p]] / place[p] % size[p]
//
// A part is a codebook (place 1), or one digit of a scalar quantiser's code, whose few levels are a codebook too. A codebook
// times a 1x1 convolution is another codebook, so the table holds the products, and the first part's the bias.
//
// Codes are numbers [rows, stride] or, if PACKED, `bits` bits each, lowest first, a plane of all rows for each codebook.
// A thread owns 4 channels of a site.

struct Params {
  rows: u32,         // sites
  channels4: u32,
  parts: u32,
  stride: u32,       // codes stored a site
  bits: u32,
  plane_words: u32,  // words of a codebook's plane
}

@group(0) @binding(0) var<storage, read_write> codes: array<u32>;  // [rows, stride] f32, whole numbers; if PACKED, [books, plane_words]
@group(0) @binding(1) var<storage, read> parts: array<vec4f>;      // [parts]: channel, place, size, start; whole numbers
@group(0) @binding(2) var<storage, read> table: array<vec4f>;      // [sum of sizes, channels4]
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;    // [rows, channels4]
@group(0) @binding(4) var<uniform> params: Params;

const PACKED = false;
const WG = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let i = gid.y * n.x * WG + gid.x;
  let row = i / params.channels4;
  if (row >= params.rows) { return; }
  var sum = vec4f();
  for (var p = 0u; p < params.parts; p++) {
    let part = vec4u(parts[p]);
    var code = 0u;
    if (PACKED) {
      let bit = row * params.bits;
      let word = part.x * params.plane_words + bit / 32u;
      let shift = bit % 32u;
      code = codes[word] >> shift;
      if (shift + params.bits > 32u) { code |= codes[word + 1u] << (32u - shift); }
      code &= (1u << params.bits) - 1u;
    } else {
      code = u32(bitcast<f32>(codes[row * params.stride + part.x]));
    }
    sum += table[(part.w + code / part.y % part.z) * params.channels4 + i % params.channels4];
  }
  y[i] = sum;
}
