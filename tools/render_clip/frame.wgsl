// One frame of the clip: the panorama as a camera sees it that turns, rolls and zooms, a rolling orange and a hand.
//
// A thread owns one output pixel. It averages SIDE x SIDE points spread over the pixel, each at its own instant of the
// time the shutter is open: that is the frame's antialiasing and its motion blur.

struct Params {
  opened: vec4f,  // yaw, pitch, roll clockwise (radians), tangent of half the horizontal angle of view
  closed: vec4f,  // the same when the shutter closes
  low: vec2f,     // yaw and pitch of the panorama's top left corner
  span: vec2f,    // yaw and pitch it covers
  ball: vec3f,    // metres right of the middle when the shutter opens and closes; 1 where it is there
  hand: vec3f,    // the same for the hand
  size: vec2u,    // output pixels
}

@group(0) @binding(0) var room: texture_2d<f32>;                          // the panorama
@group(0) @binding(1) var linear: sampler;
@group(0) @binding(2) var<storage, read_write> pixels: array<u32>;        // [size.y, size.x] RGBA bytes
@group(0) @binding(3) var<uniform> params: Params;

const SIDE = 3;
const BALL = 0.07;        // radius, metres
const BALL_DEPTH = -0.70;
const HAND_DEPTH = -0.62;

fn ray_of(at: vec2f, pose: vec4f) -> vec3f {
  let size = vec2f(params.size);
  let s = (at - 0.5 * size) * vec2f(1.0, -1.0) / (0.5 * size.x) * pose.w;
  let turned = vec2f(s.x * cos(pose.z) + s.y * sin(pose.z), s.y * cos(pose.z) - s.x * sin(pose.z));
  let raised = vec3f(turned.x, turned.y * cos(pose.y) + sin(pose.y), turned.y * sin(pose.y) - cos(pose.y));
  return normalize(vec3f(raised.x * cos(pose.x) - raised.z * sin(pose.x), raised.y, raised.x * sin(pose.x) + raised.z * cos(pose.x)));
}

fn to_light(colour: vec3f) -> vec3f {
  return pow(colour, vec3f(2.2));
}

fn room_at(ray: vec3f) -> vec3f {
  let angle = vec2f(atan2(ray.x, -ray.z), asin(ray.y));
  let uv = (angle - params.low) / params.span * vec2f(1.0, -1.0);
  return textureSampleLevel(room, linear, uv, 0.0).rgb;
}

// Soft shadow of the ball on the desk, 1 where there is none.
fn ball_shadow(ray: vec3f, centre: vec3f) -> f32 {
  if (ray.y > -0.05) { return 1.0; }
  let p = ray * (DESK / ray.y);
  let to = centre - p;
  let along = max(dot(to, LIGHT), 0.0);
  let off = length(to - LIGHT * along);
  let contact = smoothstep(0.0, 0.09, length(p.xz - centre.xz));
  return mix(0.35, 1.0, smoothstep(BALL - 0.02 - 0.1 * along, BALL + 0.02 + 0.2 * along, off)) * mix(0.6, 1.0, contact);
}

fn with_ball(ray: vec3f, x: f32, background: vec3f) -> vec3f {
  let centre = vec3f(x, DESK + BALL, BALL_DEPTH);
  let b = dot(ray, centre);
  let inside = b * b - dot(centre, centre) + BALL * BALL;
  if (inside < 0.0) { return background * pow(ball_shadow(ray, centre), 1.0 / 2.2); }
  let n = (ray * (b - sqrt(inside)) - centre) / BALL;
  let turn = x / BALL;  // it rolls without sliding
  let skin = vec3f(n.x * cos(turn) - n.y * sin(turn), n.x * sin(turn) + n.y * cos(turn), n.z);
  let peel = orange_peel(normalize(skin.xzy + vec3f(0.0, 0.3, 0.0)));
  return to_screen(shade(peel, n, ray, smoothstep(0.0, 0.2, dot(n, LIGHT)), 0.55 + 0.45 * smoothstep(-1.0, 0.2, n.y), 0.3));
}

fn capsule(p: vec3f, a: vec3f, b: vec3f, radius: f32) -> f32 {
  let t = clamp(dot(p - a, b - a) / dot(b - a, b - a), 0.0, 1.0);
  return length(p - mix(a, b, t)) - radius;
}

