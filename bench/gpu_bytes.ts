/** Counts bytes of what a device makes from now on and does not destroy. */
export function countBytes(device: GPUDevice): () => number {
  let live = 0;
  const counted = <Made extends GPUBuffer | GPUTexture>(made: Made, bytes: number): Made => {
    const destroy = made.destroy.bind(made);
    let there = bytes;
    made.destroy = () => {
      live -= there;
      there = 0;
      return destroy();
    };
    live += bytes;
    return made;
  };
  const [createBuffer, createTexture] = [device.createBuffer.bind(device), device.createTexture.bind(device)];
  device.createBuffer = (descriptor) => counted(createBuffer(descriptor), descriptor.size);
  device.createTexture = (descriptor) => {
    const texture = createTexture(descriptor);
    if (!/^rgba8/.test(texture.format)) throw new Error(`bytes of ${texture.format} are not known`);
    return counted(texture, 4 * texture.width * texture.height * texture.depthOrArrayLayers);
  };
  return () => live;
}
