/** Bytes for people: three digits, decimal units. */
export function bytesText(bytes: number): string {
  const rounded = Number(bytes.toPrecision(3));
  const power = rounded < 1000 ? 0 : Math.min(3, Math.floor(Math.log10(rounded) / 3));
  const value = rounded / 1000 ** power;
  return `${value.toFixed(power === 0 || value >= 100 ? 0 : value < 10 ? 2 : 1)} ${["B", "kB", "MB", "GB"][power]}`;
}
