// What were the features of the last frames of a stream? The state moves up by one and takes the newest at its end.
//
//   state[i, c] = state[i + 1, c] for i < frames - 1,   state[frames - 1, c] = x[c],   y[i, c] = state[i, c]
//
// Behind a reset the state is zero, its mark in row `frames` with it: then every row takes the newest frame.
// A thread owns 4 channels of all frames, so that nobody reads a row that another has moved.

struct Params {
  channels4: u32,  // channels / 4
  frames: u32,
}

@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;      // [channels4]
@group(0) @binding(1) var<storage, read_write> state: array<vec4f>;  // [frames + 1, channels4]
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;      // [frames, channels4]
@group(0) @binding(3) var<uniform> params: Params;

const WG = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let c = gid.y * n.x * WG + gid.x;
  if (c >= params.channels4) { return; }
  let newest = x[c];
  let mark = params.frames * params.channels4 + c;
  let filled = state[mark].x > 0.0;
  for (var i = 0u; i < params.frames; i++) {
    let at = i * params.channels4 + c;
    // The row behind the last one is the mark; it is read and not taken.
    let moved = select(newest, state[at + params.channels4], filled & (i + 1u < params.frames));
    state[at] = moved;
    y[at] = moved;
  }
  state[mark] = vec4f(1.0, 0.0, 0.0, 0.0);
}
