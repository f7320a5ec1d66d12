/** The readers of both containers of torch.save. A page that opens safetensors only never fetches this module. */
export { openTorchLegacy } from "./torch_legacy.ts";
export { openTorchZip } from "./torch_zip.ts";
