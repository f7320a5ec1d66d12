// The still room as a panorama: one ray a pixel, marched through signed distances.
//
// Column and row are yaw and pitch; the camera of the clip only turns and zooms, so that one picture serves all frames.
// A thread owns one pixel. Rows are drawn a few at a time, because a GPU may not be kept busy for seconds.

struct Params {
  size: vec2u,      // panorama, pixels
  first_row: u32,   // first row of this dispatch
  rows: u32,
  low: vec2f,       // yaw and pitch of the top left corner, radians
  per_pixel: vec2f, // radians; pitch falls from row to row
}

@group(0) @binding(0) var picture: texture_storage_2d<rgba8unorm, write>;  // [size.y, size.x]
@group(0) @binding(1) var<uniform> params: Params;

const WALL = 1.0;
const WOOD = 2.0;
const CHINA = 3.0;
const ORANGE = 4.0;
const APPLE = 5.0;
const MUG = 6.0;
const BOOK = 7.0;
const CLOCK = 8.0;
const POT = 9.0;
const LEAF = 10.0;
const PAINTING = 11.0;
const FLOOR = 12.0;
const BACK = -2.2;  // the wall behind the desk

fn nearer(a: vec2f, distance: f32, material: f32) -> vec2f {
  return select(a, vec2f(distance, material), distance < a.x);
}

fn box(p: vec3f, half: vec3f, round: f32) -> f32 {
  let q = abs(p) - half + round;
  return length(max(q, vec3f(0.0))) + min(max(q.x, max(q.y, q.z)), 0.0) - round;
}

fn upright_cylinder(p: vec3f, radius: f32, half: f32) -> f32 {
  let q = abs(vec2f(length(p.xz), p.y)) - vec2f(radius, half);
  return min(max(q.x, q.y), 0.0) + length(max(q, vec2f(0.0)));
}

// The five oranges: centre, radius.
fn orange_at(i: i32) -> vec4f {
  let around = f32(i) * 1.5708 + 0.5;
  let side = vec4f(0.105 * cos(around), DESK + 0.125, -1.08 + 0.105 * sin(around), 0.083);
  return select(side, vec4f(0.01, DESK + 0.235, -1.07, 0.085), i == 4);
}

fn mug(p: vec3f) -> f32 {
  let wall = max(upright_cylinder(p, 0.075, 0.085), -upright_cylinder(p - vec3f(0.0, 0.02, 0.0), 0.066, 0.085));
  let q = p - vec3f(0.085, 0.0, 0.0);
  let handle = length(vec2f(length(q.xy) - 0.042, q.z)) - 0.012;
  return min(wall, max(handle, -p.x + 0.07));
}

fn desk_things(p: vec3f, room: vec2f) -> vec2f {
  var d = nearer(room, box(p - vec3f(0.0, DESK - 0.03, -1.15), vec3f(1.7, 0.03, 0.75), 0.008), WOOD);
  let q = p - vec3f(0.0, DESK + 0.20, -1.08);
  let bowl = max(abs(length(q) - 0.21) - 0.008, q.y + 0.07);
  d = nearer(d, bowl, CHINA);
  d = nearer(d, upright_cylinder(p - vec3f(0.0, DESK + 0.01, -1.08), 0.075, 0.01), CHINA);
  for (var i = 0; i < 5; i++) {
    let fruit = orange_at(i);
    d = nearer(d, length(p - fruit.xyz) - fruit.w, ORANGE);
  }
  let a = p - vec3f(0.33, DESK + 0.068, -0.93);
  d = nearer(d, (length(a * vec3f(1.0, 1.12, 1.0)) - 0.075 + 0.012 * smoothstep(0.05, 0.0, length(a.xz)) * sign(a.y)) * 0.8, APPLE);
  d = nearer(d, mug(p - vec3f(0.62, DESK + 0.085, -1.1)), MUG);
  for (var i = 0; i < 4; i++) {
    let turn = 0.35 * sin(f32(i) * 2.3);
    let b = p - vec3f(-0.62, DESK + 0.028 + f32(i) * 0.052, -1.2);
    let turned = vec3f(b.x * cos(turn) - b.z * sin(turn), b.y, b.x * sin(turn) + b.z * cos(turn));
    d = nearer(d, box(turned, vec3f(0.19 - 0.018 * f32(i), 0.025, 0.14), 0.006), BOOK + 0.1 * f32(i));
  }
  return d;
}

