// Which weighted sum of its inputs is each output channel? One kernel for 1x1 and k x k convolution, linear layers,
// and the temporal shift, which is only another place to load from. Windows through time are one more axis, and a
// transposed convolution is one window for each phase of the output.
//
//   y[m, n] = act( sum over taps t and channels k of  x[source(m, t), k] * w[n, t, k]  +  bias[n]  +  residual[m, n] )
//   act(s) = clamp(s, low, high),  or  GELU: s / 2 * (1 + erf(s / sqrt(2)))
//
// Rows m are pixels of all frames, in frame, row, column order. A thread owns ROWS consecutive rows by COLS groups of
// 4 output channels and keeps their sums in registers: no workgroup memory, no barrier. Channels come in fours: a load
// of x brings 4 input channels of a row, a load of w the 4x4 block that turns them into 4 output channels.
// The sum over t, k runs in one order whatever the tile, so clips and single frames agree bit for bit.
// In a QUAD four threads in a row own four tiles below each other: each loads one column of a block of w, and tells the
// others. Residuals and results pass through the first row of the registers, from which the others move up: written out for
// every row, loads and stores are most of what a compiler works on.
//
// The temporal shift (Lin et al., TSM, section 3) replaces the first channels of a row by those of a neighbour frame:
//   in a clip:   channels [0, next) from frame t+1, [next, next + past) from frame t-1, zeros beyond the clip's ends;
//   in a stream: channels [0, past) from the previous call's frame, kept in `state`; a call is one frame.
// Each of these ranges is a tap of its own with its own row. Where a range ends inside a four, both its neighbours load
// the whole four, and w holds zeros for the channels that are not theirs.

//
// A transposed convolution (Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016, section 4) of stride s puts s
// output positions beside each other for one of the input. Those that stand at the same place among the s are a phase: in
// each phase the taps that meet an input are the same ones, so it is a convolution of stride 1 with a window and weights of
// its own. Rows count the input's positions, once in every phase; a tile lies within one phase.
//   y[s * i + phase] = sum over taps t of  x[i + (phase + offset) / s - pad + t] * w[phase, t]    (in each axis)

enable subgroups;                      // where QUAD; left out elsewhere, as is the next line
diagnostic(off, subgroup_uniformity);  // the threads of a quad leave together

struct Params {
  rows: u32,           // output rows: frames * out_height * out_width; of a phase
  out4: u32,           // output channels / 4
  in4: u32,            // input channels / 4
  taps: u32,           // window: all of its taps; clip: next, past, same; stream: past, same
  blocks: u32,         // fours of channels over all taps
  kernel_width: u32,
  kernel_height: u32,
  stride_frames: u32,
  stride_height: u32,
  stride_width: u32,
  pad_front: i32,
  pad_top: i32,
  pad_left: i32,
  in_height: i32,
  in_width: i32,
  out_height: u32,     // of a phase
  out_width: u32,
  phases: u32,         // 1, or the product of the strides
  offset_frames: u32,
  offset_height: u32,
  offset_width: u32,
  next: u32,           // channels taken from the next frame
  past: u32,           // channels taken from the frame before
  frame_rows: u32,     // rows in a frame
  frames: u32,         // frames in a clip; of x where the window has a time axis
  state4: u32,         // state channels / 4
  skip: u32,           // rows of x before the first that is read
  lead: u32,           // rows of y in front of each frame's
  low: f32,
  high: f32,
}

@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;      // [frames * in_height * in_width, in4]
@group(0) @binding(1) var<storage, read> w: array<mat4x4f>;          // [phases, out4, blocks], a column per input channel; f16 too; if INT8, [phases, out4, 1 + blocks]
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;         // [phases, out4]
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;      // [rows, out4]; holds the residual before, if RESIDUAL; if LEAD, [frames, lead + frame_rows, out4]; if PHASES, the rows of all phases in frame, row, column order
@group(0) @binding(4) var<storage, read_write> state: array<vec4f>;  // [frame_rows, state4]; only where CARRY, PAST or LOAD is STREAM
@group(0) @binding(5) var<uniform> params: Params;

// Where a row's channels are loaded from.
const SAME = 0u;     // the same row: 1x1 with stride 1, linear
const WINDOW = 1u;   // a window of taps around it
const CLIP = 2u;     // the same row, shifted in time within a clip
const STREAM = 3u;   // the same row, shifted from the frame before
const VOLUME = 4u;   // a window with a time axis

