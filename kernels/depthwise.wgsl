// What does one 3x3 filter a channel see around each pixel?
//
//   y[f, i, j, c] = clamp( sum over u, v in 0..2 of  x[f, i * STRIDE + u - pad_top, j * STRIDE + v - pad_left, c] * w[u, v, c]  +  bias[c],  low, high )
//
// A thread owns 4 channels of HEIGHT x WIDTH output pixels: it loads each input pixel under them once and adds it to
// every sum that the filter lets it reach. Pixels beyond the border count as zero.

struct Params {
  channels4: u32,   // channels / 4
  frames: u32,
  in_height: i32,
  in_width: i32,
  out_height: u32,
  out_width: u32,
  pad_top: i32,
  pad_left: i32,
  low: f32,
  high: f32,
}

@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;  // [frames, in_height, in_width, channels4]
@group(0) @binding(1) var<storage, read> w: array<vec4f>;        // [3, 3, channels4]
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;     // [channels4]
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;  // [frames, out_height, out_width, channels4]
@group(0) @binding(4) var<uniform> params: Params;

const STRIDE = 1;
const HEIGHT = 2;
const WIDTH = 4;
const TILE = HEIGHT * WIDTH;
const IN_HEIGHT = (HEIGHT - 1) * STRIDE + 3;
const IN_WIDTH = (WIDTH - 1) * STRIDE + 3;
const SEEN = IN_HEIGHT * IN_WIDTH;
const WG = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let thread = gid.y * n.x * WG + gid.x;
  let tiles_x = (params.out_width + u32(WIDTH) - 1u) / u32(WIDTH);
  let tiles_y = (params.out_height + u32(HEIGHT) - 1u) / u32(HEIGHT);
  let c = thread % params.channels4;
  let tile = thread / params.channels4;
  let left = tile % tiles_x * u32(WIDTH);
  let top = tile / tiles_x % tiles_y * u32(HEIGHT);
  let frame = tile / tiles_x / tiles_y;
  if (frame >= params.frames) { return; }

  var taps: array<vec4f, 9>; // registers
  for (var t = 0; t < 9; t++) { // unroll
    taps[t] = w[u32(t) * params.channels4 + c];
  }
  var acc: array<vec4f, TILE>; // registers
  let b = bias[c];
  for (var t = 0; t < TILE; t++) { // unroll
    acc[t] = b;
  }

  let first_line = i32(top) * STRIDE - params.pad_top;
  let first_column = i32(left) * STRIDE - params.pad_left;
  let plane = frame * u32(params.in_height * params.in_width) * params.channels4 + c;
  var seen: array<vec4f, SEEN>; // registers
  for (var i = 0; i < IN_HEIGHT; i++) { // unroll
    let line = first_line + i;
    let line_inside = (line >= 0) & (line < params.in_height);
    for (var j = 0; j < IN_WIDTH; j++) { // unroll
      let column = first_column + j;
      let inside = line_inside & (column >= 0) & (column < params.in_width);
      let at = plane + select(0u, u32(line * params.in_width + column) * params.channels4, inside);
      seen[i * IN_WIDTH + j] = select(vec4f(), x[at], inside);
    }
  }
  for (var i = 0; i < HEIGHT; i++) { // unroll
    for (var j = 0; j < WIDTH; j++) { // unroll
      for (var t = 0; t < 9; t++) { // unroll
        acc[i * WIDTH + j] += seen[(i * STRIDE + t / 3) * IN_WIDTH + j * STRIDE + t - t / 3 * 3] * taps[t];
      }
    }
  }

  for (var i = 0; i < HEIGHT; i++) { // unroll
    for (var j = 0; j < WIDTH; j++) { // unroll
      let line = top + u32(i);
      let column = left + u32(j);
      if ((line < params.out_height) & (column < params.out_width)) {
        let at = ((frame * params.out_height + line) * params.out_width + column) * params.channels4 + c;
        y[at] = clamp(acc[i * WIDTH + j], vec4f(params.low), vec4f(params.high));
      }
    }
  }
}