fn wall_things(p: vec3f, room: vec2f) -> vec2f {
  var d = room;
  let c = p - vec3f(0.42, 0.17, BACK + 0.03);
  let face = box(vec3f(length(c.xy), 0.0, c.z), vec3f(0.27, 1.0, 0.025), 0.005);
  let rim = length(vec2f(length(c.xy) - 0.275, c.z - 0.015)) - 0.028;
  d = nearer(d, min(face, rim), CLOCK);
  d = nearer(d, box(p - vec3f(-0.75, 0.25, BACK), vec3f(0.42, 0.30, 0.03), 0.006), PAINTING);
  d = nearer(d, box(p - vec3f(1.75, 0.05, BACK + 0.13), vec3f(0.75, 0.018, 0.14), 0.004), WOOD);
  for (var i = 0; i < 9; i++) {
    let k = f32(i);
    let tall = 0.15 + 0.035 * sin(k * 2.7);
    d = nearer(d, box(p - vec3f(1.12 + 0.085 * k, 0.068 + tall, BACK + 0.13), vec3f(0.036, tall, 0.10), 0.006), BOOK + 0.1 * k);
  }
  d = nearer(d, upright_cylinder(p - vec3f(-1.35, DESK + 0.11, -1.45), 0.12 + 0.2 * (p.y - DESK - 0.11), 0.11), POT);
  for (var i = 0; i < 11; i++) {
    let turn = f32(i) * 2.4;
    let rise = 0.42 + 0.3 * fract(f32(i) * 0.618);
    let tip = vec3f(cos(turn) * 0.24, rise * 0.62, sin(turn) * 0.24);
    let base = vec3f(-1.35, DESK + 0.2, -1.45);
    let t = clamp(dot(p - base, tip) / dot(tip, tip), 0.0, 1.0);
    let bend = vec3f(0.0, 0.10 * sin(t * 3.1416), 0.0);
    let q = p - base - tip * t - bend;
    d = nearer(d, (length(q * vec3f(1.0, 1.6, 1.0)) - 0.055 * sin(t * 3.0 + 0.1)) * 0.55, LEAF);
  }
  return d;
}

// Distance and material of the nearest surface.
fn scene(p: vec3f) -> vec2f {
  var d = vec2f(p.z - BACK, WALL);
  d = nearer(d, min(p.x + 2.6, 3.4 - p.x), WALL);
  d = nearer(d, p.y + 1.2, FLOOR);
  d = nearer(d, 1.9 - p.y, WALL);
  return wall_things(p, desk_things(p, d));
}

fn normal_at(p: vec3f) -> vec3f {
  let e = vec2f(1.0, -1.0) * 0.0006;
  return normalize(e.xyy * scene(p + e.xyy).x + e.yyx * scene(p + e.yyx).x + e.yxy * scene(p + e.yxy).x + e.xxx * scene(p + e.xxx).x);
}

fn shadow(origin: vec3f) -> f32 {
  var lit = 1.0;
  var t = 0.012;
  for (var i = 0; i < 40 && t < 2.5; i++) {
    let d = scene(origin + LIGHT * t).x;
    lit = min(lit, 0.5 + 7.0 * d / t);
    if (lit < 0.02) { break; }
    t += clamp(d, 0.01, 0.12);
  }
  let s = clamp(lit, 0.0, 1.0);
  return s * s * (3.0 - 2.0 * s);
}

fn openness(p: vec3f, normal: vec3f) -> f32 {
  var closed = 0.0;
  for (var i = 1; i < 5; i++) {
    let h = 0.035 * f32(i * i) / 2.0;
    closed += (h - scene(p + normal * h).x) / h / f32(1 << u32(i - 1));
  }
  return clamp(1.0 - 0.45 * closed, 0.0, 1.0);
}

fn book_colour(number: f32) -> vec3f {
  let k = round(number * 10.0);
  return 0.12 + 0.55 * (0.5 + 0.5 * cos(vec3f(0.3, 2.3, 4.1) + k * vec3f(2.1, 1.3, 0.9)));
}

fn clock_colour(p: vec3f) -> vec3f {
  let c = p.xy - vec2f(0.42, 0.17);
  let r = length(c);
  if (r > 0.245) { return vec3f(0.10, 0.10, 0.12); }
  let turn = fract(atan2(c.x, c.y) / 6.2831853) * 12.0;
  let hour = abs(turn - round(turn)) * r * 0.52;
  let long = select(0.018, 0.045, u32(round(turn)) % 3u == 0u);
  var ink = step(hour, 0.0075) * step(abs(r - 0.205), long);
  for (var i = 0; i < 2; i++) {  // ten past ten
    let a = select(5.30, 1.05, i == 0);
    let hand = vec2f(sin(a), cos(a));
    let along = clamp(dot(c, hand), -0.03, select(0.12, 0.18, i == 0));
    ink = max(ink, step(length(c - hand * along), select(0.011, 0.007, i == 0)));
  }
  ink = max(ink, step(r, 0.016));
  return mix(vec3f(0.92, 0.91, 0.87), vec3f(0.03), ink);
}

