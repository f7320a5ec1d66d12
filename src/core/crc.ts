/** Makes the CRC-32 of a reflected polynomial, four bytes a step: pass the previous result to go on with more bytes. */
export function crcOf(polynomial: number): (bytes: Uint8Array, previous?: number) => number {
  const [t0, t1, t2, t3] = tablesOf(polynomial) as [Uint32Array, Uint32Array, Uint32Array, Uint32Array];
  return (bytes, previous = 0) => {
    let crc = ~previous;
    let i = 0;
    for (const end = bytes.length - 3; i < end; i += 4) {
      crc ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
      crc = t3[crc & 255]! ^ t2[(crc >>> 8) & 255]! ^ t1[(crc >>> 16) & 255]! ^ t0[crc >>> 24]!;
    }
    for (; i < bytes.length; i++) crc = (crc >>> 8) ^ t0[(crc ^ bytes[i]!) & 255]!;
    return ~crc >>> 0;
  };
}

function tablesOf(polynomial: number): Uint32Array[] {
  const tables = [0, 1, 2, 3].map(() => new Uint32Array(256));
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ polynomial : value >>> 1;
    tables[0]![byte] = value;
  }
  for (let step = 1; step < 4; step++) {
    for (let byte = 0; byte < 256; byte++) {
      const before = tables[step - 1]![byte]!;
      tables[step]![byte] = (before >>> 8) ^ tables[0]![before & 255]!;
    }
  }
  return tables;
}
