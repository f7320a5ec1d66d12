// What does each token see when it looks at all the others? Scores, softmax and weighted sum in one pass over the keys.
//
//   y[n, i, h] = sum over keys j of  share[j] * v[n, j, h],   share = softmax over j of  q[n, i, h] . k[n, j, h] / sqrt(head width)
//
// Vaswani et al., "Attention Is All You Need", 3.2. The softmax runs along with the keys (Milakov and Gimelshein, "Online
// normalizer calculation for softmax"): `top` is the largest score so far, the sums hold 2^(score - top), and shrink when it
// grows. A thread owns ROWS queries of a head: it takes KEYS4 fours of keys at a time, whose scores stay in registers, and keeps
// its sums in y. No score reaches memory. A head's width is a param: one pipeline serves them all.

struct Params {
  sequences: u32,
  queries: u32,  // queries of a sequence
  keys: u32,     // keys of a sequence
  heads: u32,
  across: u32,   // sequences of a group: their tokens lie beside each other, row by row; 1 where PARTS is 2
  head4: u32,    // channels of a head / 4
  scale: f32,    // log2(e) / sqrt(channels of a head)
}

@group(0) @binding(0) var<storage, read_write> q: array<vec4f>;   // [sequences, queries, heads, head4]; where PARTS is 2
@group(0) @binding(1) var<storage, read_write> kv: array<vec4f>;  // [groups, keys, across, PARTS, heads, head4]
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;   // [groups, queries, across, heads, head4]
@group(0) @binding(3) var<uniform> params: Params;

const PARTS = 3u;  // what kv holds of a token: 3 for query, key and value, 2 for key and value
const ROWS = 8u;
const KEYS4 = 5u;
const TILE = ROWS * KEYS4;
const WG = 16u;
const LOWEST = -3.402823e38;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) n: vec3u) {
  let thread = gid.y * n.x * WG + gid.x;
  let tiles = (params.queries + ROWS - 1u) / ROWS;
  let first = thread % tiles * ROWS;
  let head = thread / tiles % params.heads;
  let sequence = thread / tiles / params.heads;
  if (sequence >= params.sequences) { return; }
  // The row of the first token; the others follow `across` rows apart.
  let origin = sequence / params.across * params.across * params.keys + sequence % params.across;
  let width4 = params.heads * params.head4;
  let channel = head * params.head4;

  // A tile that overhangs computes its last row again, and stores the same twice.
  var query: array<u32, ROWS>; // registers
  var sum: array<u32, ROWS>; // registers
  var top: array<f32, ROWS>; // registers
  var total: array<f32, ROWS>; // registers
  for (var r = 0u; r < ROWS; r++) { // unroll
    var row = sequence * params.queries + min(first + r, params.queries - 1u);
    if (PARTS == 3u) { row = origin + min(first + r, params.queries - 1u) * params.across; }
    sum[r] = row * width4 + channel;
    query[r] = select(sum[r], row * PARTS * width4 + channel, PARTS == 3u);
    top[r] = LOWEST;
  }

  for (var begin = 0u; begin < params.keys; begin += 4u * KEYS4) {
    // Keys beyond the last are the last again, with no share.
    var key: array<vec4u, KEYS4>; // registers
    for (var j = 0u; j < KEYS4; j++) { // unroll
      let token = origin + params.across * min(begin + 4u * j + vec4u(0u, 1u, 2u, 3u), vec4u(params.keys - 1u));
      key[j] = (token * PARTS + PARTS - 2u) * width4 + channel;
    }

    var share: array<vec4f, TILE>; // registers
    for (var c = 0u; c < params.head4; c++) {
      var a: array<vec4f, ROWS>; // registers
      for (var r = 0u; r < ROWS; r++) { // unroll
        if (PARTS == 3u) { a[r] = kv[query[r] + c]; } else { a[r] = q[query[r] + c]; }
      }
      for (var j = 0u; j < KEYS4; j++) { // unroll
        let k = transpose(mat4x4f(kv[key[j].x + c], kv[key[j].y + c], kv[key[j].z + c], kv[key[j].w + c]));
        for (var r = 0u; r < ROWS; r++) { // unroll
          share[r * KEYS4 + j] += k * a[r];
        }
      }
    }

    var shrink: array<f32, ROWS>; // registers
    for (var r = 0u; r < ROWS; r++) { // unroll
      var largest = vec4f(LOWEST);
      for (var j = 0u; j < KEYS4; j++) { // unroll
        let inside = begin + 4u * j + vec4u(0u, 1u, 2u, 3u) < vec4u(params.keys);
        share[r * KEYS4 + j] = select(vec4f(LOWEST), share[r * KEYS4 + j] * params.scale, inside);
        largest = max(largest, share[r * KEYS4 + j]);
      }
      let grown = max(top[r], max(max(largest.x, largest.y), max(largest.z, largest.w)));
      shrink[r] = exp2(top[r] - grown);
      top[r] = grown;
      var shares = vec4f();
      for (var j = 0u; j < KEYS4; j++) { // unroll
        share[r * KEYS4 + j] = exp2(share[r * KEYS4 + j] - grown);
        shares += share[r * KEYS4 + j];
      }
      total[r] = total[r] * shrink[r] + shares.x + shares.y + shares.z + shares.w;
    }

    var whole: array<f32, ROWS>; // registers
    for (var r = 0u; r < ROWS; r++) { // unroll
      whole[r] = select(1.0, 1.0 / total[r], begin + 4u * KEYS4 >= params.keys);
    }
    for (var c = 0u; c < params.head4; c++) {
      var o: array<vec4f, ROWS>; // registers
      for (var r = 0u; r < ROWS; r++) { // unroll
        o[r] = select(y[sum[r] + c] * shrink[r], vec4f(), begin == 0u);
      }
      for (var j = 0u; j < KEYS4; j++) { // unroll
        let v = mat4x4f(kv[key[j].x + width4 + c], kv[key[j].y + width4 + c], kv[key[j].z + width4 + c], kv[key[j].w + width4 + c]);
        for (var r = 0u; r < ROWS; r++) { // unroll
          o[r] += v * share[r * KEYS4 + j];
        }
      }
      for (var r = 0u; r < ROWS; r++) { // unroll
        y[sum[r] + c] = o[r] * whole[r];
      }
    }
  }
}
