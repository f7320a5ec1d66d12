import { crcOf } from "../core/crc.ts";

/** CRC-32C (Castagnoli; polynomial 0x82F63B78, reflected) of `bytes`; pass the previous result to go on with more bytes. */
export const crc32c = crcOf(0x82f63b78);
