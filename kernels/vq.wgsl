// Which code of each codebook is nearest to a vector?
//
//   codes[n, b] = argmin over k of |e[b, k]|^2 - 2 z[n, b] . e[b, k]
//
// (|z|^2 is the same for every k.) A tie goes to the lowest k. It is a matrix product of which only the place of the
// smallest result is kept: distances never reach memory. w holds -2 e, so that a score is a sum that begins with |e|^2.
//
// A thread owns ROWS vectors of one codebook, and writes the zeros of the channels that pad codes to four.

struct Params {
  rows: u32,       // vectors
  codes4: u32,     // codes in a codebook / 4
  in4: u32,        // channels of z / 4
  part4: u32,      // channels of z that a codebook reads / 4
  step4: u32,      // from one codebook's channels to the next's / 4
  books: u32,
  out: u32,        // codes stored a vector: books, padded to 4
}

@group(0) @binding(0) var<storage, read_write> z: array<vec4f>;    // [rows, in4]
@group(0) @binding(1) var<storage, read> w: array<mat4x4f>;        // [books, codes4, part4], a column per channel: -2 e
@group(0) @binding(2) var<storage, read> norms: array<vec4f>;      // [books, codes4]: |e|^2, the largest number where no code is
@group(0) @binding(3) var<storage, read_write> codes: array<f32>;  // [rows, out], whole numbers
@group(0) @binding(4) var<uniform> params: Params;

const ROWS = 4u;
const WG = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let thread = gid.y * n.x * WG + gid.x;
  // Neighbours share a codebook, and so its loads; those that only write zeros stand together.
  let tiles = (params.rows + ROWS - 1u) / ROWS;
  let book = thread / tiles;
  let first_row = thread % tiles * ROWS;
  if (book >= params.out) { return; }

  // A tile that overhangs finds its last row's code again, and stores the same twice.
  var row: array<u32, ROWS>; // registers
  var base: array<u32, ROWS>; // registers
  var best: array<f32, ROWS>; // registers
  var code: array<u32, ROWS>; // registers
  for (var r = 0u; r < ROWS; r++) { // unroll
    row[r] = min(first_row + r, params.rows - 1u);
    base[r] = row[r] * params.in4 + book * params.step4;
    best[r] = 3.402823e38;
  }
  let panel = book * params.codes4;
  let count = select(0u, params.codes4, book < params.books);
  for (var k4 = 0u; k4 < count; k4++) {
    let norm = norms[panel + k4];
    var score: array<vec4f, ROWS>; // registers
    for (var r = 0u; r < ROWS; r++) { // unroll
      score[r] = norm;
    }
    for (var c = 0u; c < params.part4; c++) {
      let m = w[(panel + k4) * params.part4 + c];
      for (var r = 0u; r < ROWS; r++) { // unroll
        score[r] += m * z[base[r] + c];
      }
    }
    for (var r = 0u; r < ROWS; r++) { // unroll
      for (var i = 0u; i < 4u; i++) { // unroll
        let nearer = score[r][i] < best[r];
        best[r] = select(best[r], score[r][i], nearer);
        code[r] = select(code[r], 4u * k4 + i, nearer);
      }
    }
  }
  for (var r = 0u; r < ROWS; r++) { // unroll
    codes[row[r] * params.out + book] = f32(code[r]);
  }
}