fn painting_colour(p: vec3f) -> vec3f {
  let q = (p.xy - vec2f(-0.75, 0.25)) / vec2f(0.42, 0.30);
  if (max(abs(q.x), abs(q.y)) > 0.9) { return vec3f(0.24, 0.14, 0.07); }
  if (max(abs(q.x), abs(q.y)) > 0.72) { return vec3f(0.88, 0.86, 0.80); }
  let hill = 0.22 * sin(q.x * 3.0 + 0.6) + 0.25 * (fractal(vec3f(q.x * 4.0, 3.0, 1.0)) - 0.5);
  let sky = mix(vec3f(0.80, 0.70, 0.55), vec3f(0.28, 0.45, 0.68), clamp(q.y + 0.3, 0.0, 1.0));
  let field = mix(vec3f(0.14, 0.26, 0.10), vec3f(0.42, 0.44, 0.16), fractal(vec3f(q * 7.0, 2.0)));
  let sun = smoothstep(0.13, 0.11, length(q - vec2f(0.32, 0.38)));
  return mix(mix(sky, vec3f(0.95, 0.80, 0.45), sun), field, smoothstep(0.02, -0.02, q.y - hill));
}

fn wood_colour(p: vec3f) -> vec3f {
  let ring = fractal(vec3f(p.x * 0.7, p.y * 6.0, p.z * 5.0));
  let grain = noise(vec3f(p.x * 6.0, p.y * 40.0, p.z * 90.0));
  let plank = hash(vec3f(floor(p.z * 5.0), 3.0, 9.0));
  let seam = smoothstep(0.0, 0.02, abs(fract(p.z * 5.0) - 0.5) * 2.0 - 0.97);
  return mix(vec3f(0.30, 0.16, 0.075), vec3f(0.52, 0.31, 0.15), ring) * (0.85 + 0.2 * grain) * (0.85 + 0.3 * plank) * (1.0 - 0.6 * seam);
}

// Colour, and gloss in the fourth lane.
fn surface(p: vec3f, normal: vec3f, material: f32) -> vec4f {
  if (material >= BOOK && material < BOOK + 0.95) { return vec4f(book_colour(material - BOOK) * (0.9 + 0.2 * noise(p * 60.0)), 0.1); }
  if (material == WOOD) { return vec4f(wood_colour(p), 0.12); }
  if (material == CHINA) { return vec4f(mix(vec3f(0.16, 0.30, 0.55), vec3f(0.85, 0.87, 0.88), smoothstep(0.012, 0.018, abs(p.y - DESK - 0.105))), 0.5); }
  if (material == ORANGE) {
    var best = vec2f(9.0, 0.0);
    for (var i = 0; i < 5; i++) { best = select(best, vec2f(length(p - orange_at(i).xyz), f32(i)), length(p - orange_at(i).xyz) < best.x); }
    let turn = best.y * 1.9;
    let n = normalize(p - orange_at(i32(best.y)).xyz);
    return vec4f(orange_peel(vec3f(n.x, n.y * cos(turn) - n.z * sin(turn), n.y * sin(turn) + n.z * cos(turn)) + 0.01), 0.25);
  }
  if (material == APPLE) { return vec4f(mix(vec3f(0.28, 0.48, 0.06), vec3f(0.52, 0.62, 0.14), fractal(normal * vec3f(6.0, 1.5, 6.0))), 0.4); }
  if (material == MUG) { return vec4f(mix(vec3f(0.60, 0.09, 0.07), vec3f(0.90, 0.86, 0.78), smoothstep(0.005, 0.008, abs(p.y - DESK - 0.12) - 0.012)), 0.5); }
  if (material == CLOCK) { return vec4f(clock_colour(p), 0.15); }
  if (material == POT) { return vec4f(vec3f(0.58, 0.27, 0.15) * (0.85 + 0.3 * fractal(p * 30.0)), 0.05); }
  if (material == LEAF) { return vec4f(mix(vec3f(0.05, 0.19, 0.05), vec3f(0.16, 0.36, 0.09), fractal(p * 14.0)), 0.2); }
  if (material == PAINTING) { return vec4f(painting_colour(p), 0.05); }
  if (material == FLOOR) { return vec4f(wood_colour(p.zyx * 0.6) * vec3f(0.7, 0.62, 0.55), 0.05); }
  return vec4f(vec3f(0.60, 0.63, 0.58) * (0.92 + 0.1 * fractal(p * 3.0) + 0.07 * noise(p * 55.0)), 0.0);
}

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) gid: vec3u) {
  let at = vec2u(gid.x, gid.y + params.first_row);
  if (gid.x >= params.size.x || gid.y >= params.rows || at.y >= params.size.y) { return; }
  let angle = params.low + vec2f(at) * params.per_pixel;
  let ray = vec3f(sin(angle.x) * cos(angle.y), sin(angle.y), -cos(angle.x) * cos(angle.y));
  var t = 0.2;
  var hit = vec2f(0.0, WALL);
  for (var i = 0; i < 110; i++) {
    hit = scene(ray * t);
    if (hit.x < 0.0004 * t) { break; }
    t += hit.x * 0.9;
  }
  let p = ray * t;
  let normal = normal_at(p);
  let look = surface(p, normal, hit.y);
  let light = shade(look.rgb, normal, ray, shadow(p + normal * 0.004), openness(p, normal), look.a);
  textureStore(picture, at, vec4f(to_screen(light), 1.0));
}
