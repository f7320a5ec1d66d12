const WORD = new Uint32Array(1);
const FLOAT = new Float32Array(WORD.buffer);

/** f32 -> bits of the nearest f16, ties to even; too large becomes infinity (IEEE 754-2008, binary16). */
export function halfBits(value: number): number {
  FLOAT[0] = value;
  const bits = WORD[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const exponent = (bits >>> 23) & 0xff;
  const mantissa = bits & 0x7fffff;
  if (exponent === 0xff) return sign | 0x7c00 | (mantissa ? 0x200 : 0);
  const e = exponent - 112; // f16 bias 15, f32 bias 127
  if (e >= 31) return sign | 0x7c00;
  if (e <= 0) {
    if (e < -10) return sign;
    // A subnormal half: the mantissa with its leading 1, shifted into place.
    return sign | roundShift(mantissa | 0x800000, 14 - e);
  }
  return sign | roundShift((e << 23) | mantissa, 13); // a carry out of the mantissa raises the exponent, as it must
}

/** Shifts right, rounding to nearest, ties to even. */
function roundShift(value: number, by: number): number {
  const kept = value >>> by;
  const rest = value & ((1 << by) - 1);
  const halfway = 1 << (by - 1);
  return rest > halfway || (rest === halfway && kept & 1) ? kept + 1 : kept;
}

/** f32 values -> f16 values, two bytes each. */
export function toHalf(values: Float32Array): Uint16Array<ArrayBuffer> {
  const out = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) out[i] = halfBits(values[i]!);
  return out;
}
