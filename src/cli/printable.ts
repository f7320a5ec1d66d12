/** A text out of a file, without characters that steer a terminal, and not endless. */
export function printable(text: string): string {
  const plain = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?");
  return plain.length > 200 ? `${plain.slice(0, 197)}...` : plain;
}
