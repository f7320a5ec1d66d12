// Which channels come from a neighbour frame? The stand-alone shift, for graphs whose next kernel cannot load shifted,
// and the oracle of the shift that is fused into matmul's load.
//
//   both ways (PAST = false):  y[t, c] = x[t+1, c] for c < fold,  x[t-1, c] for fold <= c < 2 fold,  x[t, c] otherwise
//   one way   (PAST = true):   y[t, c] = x[t-1, c] for c < fold,  x[t, c] otherwise
//
// Frames beyond the clip are zero (Lin et al., TSM, section 3). A thread owns 4 channels of a pixel.

struct Params {
  channels4: u32,   // channels / 4
  fold: u32,        // channels a shift moves
  frames: u32,      // frames in a clip
  frame_rows: u32,  // pixels in a frame
  total: u32,       // clips * frames * frame_rows * channels4
}

@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;  // [clips * frames * frame_rows, channels4]
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;  // [clips * frames * frame_rows, channels4]
@group(0) @binding(2) var<uniform> params: Params;

const PAST = false;
const WG = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let i = gid.y * n.x * WG + gid.x;
  if (i >= params.total) { return; }
  let step = params.frame_rows * params.channels4;
  let t = i / step % params.frames;
  let channel = vec4u(0u, 1u, 2u, 3u) + 4u * (i % params.channels4);
  let same = x[i];
  let past = select(vec4f(), x[i - step], t > 0u);
  let next = select(vec4f(), x[i + step], t + 1u < params.frames);
  let first = channel < vec4u(params.fold);
  let second = (channel >= vec4u(params.fold)) & (channel < vec4u(2u * params.fold));
  if (PAST) {
    y[i] = select(same, past, first);
  } else {
    y[i] = select(select(same, past, second), next, first);
  }
}
