// The weighted sums of matmul.wgsl, for adapters whose workgroups share fast memory: what one thread fetches, many read.
//
//   y[m, n] = act( sum over blocks b and channels k of  x[source(m, b), k] * w[n, b, k]  +  bias[n]  +  residual[m, n] )
//
// A workgroup owns TILE_ROWS rows by TILE_COLS groups of 4 output channels, and walks the sum in slabs of DEEP blocks, a block
// being four input channels of a tap. Its threads fetch a slab of x and w into registers while they multiply the slab
// before, which lies in workgroup memory. A thread owns ROWS rows, DOWN apart, by COLS groups of 4 channels, ACROSS apart, so that
// neighbours read neighbours and no two banks are asked twice.
// Loads, stores and the order of a sum are those of matmul.wgsl; the bodies agree bit for bit where a compiler treats them alike.

struct Params {
  rows: u32,           // output rows: frames * out_height * out_width; of a phase
  out4: u32,           // output channels / 4
  in4: u32,            // input channels / 4
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
@group(0) @binding(1) var<storage, read> w: array<vec4f>;            // [phases, out4, blocks, 4], a column per input channel; f16 too; if INT8, [phases, out4, 1 + blocks, 4]
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;         // [phases, out4]
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;      // [rows, out4]; holds the residual before, if RESIDUAL; if LEAD, [frames, lead + frame_rows, out4]; if PHASES, the rows of all phases in frame, row, column order
@group(0) @binding(4) var<storage, read_write> state: array<vec4f>;  // [frame_rows, state4]; only where CARRY, PAST or LOAD is STREAM
@group(0) @binding(5) var<uniform> params: Params;

// Where a row's channels are loaded from: see matmul.wgsl.
const SAME = 0u;
const WINDOW = 1u;
const CLIP = 2u;
const STREAM = 3u;
const VOLUME = 4u;

const LOAD = 0u;
const REFLECT = false;   // beyond the frame's edges a window sees the frame mirrored at its border pixels, not zeros
const PAST = false;      // the frame in front of x's first is `state`, not zeros
const PHASES = false;    // a transposed convolution: see matmul.wgsl
const RESIDUAL = false;  // y += what y held
const CARRY = false;     // keep the first channels of the residual's last frame in `state` for the next call
const LEAD = false;      // y is a token tensor: rows of a frame stand behind `lead` others
const UNPACKED = false;  // w holds pairs of f16 in words
const INT8 = false;      // w holds signed bytes, a word per input channel; in front of the blocks of 4 output channels, their scales / 2^24
const HALVES = false;    // a slab is multiplied and summed in f16, and its sums are added up in f32

// What a sum passes through before it is stored.
const CLAMP = 0u;      // bounds: linear, ReLU, ReLU6
const GELU = 1u;       // with erf to 2e-7
const GELU_TANH = 2u;  // the tanh approximation, off by up to 5e-4

const ACTIVATION = 0u;
const ROWS = 8u;
const COLS = 2u;
const ACROSS = 8u;  // threads side by side
const DEEP = 4u;    // 1, 2, 4 or 8
const WG = 64u;
const DOWN = WG / ACROSS;
const TILE = ROWS * COLS;
const TILE_ROWS = ROWS * DOWN;
const TILE_COLS = COLS * ACROSS;
// In a phase of a bank conflict's making, 8 threads write x of DEEP blocks, or w of 8 channels: each to a bank of its own.
const X_PITCH = TILE_ROWS + 8u / DEEP;
const W_PITCH = TILE_COLS + 1u;
// What a thread fetches of a slab.
const X_STEP = WG / DEEP;
const X_PARTS = TILE_ROWS / X_STEP;
const W_STEP = WG / DEEP / 4u;
const W_PARTS = TILE_COLS / W_STEP;

alias Four = vec4f;  // of operands; f16 if HALVES

var<workgroup> xs: array<Four, DEEP * X_PITCH>;
var<workgroup> ws: array<Four, DEEP * 4u * W_PITCH>;

// Four signed bytes, each times 2^24: see matmul.wgsl.
fn raised(bytes: u32) -> vec4f {
  return vec4f(bitcast<vec4i>((bytes * vec4u(0x1000000u, 0x10000u, 0x100u, 1u)) & vec4u(0xff000000u)));
}

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) n: vec3u) {
  let group = id.y * n.x + id.x;
  let col_tiles = (params.out4 + TILE_COLS - 1u) / TILE_COLS;
  var first_row = group / col_tiles * TILE_ROWS;
  let first_col = group % col_tiles * TILE_COLS;
  var phase = 0u;
  if (PHASES) {
    // A phase has whole tiles.
    let span = (params.rows + TILE_ROWS - 1u) / TILE_ROWS * TILE_ROWS;
    phase = first_row / span;
    first_row = select(params.rows, first_row % span, phase < params.phases);
  }
  if (first_row >= params.rows) { return; }
  // Where the phase stands among the strides.
  let strides = vec3u(params.stride_width, params.stride_height, params.stride_frames);
  let inner = vec3u(phase, phase / strides.x, phase / (strides.x * strides.y)) % strides;
  let across = thread % ACROSS;
  let down = thread / ACROSS;

  var acc: array<vec4f, TILE>; // registers
  var place: array<u32, ROWS>; // registers
  for (var r = 0u; r < ROWS; r++) { // unroll
    let row = first_row + down + r * DOWN;
    place[r] = row * params.out4;
    if (LEAD) { place[r] += (row / params.frame_rows + 1u) * params.lead * params.out4; }
    if (PHASES) {
      let line = row / params.out_width;
      let p = vec3u(row % params.out_width, line % params.out_height, line / params.out_height) * strides + inner;
      let size = vec2u(params.out_width, params.out_height) * strides.xy;
      place[r] = ((p.z * size.y + p.y) * size.x + p.x) * params.out4;
    }
    for (var c = 0u; c < COLS; c++) { // unroll
      let col = first_col + across + c * ACROSS;
      if ((row < params.rows) & (col < params.out4)) {
        acc[r * COLS + c] = bias[phase * params.out4 + col];
        if (RESIDUAL) {
          let before = y[place[r] + col];
          acc[r * COLS + c] += before;
          if (CARRY) {
            let others = params.rows - params.frame_rows;
            if ((col < params.state4) & (row >= others)) { state[(row - others) * params.state4 + col] = before; }
          }
        }
      }
    }
  }

  // Rows of x that this thread fetches, one block of a slab each; beyond the last row it fetches that again.
  let x_row = thread / DEEP;
  let x_block = thread % DEEP;
  var base: array<u32, X_PARTS>; // registers
  var kept: array<u32, X_PARTS>; // registers
  var corner: array<vec3i, X_PARTS>; // registers
  var has_next: array<bool, X_PARTS>; // registers
  var has_past: array<bool, X_PARTS>; // registers
  for (var i = 0u; i < X_PARTS; i++) { // unroll
    let row = min(first_row + x_row + i * X_STEP, params.rows - 1u);
    base[i] = (row + params.skip) * params.in4;
    if (LOAD == WINDOW) {
      let line = row / params.out_width;
      let at = vec3u(row % params.out_width, line % params.out_height, 0u) * strides;
      corner[i] = vec3i(at) - vec3i(params.pad_left, params.pad_top, 0);
      base[i] = (line / params.out_height * u32(params.in_height * params.in_width) + params.skip) * params.in4;
    }
    if (LOAD == VOLUME) {
      let line = row / params.out_width;
      var at = vec3u(row % params.out_width, line % params.out_height, line / params.out_height);
      if (PHASES) {
        at += (inner + vec3u(params.offset_width, params.offset_height, params.offset_frames)) / strides;
      } else {
        at *= strides;
      }
      corner[i] = vec3i(at) - vec3i(params.pad_left, params.pad_top, params.pad_front);
    }
    if (LOAD == CLIP) {
      let t = row / params.frame_rows % params.frames;
      has_next[i] = t + 1u < params.frames;
      has_past[i] = t > 0u;
    }
    if (LOAD == STREAM) { kept[i] = row * params.state4; }
  }
  // Columns of w, one input channel of a block each.
  let w_channel = thread % (DEEP * 4u);
  let w_col = thread / (DEEP * 4u);
  var panel: array<u32, W_PARTS>; // registers
  var scale: array<vec4f, W_PARTS>; // registers
  for (var i = 0u; i < W_PARTS; i++) { // unroll
    let col = min(first_col + w_col + i * W_STEP, params.out4 - 1u);
    let group_of_four = phase * params.out4 + col;
    panel[i] = group_of_four * params.blocks * 4u;
    if (INT8) {
      panel[i] += (group_of_four + 1u) * 4u;
      for (var j = 0u; j < 4u; j++) { // unroll
        scale[i][j] = bitcast<f32>(w[panel[i] - 4u + j][0]);
      }
    }
  }

  let frame_step = params.frame_rows * params.in4;
  let shifted = params.next + params.past;
  let slabs = (params.blocks + DEEP - 1u) / DEEP;
  for (var slab = 0u; slab <= slabs; slab++) {
    // Fetch a slab, and zeros behind the last block.
    let four = min(slab * DEEP + x_block, params.blocks - 1u);
    let counts = slab * DEEP + x_block < params.blocks;
    var fetched: array<Four, X_PARTS>; // registers
    if (LOAD == SAME) {
      for (var i = 0u; i < X_PARTS; i++) { // unroll
        fetched[i] = select(Four(), Four(x[base[i] + four]), counts);
      }
    }
    if (LOAD == WINDOW) {
      let tap = four / params.in4;
      let k = four % params.in4;
      let step = vec2i(vec2u(tap % params.kernel_width, tap / params.kernel_width));
      for (var i = 0u; i < X_PARTS; i++) { // unroll
        var p = corner[i].xy + step;
        if (REFLECT) {
          let far = vec2i(params.in_width, params.in_height) - 1;
          p = far - abs(far - abs(p));
        }
        let inside = all((p >= vec2i()) & (p < vec2i(params.in_width, params.in_height)));
        let at = base[i] + select(0u, u32(p.y * params.in_width + p.x) * params.in4, inside);
        fetched[i] = select(Four(), Four(x[at + k]), inside & counts);
      }
    }
    if (LOAD == VOLUME) {
      let tap = four / params.in4;
      let k = four % params.in4;
      let line = tap / params.kernel_width;
      let step = vec3i(vec3u(tap % params.kernel_width, line % params.kernel_height, line / params.kernel_height));
      for (var i = 0u; i < X_PARTS; i++) { // unroll
        var p = corner[i] + step;
        if (REFLECT) {
          let far = vec2i(params.in_width, params.in_height) - 1;
          p = vec3i(far - abs(far - abs(p.xy)), p.z);
        }
        let early = p.z < 0;
        if (PAST) { p.z = max(p.z, 0); }
        let inside = all((p >= vec3i()) & (p < vec3i(params.in_width, params.in_height, i32(params.frames))));
        let at = select(0u, u32((p.z * params.in_height + p.y) * params.in_width + p.x) * params.in4, inside) + k;
        var value = vec4f();
        if (PAST) {
          if (early) { value = state[at]; } else { value = x[at]; }
        } else {
          value = x[at];
        }
        fetched[i] = select(Four(), Four(value), inside & counts);
      }
    }
    if (LOAD == CLIP) {
      // Blocks of channels from the next frame, then from the frame before, then from the row itself.
      let of_next = (params.next + 3u) / 4u;
      let of_past = of_next + (shifted + 3u) / 4u - params.next / 4u;
      let is_next = four < of_next;
      let is_past = (four >= of_next) & (four < of_past);
      let k = four - select(select(of_past - shifted / 4u, of_next - params.next / 4u, is_past), 0u, is_next);
      for (var i = 0u; i < X_PARTS; i++) { // unroll
        let inside = (has_next[i] | !is_next) & (has_past[i] | !is_past);
        let at = base[i] + select(0u, frame_step, inside & is_next) - select(0u, frame_step, inside & is_past);
        fetched[i] = select(Four(), Four(x[at + k]), inside & counts);
      }
    }
    if (LOAD == STREAM) {
      let of_past = (params.past + 3u) / 4u;
      let is_past = four < of_past;
      for (var i = 0u; i < X_PARTS; i++) { // unroll
        var value = vec4f();
        if (is_past) { value = state[kept[i] + four]; } else { value = x[base[i] + four + params.past / 4u - of_past]; }
        fetched[i] = select(Four(), Four(value), counts);
      }
    }
    let channel = min(slab * DEEP * 4u + w_channel, params.blocks * 4u - 1u);
    var weights: array<Four, W_PARTS>; // registers
    for (var i = 0u; i < W_PARTS; i++) { // unroll
      let packed = w[panel[i] + channel];
      if (UNPACKED) {
        weights[i] = Four(vec4f(unpack2x16float(bitcast<u32>(packed[0])), unpack2x16float(bitcast<u32>(packed[1]))));
      } else {
        if (INT8) {
          weights[i] = Four(raised(bitcast<u32>(packed[0])) * scale[i]);
        } else {
          weights[i] = Four(packed);
        }
      }
    }

    // Multiply the slab before.
    if (slab > 0u) {
      var part: array<Four, TILE>; // registers
      for (var d = 0u; d < DEEP; d++) {
        var a: array<Four, ROWS>; // registers
        for (var r = 0u; r < ROWS; r++) { // unroll
          a[r] = xs[d * X_PITCH + down + r * DOWN];
        }
        for (var c = 0u; c < COLS; c++) { // unroll
          let at = d * 4u * W_PITCH + across + c * ACROSS;
          let b0 = ws[at];
          let b1 = ws[at + W_PITCH];
          let b2 = ws[at + 2u * W_PITCH];
          let b3 = ws[at + 3u * W_PITCH];
          for (var r = 0u; r < ROWS; r++) { // unroll
            if (HALVES) {
              part[r * COLS + c] = part[r * COLS + c] + b0 * a[r].x + b1 * a[r].y + b2 * a[r].z + b3 * a[r].w;
            } else {
              acc[r * COLS + c] = acc[r * COLS + c] + vec4f(b0) * f32(a[r].x) + vec4f(b1) * f32(a[r].y) + vec4f(b2) * f32(a[r].z) + vec4f(b3) * f32(a[r].w);
            }
          }
        }
      }
      if (HALVES) {
        for (var i = 0u; i < TILE; i++) { // unroll
          acc[i] += vec4f(part[i]);
        }
      }
    }

    // Keep the fetched one where all see it, once nobody reads the slab before.
    workgroupBarrier();
    for (var i = 0u; i < X_PARTS; i++) { // unroll
      xs[x_block * X_PITCH + x_row + i * X_STEP] = fetched[i];
    }
    for (var i = 0u; i < W_PARTS; i++) { // unroll
      ws[w_channel * W_PITCH + w_col + i * W_STEP] = weights[i];
    }
    workgroupBarrier();
  }

  for (var r = 0u; r < ROWS; r++) { // unroll
    let row = first_row + down + r * DOWN;
    for (var c = 0u; c < COLS; c++) { // unroll
      let col = first_col + across + c * ACROSS;
      let s = acc[r * COLS + c];
      var value = s;
      if (ACTIVATION == CLAMP) {
        value = clamp(s, vec4f(params.low), vec4f(params.high));
      }
      if (ACTIVATION == GELU) {
        // As in matmul.wgsl.
        let a = min(abs(s), vec4f(12.0));
        let u = a * a;
        let near = 0.5 + s * (0.39894211 + u * (-0.066488266 + u * (0.0099658361 + u * (-0.0011751567 + u * (0.00010593444 - u * 5.7156444e-6)))));
        let beyond = exp2(-0.99996388 + a * (-1.1516209 + a * (-0.45766315 + a * (-0.054689284 + a * (0.0088455854 + a * (-0.0010141027 + a * (7.2122071e-5 - a * 2.3642726e-6)))))));
        value = s * select(select(beyond, 1.0 - beyond, s > vec4f()), near, a < vec4f(1.5));
      }
      if (ACTIVATION == GELU_TANH) {
        value = s / (1.0 + exp(min(s * (-1.5957691 - 0.071354816 * s * s), vec4f(80.0))));
      }
      if ((row < params.rows) & (col < params.out4)) { y[place[r] + col] = value; }
    }
  }
}
