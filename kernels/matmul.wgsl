// Which weighted sum of its inputs is each output channel? One kernel for 1x1 and k x k convolution, linear layers,
// and the temporal shift, which is only another place to load from.
//
//   y[m, n] = act( sum over taps t and channels k of  x[source(m, t), k] * w[n, t, k]  +  bias[n]  +  residual[m, n] )
//   act(s) = clamp(s, low, high),  or  GELU: s / 2 * (1 + erf(s / sqrt(2)))
//
// Rows m are pixels of all frames, in frame, row, column order. A thread owns ROWS consecutive rows by COLS groups of
// 4 output channels and keeps their sums in registers: no workgroup memory, no barrier. Channels come in fours: a load
// of x brings 4 input channels of a row, a load of w the 4x4 block that turns them into 4 output channels.
// The sum over t, k runs in one order whatever the tile, so clips and single frames agree bit for bit.
//
// The temporal shift (Lin et al., TSM, section 3) replaces the first channels of a row by those of a neighbour frame:
//   in a clip:   channels [0, next) from frame t+1, [next, next + past) from frame t-1, zeros beyond the clip's ends;
//   in a stream: channels [0, past) from the previous call's frame, kept in `state`; a call is one frame.
// Each of these ranges is a tap of its own with its own row. Where a range ends inside a four, both its neighbours load
// the whole four, and w holds zeros for the channels that are not theirs.

struct Params {
  rows: u32,           // output rows: frames * out_height * out_width
  out4: u32,           // output channels / 4
  in4: u32,            // input channels / 4
  taps: u32,           // window: kernel_width * kernel_height; clip: next, past, same; stream: past, same
  blocks: u32,         // fours of channels over all taps
  kernel_width: u32,
  stride: u32,
  pad_top: i32,
  pad_left: i32,
  in_height: i32,
  in_width: i32,
  out_height: u32,
  out_width: u32,
  next: u32,           // channels taken from the next frame
  past: u32,           // channels taken from the frame before
  frame_rows: u32,     // rows in a frame
  frames: u32,         // frames in a clip
  state4: u32,         // state channels / 4
  skip: u32,           // rows of x before the first that is read
  lead: u32,           // rows of y in front of each frame's
  low: f32,
  high: f32,
}

@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;      // [frames * in_height * in_width, in4]
@group(0) @binding(1) var<storage, read> w: array<mat4x4f>;          // [out4, blocks], a column per input channel; f16 too
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;         // [out4]
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;      // [rows, out4]; holds the residual before, if RESIDUAL; if LEAD, [frames, lead + frame_rows, out4]
@group(0) @binding(4) var<storage, read_write> state: array<vec4f>;  // [frame_rows, state4]; only where CARRY or LOAD is STREAM
@group(0) @binding(5) var<uniform> params: Params;

// Where a row's channels are loaded from.
const SAME = 0u;     // the same row: 1x1 with stride 1, linear
const WINDOW = 1u;   // a window of taps around it
const CLIP = 2u;     // the same row, shifted in time within a clip
const STREAM = 3u;   // the same row, shifted from the frame before

const LOAD = 0u;
const RESIDUAL = false;  // y += what y held
const CARRY = false;     // keep the residual's first channels in `state` for the next frame
const LEAD = false;      // y is a token tensor: rows of a frame stand behind `lead` others

// What a sum passes through before it is stored.
const CLAMP = 0u;      // bounds: linear, ReLU, ReLU6
const GELU = 1u;       // with erf to 2e-7
const GELU_TANH = 2u;  // the tanh approximation, off by up to 5e-4

