// Noise, fruit and light, shared by the still room (room.wgsl) and what moves in front of it (frame.wgsl).

const LIGHT = vec3f(-0.47, 0.74, 0.48);  // towards the window behind the camera, about one unit long
const DESK = -0.45;                      // height of the desk's top; the camera is at the origin

fn hash(p: vec3f) -> f32 {
  let q = fract(p * 0.1031);
  let r = q + dot(q, q.zyx + 31.32);
  return fract((r.x + r.y) * r.z);
}

// Value noise, 0 to 1.
fn noise(p: vec3f) -> f32 {
  let cell = floor(p);
  let f = fract(p);
  let u = f * f * (3.0 - 2.0 * f);
  var sum = 0.0;
  for (var i = 0; i < 8; i++) {
    let corner = vec3f(vec3i(i & 1, (i >> 1u) & 1, i >> 2u));
    let w = mix(1.0 - u, u, corner);
    sum += w.x * w.y * w.z * hash(cell + corner);
  }
  return sum;
}

fn fractal(p: vec3f) -> f32 {
  return noise(p) * 0.5 + noise(p * 2.1 + 7.3) * 0.3 + noise(p * 4.3 + 1.7) * 0.2;
}

// Skin of an orange at a point of the unit sphere: colour, and how much the pores darken it.
fn orange_peel(p: vec3f) -> vec3f {
  let pores = smoothstep(0.25, 0.75, noise(p * 26.0));
  let stem = smoothstep(0.975, 0.99, p.y);
  let tint = mix(vec3f(0.80, 0.19, 0.006), vec3f(0.90, 0.27, 0.015), fractal(p * 2.0));
  return mix(tint * (0.82 + 0.18 * pores), vec3f(0.25, 0.33, 0.08), stem);
}

// Light from the window, from the sky and from the desk, and a highlight; `lit` is 0 in shadow, `open` 0 in a corner.
fn shade(colour: vec3f, normal: vec3f, view: vec3f, lit: f32, open: f32, gloss: f32) -> vec3f {
  let sun = max(dot(normal, LIGHT), 0.0) * lit;
  let sky = 0.5 + 0.5 * normal.y;
  let highlight = pow(max(dot(normalize(LIGHT - view), normal), 0.0), 60.0) * lit * gloss;
  let ambient = open * (vec3f(0.34, 0.38, 0.44) * sky + vec3f(0.20, 0.15, 0.11) * (1.0 - sky));
  return colour * (vec3f(1.25, 1.14, 0.98) * sun + ambient) + highlight;
}

fn to_screen(light: vec3f) -> vec3f {
  let mapped = light / (1.0 + 0.25 * light);
  return pow(clamp(mapped, vec3f(0.0), vec3f(1.0)), vec3f(1.0 / 2.2));
}
