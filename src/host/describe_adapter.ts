/** The parts of GPUAdapterInfo that describe an adapter to people. */
export type AdapterWords = Pick<GPUAdapterInfo, "vendor" | "architecture" | "device" | "description"> & {
  readonly isFallbackAdapter?: boolean;
};

/** "google swiftshader SwiftShader driver 5.0.0 (software)": an adapter in words. */
export function describeAdapter(info: AdapterWords): string {
  const words = [info.vendor, info.architecture, info.description || info.device].filter((word) => word);
  const text = [...new Set(words)].join(" ") || "unnamed adapter";
  return info.isFallbackAdapter ? `${text} (software)` : text;
}
