/** Viridis at ninths of its range (van der Walt and Smith, 2015): lightness grows evenly, also for the colour-blind and in grey. */
const VIRIDIS = [
  [68, 1, 84],
  [71, 44, 122],
  [59, 81, 139],
  [44, 113, 142],
  [33, 144, 141],
  [39, 173, 129],
  [92, 200, 99],
  [170, 220, 50],
  [253, 231, 37],
] as const;

/** The colour of a value from 0 to 1: red, green, blue in bytes. */
export function heatColour(value: number): [number, number, number] {
  const at = Math.min(Math.max(value, 0), 1) * (VIRIDIS.length - 1);
  const left = Math.min(Math.floor(at), VIRIDIS.length - 2);
  const [a, b] = [VIRIDIS[left]!, VIRIDIS[left + 1]!];
  const mix = (c: 0 | 1 | 2) => Math.round(a[c] + (b[c] - a[c]) * (at - left));
  return [mix(0), mix(1), mix(2)];
}

/**
 * A grid of values as a map of another size: bilinear between the cells' centres, the border's value beyond them.
 * @param grid [rows, columns]
 * @returns [height, width]
 */
export function upsample(
  grid: ArrayLike<number>,
  rows: number,
  columns: number,
  height: number,
  width: number,
): Float32Array<ArrayBuffer> {
  const out = new Float32Array(height * width);
  const across = Array.from({ length: width }, (_, x) => neighbours(x, width, columns));
  for (let y = 0; y < height; y++) {
    const [top, bottom, down] = neighbours(y, height, rows);
    for (const [x, [left, right, along]] of across.entries()) {
      const line = (row: number) => grid[row * columns + left]! * (1 - along) + grid[row * columns + right]! * along;
      out[y * width + x] = line(top) * (1 - down) + line(bottom) * down;
    }
  }
  return out;
}

/** The cells on both sides of a pixel's centre, and how far it is from the first to the second. */
function neighbours(pixel: number, pixels: number, cells: number): [number, number, number] {
  const at = Math.min(Math.max(((pixel + 0.5) * cells) / pixels - 0.5, 0), cells - 1);
  const first = Math.floor(at);
  return [first, Math.min(first + 1, cells - 1), at - first];
}

/** How much of the colour lies over the picture. */
const OPACITY = 0.6;

/**
 * A picture with a map over it, the map's largest value the brightest colour.
 * @param rgb [side, side, 3] bytes
 * @param grid [rows, columns], none negative
 * @returns RGBA bytes [side, side, 4]
 */
export function overlay(
  rgb: Uint8Array,
  side: number,
  grid: ArrayLike<number>,
  rows: number,
  columns: number,
): Uint8ClampedArray<ArrayBuffer> {
  const map = upsample(grid, rows, columns, side, side);
  const most = map.reduce((a, b) => Math.max(a, b), 0) || 1;
  const out = new Uint8ClampedArray(side * side * 4);
  for (let i = 0; i < side * side; i++) {
    const colour = heatColour(map[i]! / most);
    for (let c = 0; c < 3; c++) out[4 * i + c] = rgb[3 * i + c]! * (1 - OPACITY) + colour[c]! * OPACITY;
    out[4 * i + 3] = 255;
  }
  return out;
}