const ACTIVATION = 0u;
const ROWS = 4u;
const COLS = 2u;
const TILE = ROWS * COLS;
const WG = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let thread = gid.y * n.x * WG + gid.x;
  let col_tiles = (params.out4 + COLS - 1u) / COLS;
  let first_row = thread / col_tiles * ROWS;
  let first_col = thread % col_tiles * COLS;
  if (first_row >= params.rows) { return; }

  // A tile that overhangs computes its last row and column again, and stores the same twice.
  var row: array<u32, ROWS>; // registers
  var place: array<u32, ROWS>; // registers
  var col: array<u32, COLS>; // registers
  var panel: array<u32, COLS>; // registers
  for (var r = 0u; r < ROWS; r++) { // unroll
    row[r] = min(first_row + r, params.rows - 1u);
    place[r] = row[r] * params.out4;
    if (LEAD) { place[r] += (row[r] / params.frame_rows + 1u) * params.lead * params.out4; }
  }
  for (var c = 0u; c < COLS; c++) { // unroll
    col[c] = min(first_col + c, params.out4 - 1u);
    panel[c] = col[c] * params.blocks;
  }

  var acc: array<vec4f, TILE>; // registers
  for (var c = 0u; c < COLS; c++) { // unroll
    let b = bias[col[c]];
    for (var r = 0u; r < ROWS; r++) { // unroll
      acc[r * COLS + c] = b;
      if (RESIDUAL) {
        let before = y[place[r] + col[c]];
        acc[r * COLS + c] += before;
        if (CARRY) {
          if (col[c] < params.state4) { state[row[r] * params.state4 + col[c]] = before; }
        }
      }
    }
  }

  var base: array<u32, ROWS>; // registers
  var inside: array<bool, ROWS>; // registers
  var corner: array<vec2i, ROWS>; // registers
  var has_next: array<bool, ROWS>; // registers
  var has_past: array<bool, ROWS>; // registers
  for (var r = 0u; r < ROWS; r++) { // unroll
    base[r] = (row[r] + params.skip) * params.in4;
    if (LOAD == WINDOW) {
      let column = row[r] % params.out_width;
      let line = row[r] / params.out_width;
      let frame = line / params.out_height;
      corner[r] = vec2i(vec2u(column, line % params.out_height) * params.stride) - vec2i(params.pad_left, params.pad_top);
      base[r] = (frame * u32(params.in_height * params.in_width) + params.skip) * params.in4;
    }
    if (LOAD == CLIP) {
      let t = row[r] / params.frame_rows % params.frames;
      has_next[r] = t + 1u < params.frames;
      has_past[r] = t > 0u;
    }
  }

  let frame_step = params.frame_rows * params.in4;
  let shifted = params.next + params.past;
  var next_block = 0u;
  for (var tap = 0u; tap < params.taps; tap++) {
    var first = 0u;
    var end = params.in4;
    var at: array<u32, ROWS>; // registers
    if (LOAD == CLIP) {
      if (tap == 0u) {
        end = (params.next + 3u) / 4u;
      } else if (tap == 1u) {
        first = params.next / 4u;
        end = (shifted + 3u) / 4u;
      } else {
        first = shifted / 4u;
      }
    }
    if (LOAD == STREAM) {
      if (tap == 0u) {
        end = (params.past + 3u) / 4u;
      } else {
        first = params.past / 4u;
      }
    }
    for (var r = 0u; r < ROWS; r++) { // unroll
      at[r] = base[r];
      if (LOAD == WINDOW) {
        let p = corner[r] + vec2i(vec2u(tap % params.kernel_width, tap / params.kernel_width));
        inside[r] = all((p >= vec2i()) & (p < vec2i(params.in_width, params.in_height)));
        at[r] = base[r] + select(0u, u32(p.y * params.in_width + p.x) * params.in4, inside[r]);
      }
      if (LOAD == CLIP) {
        inside[r] = select(has_past[r], has_next[r], tap == 0u) | (tap == 2u);
        at[r] = base[r] + select(0u, select(0u - frame_step, frame_step, tap == 0u), inside[r] & (tap < 2u));
      }
      if (LOAD == STREAM) {
        at[r] = select(base[r], row[r] * params.state4, tap == 0u);
      }
    }
    var before: array<vec4f, TILE>; // registers
    if (LOAD == CLIP) {
      for (var i = 0u; i < TILE; i++) { // unroll
        before[i] = acc[i];
      }
    }
    for (var k = first; k < end; k++) {
      var a: array<vec4f, ROWS>; // registers
      for (var r = 0u; r < ROWS; r++) { // unroll
        if (LOAD == STREAM) {
          if (tap == 0u) { a[r] = state[at[r] + k]; } else { a[r] = x[at[r] + k]; }
        } else {
          a[r] = x[at[r] + k];
        }
        if (LOAD == WINDOW) { a[r] = select(vec4f(), a[r], inside[r]); }
      }
      for (var c = 0u; c < COLS; c++) { // unroll
        let m = mat4x4f(w[panel[c] + next_block]);
        for (var r = 0u; r < ROWS; r++) { // unroll
          acc[r * COLS + c] += m * a[r];
        }
      }
      next_block++;
    }
    if (LOAD == CLIP) {
      // A row without that neighbour takes nothing from it: its sum is what it was.
      for (var r = 0u; r < ROWS; r++) { // unroll
        for (var c = 0u; c < COLS; c++) { // unroll
          acc[r * COLS + c] = select(before[r * COLS + c], acc[r * COLS + c], inside[r]);
        }
      }
    }
  }

  for (var r = 0u; r < ROWS; r++) { // unroll
    for (var c = 0u; c < COLS; c++) { // unroll
      let s = acc[r * COLS + c];
      var value = s;
      if (ACTIVATION == CLAMP) {
        value = clamp(s, vec4f(params.low), vec4f(params.high));
      }
      if (ACTIVATION == GELU) {
        // The share of a normal distribution below s: near zero an odd polynomial and a half, beyond 1.5 from the share that lies
        // farther out, a power of two. Minimax fits of our own: erf is off by less than 2e-7 with every rounding.
        let a = min(abs(s), vec4f(12.0));
        let u = a * a;
        let near = 0.5 + s * (0.39894211 + u * (-0.066488266 + u * (0.0099658361 + u * (-0.0011751567 + u * (0.00010593444 - u * 5.7156444e-6)))));
        let beyond = exp2(-0.99996388 + a * (-1.1516209 + a * (-0.45766315 + a * (-0.054689284 + a * (0.0088455854 + a * (-0.0010141027 + a * (7.2122071e-5 - a * 2.3642726e-6)))))));
        value = s * select(select(beyond, 1.0 - beyond, s > vec4f()), near, a < vec4f(1.5));
      }
      if (ACTIVATION == GELU_TANH) {
        // tanh(t) = 1 - 2 / (1 + exp(2 t)) for erf, t = sqrt(2 / pi) (s + 0.044715 s^3), makes it s / (1 + exp(-2 t)).
        value = s / (1.0 + exp(min(s * (-1.5957691 - 0.071354816 * s * s), vec4f(80.0))));
      }
      y[place[r] + col[c]] = value;
    }
  }
}