fn blend(a: f32, b: f32, k: f32) -> f32 {
  let h = max(k - abs(a - b), 0.0) / k;
  return min(a, b) - h * h * k * 0.25;
}

// An open hand, palm to the camera, fingers up; p is relative to the middle of the palm.
fn hand(p: vec3f) -> f32 {
  let palm = p * vec3f(1.0, 1.0, 2.2) - vec3f(0.0, 0.002, 0.0);
  let beyond = length(max(abs(palm.xy) - vec2f(0.020, 0.026), vec2f(0.0)));
  var d = (length(vec2f(beyond, palm.z)) - 0.024) * 0.6;
  d = blend(d, capsule(p, vec3f(0.004, -0.06, -0.006), vec3f(0.03, -0.34, -0.05), 0.026), 0.05);
  d = blend(d, length(p - vec3f(-0.026, -0.024, 0.006)) - 0.014, 0.03);
  for (var i = 0; i < 4; i++) {
    let x = -0.033 + 0.022 * f32(i);
    let tall = 0.083 - 0.012 * abs(f32(i) - 1.4) * abs(f32(i) - 1.4);
    let tip = vec3f(x * 1.55, 0.032 + tall, 0.006);
    d = blend(d, capsule(p, vec3f(x, 0.036, 0.0), tip, 0.0098), 0.012);
  }
  return blend(d, capsule(p, vec3f(-0.032, -0.018, 0.004), vec3f(-0.078, 0.036, 0.012), 0.0115), 0.022);
}

fn hand_normal(p: vec3f) -> vec3f {
  let e = vec2f(1.0, -1.0) * 0.0005;
  return normalize(e.xyy * hand(p + e.xyy) + e.yyx * hand(p + e.yyx) + e.yxy * hand(p + e.yxy) + e.xxx * hand(p + e.xxx));
}

// The hand is held before the camera, so it is placed in the camera's own directions.
fn with_hand(at: vec2f, x: f32, background: vec3f) -> vec3f {
  let ray = ray_of(at, vec4f(0.0, 0.0, 0.0, params.opened.w));
  let middle = vec3f(x, -0.035, HAND_DEPTH);
  if (length(cross(ray, middle + vec3f(0.01, -0.12, 0.0))) > 0.27) { return background; }
  var t = 0.45;
  for (var i = 0; i < 40 && t < 0.85; i++) {
    let p = ray * t - middle;
    let d = hand(p);
    if (d < 0.0006) {
      let n = hand_normal(p);
      let crease = 0.88 + 0.12 * smoothstep(0.35, 0.6, noise(p * vec3f(90.0, 160.0, 60.0)));
      let skin = mix(vec3f(0.62, 0.33, 0.23), vec3f(0.80, 0.53, 0.40), smoothstep(0.2, 0.9, n.z)) * crease;
      return to_screen(shade(skin, n, ray, smoothstep(-0.2, 0.5, dot(n, LIGHT)), 0.9, 0.06));
    }
    t += d * 0.85;
  }
  return background;
}

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) gid: vec3u) {
  if (any(gid.xy >= params.size)) { return; }
  var sum = vec3f(0.0);
  for (var i = 0; i < SIDE * SIDE; i++) {
    let at = vec2f(gid.xy) + (vec2f(vec2i(i % SIDE, i / SIDE)) + 0.5) / f32(SIDE);
    let instant = (f32((i * 4 + 2) % (SIDE * SIDE)) + 0.5) / f32(SIDE * SIDE);
    let ray = ray_of(at, mix(params.opened, params.closed, instant));
    var colour = room_at(ray);
    if (params.ball.z > 0.5) { colour = with_ball(ray, mix(params.ball.x, params.ball.y, instant), colour); }
    if (params.hand.z > 0.5) { colour = with_hand(at, mix(params.hand.x, params.hand.y, instant), colour); }
    sum += to_light(colour);
  }
  let colour = pow(sum / f32(SIDE * SIDE), vec3f(1.0 / 2.2));
  pixels[gid.y * params.size.x + gid.x] = pack4x8unorm(vec4f(colour, 1.0));
}
