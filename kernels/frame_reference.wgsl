// Frame to network input exactly as PIL's antialiased bilinear or bicubic makes it: turn, scale, crop, mirror, normalise.
//
//   narrow[r]   = byte(sum over j of column[j] * frame[turn(first column + j, r)])   for every source row r in reach
//   y[row, col] = (byte(sum over r of line[r] * narrow[r]) / 255 - mean) / deviation            fourth lane 0
//   byte(s)     = clamp((s + 2^21) >> 22, 0, 255)                 weights are whole numbers of 2^-22
//
// The horizontal pass is rounded to 8 bits before the vertical one, as PIL rounds it, and all sums are whole numbers:
// every byte equals PIL's. The sums fit in 31 bits: the weights of an output add up to 2^22 give or take a few, and those of
// bicubic to at most 1.4 of it without their signs.
//
// A thread owns one output pixel and computes the narrowed rows it needs itself; nothing is shared.

struct Params {
  width: u32,          // output columns
  height: u32,         // output rows
  column_taps: u32,    // most weights of an output column; a row of `columns` has two numbers more
  line_taps: u32,      // most weights of an output row
  first: u32,          // first element of y written: frames before this one * width * height
  turn_column: i32,    // stored column of the upright pixel (0, 0), and what a step in x and in y adds to it
  turn_column_x: i32,
  turn_column_y: i32,
  turn_row: i32,       // the same for the stored row
  turn_row_x: i32,
  turn_row_y: i32,
  mean: vec3f,         // red, green, blue on the scale 0 to 1
  deviation: vec3f,
}

@group(0) @binding(0) var frame: texture_2d<f32>;                   // stored frame, rgba8unorm
@group(0) @binding(1) var<storage, read> columns: array<i32>;       // [width, 2 + column_taps] first, count, weights
@group(0) @binding(2) var<storage, read> lines: array<i32>;         // [height, 2 + line_taps] first, count, weights
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;     // [frames, height, width, 4]
@group(0) @binding(4) var<uniform> params: Params;

const WG = 64u;

fn to_byte(sum: vec3i) -> vec3i {
  return clamp((sum + (1 << 21u)) >> vec3u(22u), vec3i(0), vec3i(255));
}

fn stored(x: i32, row: i32) -> vec3i {
  let at = vec2i(
    params.turn_column + x * params.turn_column_x + row * params.turn_column_y,
    params.turn_row + x * params.turn_row_x + row * params.turn_row_y,
  );
  return vec3i(round(textureLoad(frame, at, 0).rgb * 255.0));
}

// One source row, narrowed to output column `column`.
fn narrow(column: u32, row: i32) -> vec3i {
  let base = column * (2u + params.column_taps);
  let first = columns[base];
  var sum = vec3i(0);
  for (var j = 0; j < columns[base + 1u]; j++) {
    sum += columns[base + 2u + u32(j)] * stored(first + j, row);
  }
  return to_byte(sum);
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = gid.y * groups.x * WG + gid.x;
  if (i >= params.width * params.height) { return; }
  let base = i / params.width * (2u + params.line_taps);
  let first = lines[base];
  var sum = vec3i(0);
  for (var r = 0; r < lines[base + 1u]; r++) {
    sum += lines[base + 2u + u32(r)] * narrow(i % params.width, first + r);
  }
  y[params.first + i] = vec4f((vec3f(to_byte(sum)) / 255.0 - params.mean) / params.deviation, 0.0);
}
