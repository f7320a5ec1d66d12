// What does one 3x3 filter a channel see around each pixel?
//
//   y[f, i, j, c] = clamp( sum over u, v in 0..2 of  x[f, i * STRIDE + u - pad_top, j * STRIDE + v - pad_left, c] * w[u, v, c]  +  bias[c],  low, high )
//
// A thread owns 4 channels of a strip of the output: WIDTH pixels across, `strip` down. It goes down the input line by
// line, loads each pixel under the strip once, and adds it to the sums of all output lines that it is under: the one that
// begins with it and those that wait for it. Pixels beyond the border count as zero.

struct Params {
  channels4: u32,   // channels / 4
  frames: u32,
  in_height: i32,
  in_width: i32,
  out_height: u32,
  out_width: u32,
  pad_top: i32,
  pad_left: i32,
  strip: u32,       // output lines of a thread
  low: f32,
  high: f32,
}

@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;  // [frames, in_height, in_width, channels4]
@group(0) @binding(1) var<storage, read> w: array<vec4f>;        // [3, 3, channels4]
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;     // [channels4]
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;  // [frames, out_height, out_width, channels4]
@group(0) @binding(4) var<uniform> params: Params;

const STRIDE = 1;
const WIDTH = 4;
const SPAN = (WIDTH - 1) * STRIDE + 3;
const WAIT = 3 - STRIDE;  // steps from the first line under an output line to the last
const WG = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let thread = gid.y * n.x * WG + gid.x;
  let tiles_x = (params.out_width + u32(WIDTH) - 1u) / u32(WIDTH);
  let strips = (params.out_height + params.strip - 1u) / params.strip;
  let c = thread % params.channels4;
  let tile = thread / params.channels4;
  let left = tile % tiles_x * u32(WIDTH);
  let top = tile / tiles_x % strips * params.strip;
  let frame = tile / tiles_x / strips;
  if (frame >= params.frames) { return; }

  var taps: array<vec4f, 9>; // registers
  for (var t = 0; t < 9; t++) { // unroll
    taps[t] = w[u32(t) * params.channels4 + c];
  }
  let b = bias[c];

  let first_line = i32(top) * STRIDE - params.pad_top;
  let first_column = i32(left) * STRIDE - params.pad_left;
  let plane = frame * u32(params.in_height * params.in_width) * params.channels4 + c;
  var across: array<u32, SPAN>; // registers
  var inside: array<bool, SPAN>; // registers
  for (var j = 0; j < SPAN; j++) { // unroll
    let column = first_column + j;
    inside[j] = (column >= 0) & (column < params.in_width);
    across[j] = select(0u, u32(column) * params.channels4, inside[j]);
  }

  let lines = i32(min(params.strip, params.out_height - top));
  var place = ((frame * params.out_height + top) * params.out_width + left) * params.channels4 + c;
  var begun: array<vec4f, WIDTH>; // registers
  var waiting: array<vec4f, WIDTH>; // registers
  for (var i = 0; i < lines + WAIT; i++) {
    // The line where an output line begins and one that came before it ends.
    let line = first_line + i * STRIDE;
    if (STRIDE == 2) {
      // The line above it is the middle one of an output line that has begun.
      let line_inside = (line > 0) & (line <= params.in_height);
      let start = plane + select(0u, u32((line - 1) * params.in_width) * params.channels4, line_inside);
      var seen: array<vec4f, SPAN>; // registers
      for (var j = 0; j < SPAN; j++) { // unroll
        seen[j] = select(vec4f(), x[start + across[j]], line_inside & inside[j]);
      }
      for (var j = 0; j < WIDTH; j++) { // unroll
        begun[j] = begun[j] + seen[j * STRIDE] * taps[3] + seen[j * STRIDE + 1] * taps[4] + seen[j * STRIDE + 2] * taps[5];
      }
    }
    let line_inside = (line >= 0) & (line < params.in_height);
    let start = plane + select(0u, u32(line * params.in_width) * params.channels4, line_inside);
    var seen: array<vec4f, SPAN>; // registers
    for (var j = 0; j < SPAN; j++) { // unroll
      seen[j] = select(vec4f(), x[start + across[j]], line_inside & inside[j]);
    }
    for (var j = 0; j < WIDTH; j++) { // unroll
      let first = seen[j * STRIDE];
      let middle = seen[j * STRIDE + 1];
      let last = seen[j * STRIDE + 2];
      var sum = begun[j];
      if (STRIDE == 1) {
        sum = waiting[j];
        waiting[j] = begun[j] + first * taps[3] + middle * taps[4] + last * taps[5];
      }
      sum = sum + first * taps[6] + middle * taps[7] + last * taps[8];
      begun[j] = b + first * taps[0] + middle * taps[1] + last * taps[2];
      if ((i >= WAIT) & (left + u32(j) < params.out_width)) {
        y[place + u32(j) * params.channels4] = clamp(sum, vec4f(params.low), vec4f(params.high));
      }
    }
    place += select(0u, params.out_width * params.channels4, i >= WAIT);
  }
}
