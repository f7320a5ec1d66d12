/** Bytes of a file's start that {@link declaredSize} and {@link unreadable} want. */
export const HEAD_BYTES = 4096;

const EBML = 0x1a45dfa3;
const SEGMENT = 0x18538067;

/**
 * The least size, in bytes, that a video file must have by its own word, so that a cut-off file is told before it is
 * decoded; 0 where the start does not say.
 *
 * @param head the first bytes of an MP4, MOV, WebM or MKV file
 */
export function declaredSize(head: Uint8Array): number {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (head.length >= 12 && ascii(head, 4, 8) === "ftyp") return boxesEnd(view, head);
  if (head.length >= 12 && view.getUint32(0) === EBML) return segmentEnd(view);
  return 0;
}

/** ISO base media file format: boxes of [size u32][type], one after another; size 1 has a u64, size 0 runs to the end. */
function boxesEnd(view: DataView, head: Uint8Array): number {
  let at = 0;
  while (at + 16 <= head.length && /^[ -~]{4}$/.test(ascii(head, at + 4, at + 8))) {
    const short = view.getUint32(at);
    const size = short === 1 ? Number(view.getBigUint64(at + 8)) : short;
    if (size < 8) break;
    at += size;
  }
  return at;
}

/** Matroska: an EBML header, then one Segment that holds all else. Its size is unknown in a live recording. */
function segmentEnd(view: DataView): number {
  const header = variableInteger(view, 4);
  if (!header) return 0;
  const at = header.end + header.value;
  if (at + 12 > view.byteLength || view.getUint32(at) !== SEGMENT) return 0;
  const segment = variableInteger(view, at + 4);
  return segment && !segment.unknown ? segment.end + segment.value : 0;
}

/** EBML's variable-length integer: the leading zero bits of the first byte tell how many bytes follow. */
function variableInteger(view: DataView, at: number): { value: number; end: number; unknown: boolean } | null {
  const first = view.getUint8(at);
  const more = Math.clz32(first) - 24;
  if (more > 7 || at + 1 + more > view.byteLength) return null;
  let value = first & (0x7f >> more);
  let unknown = value === 0x7f >> more;
  for (let i = 1; i <= more; i++) {
    const byte = view.getUint8(at + i);
    value = value * 256 + byte;
    unknown &&= byte === 0xff;
  }
  return { value, end: at + 1 + more, unknown };
}

/** What bytes are that no demuxer wants, in words that follow a file's name. */
export function unreadable(head: Uint8Array): string {
  const start = ascii(head, 0, 64);
  if (head.length === 0) return "is empty; give a video file";
  if (/^\s*<(!doctype|html)/i.test(start)) return "is a web page, not a video; was a download page saved?";
  if (start.startsWith("version https://git-lfs")) return "is a Git LFS pointer, not the video; run git lfs pull";
  return "is not a video that can be read; give MP4, MOV, WebM, MKV or TS";
}

function ascii(bytes: Uint8Array, from: number, to: number): string {
  return String.fromCharCode(...bytes.subarray(from, to));
}
