// kinema/store: stores of codes, without the GPU.
export { type ErrorCode, KinemaError } from "../core/fail.ts";
export * from "../store/index.ts";
export { type ByteSource, fromBlob, fromBytes } from "../weights/byte_source.ts";
export { fromUrl } from "../weights/url_source.ts";