const LOAD = 0u;
const REFLECT = false;   // beyond the frame's edges a window sees the frame mirrored at its border pixels, not zeros
const PAST = false;      // the frame in front of x's first is `state`, not zeros
const PHASES = false;    // a transposed convolution
const RESIDUAL = false;  // y += what y held
const CARRY = false;     // keep the first channels of the residual's last frame in `state` for the next call
const LEAD = false;      // y is a token tensor: rows of a frame stand behind `lead` others
const QUAD = false;      // threads share blocks of w; needs subgroups
const UNPACKED = false;  // w holds pairs of f16 in words
const INT8 = false;      // w holds signed bytes, a word per input channel; in front of the blocks of 4 output channels, their scales / 2^24
const CHAINED = false;   // products are added to the sum one by one, as a GPU does at no cost, not four at a time

// What a sum passes through before it is stored.
const CLAMP = 0u;      // bounds: linear, ReLU, ReLU6
const GELU = 1u;       // with erf to 2e-7
const GELU_TANH = 2u;  // the tanh approximation, off by up to 5e-4

const ACTIVATION = 0u;
const ROWS = 4u;
const COLS = 2u;
const TILE = ROWS * COLS;
const WG = 64u;

// Of operands: in f16, four products are summed in f16, and these sums in f32.
alias Four = vec4f;
alias Block = mat4x4f;

fn unpacked(words: vec2u) -> vec4f {
  return vec4f(unpack2x16float(words.x), unpack2x16float(words.y));
}

// Four signed bytes, each times 2^24, which is what it stands for as the highest of a word. A processor multiplies faster than it shifts each
// lane by a number of its own.
fn raised(bytes: u32) -> vec4f {
  return vec4f(bitcast<vec4i>((bytes * vec4u(0x1000000u, 0x10000u, 0x100u, 1u)) & vec4u(0xff000000u)));
}

