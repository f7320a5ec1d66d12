// How well does the first query of each sequence match each key? Softmax, the next dispatch, makes shares of it.
//
//   y[n, h, t] = scale * sum over channels c of head h of  q[n, 0, h, c] * k[n, t, h, c]
//
// A thread owns 4 keys of a head. Keys beyond the last score nothing: the padding of y stays zero.

struct Params {
  queries: u32,  // queries of a sequence
  keys: u32,     // keys of a sequence
  heads: u32,
  head4: u32,    // channels of a head / 4
  scale: f32,    // 1 / sqrt(channels of a head)
  total: u32,    // sequences * heads * keys4, which is keys / 4, rounded up
}

@group(0) @binding(0) var<storage, read_write> q: array<vec4f>;   // [sequences, queries, heads, head4]; where PARTS is 2
@group(0) @binding(1) var<storage, read_write> kv: array<vec4f>;  // [sequences, keys, PARTS, heads, head4]
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;   // [sequences, heads, keys4]
@group(0) @binding(3) var<uniform> params: Params;

const PARTS = 3u;  // what kv holds of a token: 3 for query, key and value, 2 for key and value
const WG = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let i = gid.y * n.x * WG + gid.x;
  if (i >= params.total) { return; }
  let keys4 = (params.keys + 3u) / 4u;
  let first = i % keys4 * 4u;
  let head = i / keys4 % params.heads;
  let sequence = i / keys4 / params.heads;
  let width4 = params.heads * params.head4;

  var scores = vec4f();
  for (var c = 0u; c < params.head4; c++) {
    let channel = head * params.head4 + c;
    var a = vec4f();
    if (PARTS == 3u) { a = kv[sequence * params.keys * PARTS * width4 + channel]; } else { a = q[sequence * params.queries * width4 + channel]; }
    for (var j = 0u; j < 4u; j++) { // unroll
      let key = sequence * params.keys + min(first + j, params.keys - 1u);
      scores[j] += dot(a, kv[(key * PARTS + PARTS - 2u) * width4 + channel]);
    }
  }
  y[i] = select(vec4f(), scores * params.scale, first + vec4u(0u, 1u, 2u, 3u) < vec4u(params.keys));
}
