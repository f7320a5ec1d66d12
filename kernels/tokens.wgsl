// What stands in a token before its patch is added to it: its position, and in the first token of a frame the class token.
//
//   y[f, t, c] = pos[f % periods, t, c] + (cls[c] if CLS and t = 0)
//
// Dosovitskiy et al., "An Image is Worth 16x16 Words", section 3.1. A thread owns 4 channels of a token.

struct Params {
  channels4: u32,  // channels / 4
  frame: u32,      // tokens * channels4
  period: u32,     // periods * frame: after so many the positions begin again
  total: u32,      // frames * tokens * channels4
}

@group(0) @binding(0) var<storage, read> cls: array<vec4f>;      // [channels4]; where CLS
@group(0) @binding(1) var<storage, read> pos: array<vec4f>;      // [periods, tokens, channels4]
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;  // [frames, tokens, channels4]
@group(0) @binding(3) var<uniform> params: Params;

const CLS = true;
const WG = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let i = gid.y * n.x * WG + gid.x;
  if (i >= params.total) { return; }
  y[i] = pos[i % params.period];
  if (CLS) {
    if (i % params.frame < params.channels4) { y[i] += cls[i % params.channels4]; }
  }
}
