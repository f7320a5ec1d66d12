// What does each token see when it looks at all the others? For GPUs: the arithmetic of attention.wgsl, laid out for workgroup memory.
//
//   y[n, i, h] = sum over keys j of  share[j] * v[n, j, h],   share = softmax over j of  q[n, i, h] . k[n, j, h] / sqrt(head width)
//
// Dao et al., "FlashAttention". The threads of a workgroup fetch KEYS keys and values together, so that each is read from memory once
// for all their queries. A thread owns a query of a head, and keeps it and its sums in registers: `top` is the largest score so
// far, the sums hold 2^(score - top), and shrink when it grows.

struct Params {
  sequences: u32,
  queries: u32,  // queries of a sequence
  keys: u32,     // keys of a sequence
  heads: u32,
  across: u32,   // sequences of a group: their tokens lie beside each other, row by row; 1 where `parts` is 2
  parts: u32,    // what kv holds of a token: 3 for query, key and value, 2 for key and value
  scale: f32,    // log2(e) / sqrt(channels of a head)
}

@group(0) @binding(0) var<storage, read_write> q: array<vec4f>;   // [sequences, queries, heads, HEAD4]; where `parts` is 2
@group(0) @binding(1) var<storage, read_write> kv: array<vec4f>;  // [groups, keys, across, parts, heads, HEAD4]
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;   // [groups, queries, across, heads, HEAD4]
@group(0) @binding(3) var<uniform> params: Params;

const HEAD4 = 16u;  // channels of a head / 4, at most 32
const KEYS = 16u;   // keys in workgroup memory
const FETCHED = KEYS * HEAD4;
const WG = 64u;
const LOWEST = -3.402823e38;

var<workgroup> k: array<vec4f, FETCHED>;
var<workgroup> v: array<vec4f, FETCHED>;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) n: vec3u) {
  let group = id.y * n.x + id.x;
  let tiles = (params.queries + WG - 1u) / WG;
  let head = group / tiles % params.heads;
  let sequence = group / tiles / params.heads;
  if (sequence >= params.sequences) { return; }
  // Threads beyond the last query help to fetch, and store nothing.
  let query = group % tiles * WG + lane;
  // The row of the first token; the others follow `across` rows apart.
  let origin = sequence / params.across * params.across * params.keys + sequence % params.across;
  var row = sequence * params.queries + min(query, params.queries - 1u);
  if (params.parts == 3u) { row = origin + min(query, params.queries - 1u) * params.across; }
  let step = params.heads * HEAD4;
  let channel = head * HEAD4;

  var a: array<vec4f, HEAD4>; // registers
  var sum: array<vec4f, HEAD4>; // registers
  if (params.parts == 3u) {
    for (var c = 0u; c < HEAD4; c++) { // unroll
      a[c] = params.scale * kv[row * 3u * step + channel + c];
    }
  } else {
    for (var c = 0u; c < HEAD4; c++) { // unroll
      a[c] = params.scale * q[row * step + channel + c];
    }
  }
  var top = LOWEST;
  var total = 0.0;

  for (var begin = 0u; begin < params.keys; begin += KEYS) {
    workgroupBarrier();
    for (var i = lane; i < FETCHED; i += WG) {
      let token = origin + params.across * min(begin + i / HEAD4, params.keys - 1u);
      let at = (token * params.parts + params.parts - 2u) * step + channel + i % HEAD4;
      k[i] = kv[at];
      v[i] = kv[at + step];
    }
    workgroupBarrier();
    for (var j = 0u; j < min(KEYS, params.keys - begin); j++) {
      let at = j * HEAD4;
      var product = vec4f();
      for (var c = 0u; c < HEAD4; c++) { // unroll
        product += a[c] * k[at + c];
      }
      let score = product.x + product.y + product.z + product.w;
      if (score > top) {
        let shrink = exp2(top - score);
        top = score;
        total *= shrink;
        for (var c = 0u; c < HEAD4; c++) { // unroll
          sum[c] *= shrink;
        }
      }
      let share = exp2(score - top);
      total += share;
      for (var c = 0u; c < HEAD4; c++) { // unroll
        sum[c] += share * v[at + c];
      }
    }
  }

  if (query < params.queries) {
    for (var c = 0u; c < HEAD4; c++) { // unroll
      y[row * step + channel + c] = sum[c] / total;
    }
  }
}
