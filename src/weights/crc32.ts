import { crcOf } from "../core/crc.ts";

/** CRC-32 of zip (polynomial 0xEDB88320, reflected) of `bytes`; pass the previous result to go on with more bytes. */
export const crc32 = crcOf(0xedb88320);