// A 4x4 block of w; `lane` is the thread's place in its quad, `scale` of the block's output channels.
fn weights(i: u32, lane: u32, scale: vec4f) -> Block {
  if (UNPACKED) {
    let left = bitcast<vec4u>(w[i][0]);
    let right = bitcast<vec4u>(w[i][1]);
    return Block(mat4x4f(unpacked(left.xy), unpacked(left.zw), unpacked(right.xy), unpacked(right.zw)));
  } else {
    if (QUAD) {
      var column = vec4f();
      if (INT8) { column = raised(bitcast<u32>(w[i][0][lane])) * scale; } else { column = w[i][lane]; }
      return Block(quadBroadcast(column, 0u), quadBroadcast(column, 1u), quadBroadcast(column, 2u), quadBroadcast(column, 3u));
    } else {
      if (INT8) {
        let words = bitcast<vec4u>(w[i][0]);
        return Block(mat4x4f(raised(words.x) * scale, raised(words.y) * scale, raised(words.z) * scale, raised(words.w) * scale));
      } else {
        return Block(w[i]);
      }
    }
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let thread = gid.y * n.x * WG + gid.x;
  let col_tiles = (params.out4 + COLS - 1u) / COLS;
  var first_row = thread / col_tiles * ROWS;
  var first_col = thread % col_tiles * COLS;
  if (QUAD) {
    first_row = thread / 4u / col_tiles * 4u * ROWS;
    first_col = thread / 4u % col_tiles * COLS;
  }
  var phase = 0u;
  if (PHASES) {
    // A phase has whole tiles, or whole quads of them: threads that share blocks of w are in one phase.
    var least = ROWS;
    if (QUAD) { least = 4u * ROWS; }
    let span = (params.rows + least - 1u) / least * least;
    phase = first_row / span;
    first_row = select(params.rows, first_row % span, phase < params.phases);
  }
  if (first_row >= params.rows) { return; }
  // Beyond the last row a thread of a quad loads its column for the others, and stores nothing.
  var owns = true;
  if (QUAD) {
    first_row += (thread & 3u) * ROWS;
    owns = first_row < params.rows;
  }
  // Where the phase stands among the strides.
  let strides = vec3u(params.stride_width, params.stride_height, params.stride_frames);
  let inner = vec3u(phase, phase / strides.x, phase / (strides.x * strides.y)) % strides;

  // A tile that overhangs computes its last row and column again, and stores the same twice.
  var row: array<u32, ROWS>; // registers
  var place: array<u32, ROWS>; // registers
  var col: array<u32, COLS>; // registers
  var panel: array<u32, COLS>; // registers
  var scale: array<vec4f, COLS>; // registers
  for (var r = 0u; r < ROWS; r++) { // unroll
    row[r] = min(first_row + r, params.rows - 1u);
    place[r] = row[r] * params.out4;
    if (LEAD) { place[r] += (row[r] / params.frame_rows + 1u) * params.lead * params.out4; }
    if (PHASES) {
      let line = row[r] / params.out_width;
      let p = vec3u(row[r] % params.out_width, line % params.out_height, line / params.out_height) * strides + inner;
      let size = vec2u(params.out_width, params.out_height) * strides.xy;
      place[r] = ((p.z * size.y + p.y) * size.x + p.x) * params.out4;
    }
  }
  for (var c = 0u; c < COLS; c++) { // unroll
    col[c] = min(first_col + c, params.out4 - 1u);
    let group = phase * params.out4 + col[c];
    panel[c] = group * params.blocks;
    if (INT8) {
      panel[c] += group + 1u;
      scale[c] = bitcast<vec4f>(w[panel[c] - 1u][0]);
    }
  }

  var acc: array<vec4f, TILE>; // registers
  for (var c = 0u; c < COLS; c++) { // unroll
    let b = bias[phase * params.out4 + col[c]];
    for (var r = 0u; r < ROWS; r++) { // unroll
      acc[r * COLS + c] = b;
    }
  }
  if (RESIDUAL) {
    for (var i = 0u; i < select(0u, ROWS, owns); i++) {
      let its_row = min(first_row + i, params.rows - 1u);
      let its_place = place[0];
      var sum: array<vec4f, COLS>; // registers
      for (var c = 0u; c < COLS; c++) { // unroll
        let before = y[its_place + col[c]];
        sum[c] = acc[c] + before;
        if (CARRY) {
          let others = params.rows - params.frame_rows;
          if ((col[c] < params.state4) & (its_row >= others)) { state[(its_row - others) * params.state4 + col[c]] = before; }
        }
      }
      for (var t = COLS; t < TILE; t++) { // unroll
        acc[t - COLS] = acc[t];
      }
      for (var c = 0u; c < COLS; c++) { // unroll
        acc[TILE - COLS + c] = sum[c];
      }
      for (var r = 1u; r < ROWS; r++) { // unroll
        place[r - 1u] = place[r];
      }
      place[ROWS - 1u] = its_place;
    }
  }

  var base: array<u32, ROWS>; // registers
  var inside: array<bool, ROWS>; // registers
  var corner: array<vec3i, ROWS>; // registers
  var early: array<bool, ROWS>; // registers
  var has_next: array<bool, ROWS>; // registers
  var has_past: array<bool, ROWS>; // registers
  for (var r = 0u; r < ROWS; r++) { // unroll
    base[r] = (row[r] + params.skip) * params.in4;
    if (LOAD == WINDOW) {
      let column = row[r] % params.out_width;
      let line = row[r] / params.out_width;
      let frame = line / params.out_height;
      let at = vec3u(column, line % params.out_height, 0u) * strides;
      corner[r] = vec3i(at) - vec3i(params.pad_left, params.pad_top, 0);
      base[r] = (frame * u32(params.in_height * params.in_width) + params.skip) * params.in4;
    }
    if (LOAD == VOLUME) {
      let line = row[r] / params.out_width;
      var at = vec3u(row[r] % params.out_width, line % params.out_height, line / params.out_height);
      if (PHASES) {
        at += (inner + vec3u(params.offset_width, params.offset_height, params.offset_frames)) / strides;
      } else {
        at *= strides;
      }
      corner[r] = vec3i(at) - vec3i(params.pad_left, params.pad_top, params.pad_front);
    }
    if (LOAD == CLIP) {
      let t = row[r] / params.frame_rows % params.frames;
      has_next[r] = t + 1u < params.frames;
      has_past[r] = t > 0u;
    }
  }

  let frame_step = params.frame_rows * params.in4;
  let shifted = params.next + params.past;
  // One loop over the blocks of all taps, not a loop in a loop: entering one costs a processor as much as a turn, to move the sums.
  var at: array<u32, ROWS>; // registers
  var tap = 0u;
  var k = 0u;
  var end = 0u;
  for (var r = 0u; r < ROWS; r++) { // unroll
    at[r] = base[r];
  }
  for (var step = 0u; step < params.blocks; step++) {
    // The next tap that has channels, behind the last four of one.
    if (LOAD != SAME) {
      while (k == end) {
        k = 0u;
        end = params.in4;
        var away = 0u;
        if (LOAD == CLIP) {
          if (tap == 0u) {
            end = (params.next + 3u) / 4u;
            away = frame_step;
          } else if (tap == 1u) {
            k = params.next / 4u;
            end = (shifted + 3u) / 4u;
            away = 0u - frame_step;
          } else {
            k = shifted / 4u;
          }
        }
        if (LOAD == STREAM) {
          if (tap == 0u) {
            end = (params.past + 3u) / 4u;
          } else {
            k = params.past / 4u;
          }
        }
        for (var r = 0u; r < ROWS; r++) { // unroll
          if (LOAD == WINDOW) {
            var p = corner[r].xy + vec2i(vec2u(tap % params.kernel_width, tap / params.kernel_width));
            if (REFLECT) {
              let far = vec2i(params.in_width, params.in_height) - 1;
              p = far - abs(far - abs(p));
              at[r] = base[r] + u32(p.y * params.in_width + p.x) * params.in4;
            } else {
              inside[r] = all((p >= vec2i()) & (p < vec2i(params.in_width, params.in_height)));
              at[r] = base[r] + select(0u, u32(p.y * params.in_width + p.x) * params.in4, inside[r]);
            }
          }
          if (LOAD == VOLUME) {
            let line = tap / params.kernel_width;
            var p = corner[r] + vec3i(vec3u(tap % params.kernel_width, line % params.kernel_height, line / params.kernel_height));
            if (REFLECT) {
              let far = vec2i(params.in_width, params.in_height) - 1;
              p = vec3i(far - abs(far - abs(p.xy)), p.z);
            }
            if (PAST) {
              early[r] = p.z < 0;
              p.z = max(p.z, 0);
            }
            inside[r] = all((p >= vec3i()) & (p < vec3i(params.in_width, params.in_height, i32(params.frames))));
            at[r] = select(0u, u32((p.z * params.in_height + p.y) * params.in_width + p.x) * params.in4, inside[r]);
          }
          if (LOAD == CLIP) {
            inside[r] = select(has_past[r], has_next[r], tap == 0u) | (tap == 2u);
            at[r] = base[r] + select(0u, away, inside[r]);
          }
          if (LOAD == STREAM) {
            at[r] = select(base[r], row[r] * params.state4, tap == 0u);
          }
        }
        tap++;
      }
    }
    var a: array<Four, ROWS>; // registers
    for (var r = 0u; r < ROWS; r++) { // unroll
      if (LOAD == STREAM) {
        if (step < (params.past + 3u) / 4u) { a[r] = Four(state[at[r] + k]); } else { a[r] = Four(x[at[r] + k]); }
      } else {
        if (PAST) {
          if (early[r]) { a[r] = Four(state[at[r] + k]); } else { a[r] = Four(x[at[r] + k]); }
        } else {
          if (LOAD == CLIP) {
            a[r] = Four(select(vec4f(), x[at[r] + k], inside[r]));
          } else {
            a[r] = Four(x[at[r] + k]);
          }
        }
      }
      if ((LOAD == WINDOW) & !REFLECT) { a[r] = select(Four(), a[r], inside[r]); }
      if (LOAD == VOLUME) { a[r] = select(Four(), a[r], inside[r]); }
    }
    for (var c = 0u; c < COLS; c++) { // unroll
      let m = weights(panel[c] + step, thread & 3u, scale[c]);
      for (var r = 0u; r < ROWS; r++) { // unroll
        if (CHAINED) {
          acc[r * COLS + c] = acc[r * COLS + c] + m[0] * a[r].x + m[1] * a[r].y + m[2] * a[r].z + m[3] * a[r].w;
        } else {
          acc[r * COLS + c] += vec4f(m * a[r]);
        }
      }
    }
    k++;
  }

  for (var i = 0u; i < select(0u, ROWS, owns); i++) {
    for (var c = 0u; c < COLS; c++) { // unroll
      let s = acc[c];
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
      y[place[0] + col[c]] = value;
    }
    for (var t = COLS; t < TILE; t++) { // unroll
      acc[t - COLS] = acc[t];
    }
    for (var r = 1u; r < ROWS; r++) { // unroll
      place[r - 1u] = place[r];
    }
  }
}
