"""What the real TAESD weights give in PyTorch: fixed values of a fixed picture, and how well real clips come back.

    python3 tools/reference/check_taesd.py WEIGHTS_FOLDER [CLIP ...]

WEIGHTS_FOLDER holds NAME_encoder.safetensors and NAME_decoder.safetensors of taesdxl and taef1. Of each clip four frames are taken, evenly
spaced, the short side scaled to 256 (bilinear with antialiasing), the centre cropped to 256x256; PSNR is over their 8-bit RGB.
Needs PyAV for the clips.
"""
import os
import sys

import torch
from torch.nn import functional as F

import safetensors
import taesd

MODELS = {"taesdxl": 4, "taef1": 16}


def open_pair(folder, name, latent):
    """(encoder, decoder) of a member of the family."""
    halves = taesd.taesd_encoder(latent), taesd.taesd_decoder(latent)
    return [
        taesd.load(half, safetensors.read(os.path.join(folder, f"{name}_{half.half}.safetensors"))[0]) for half in halves
    ]


def pattern(side=64):
    """The picture of the fixed values: R = x / 63, G = y / 63, B = a board of squares of 8."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return torch.stack([x / 63, y / 63, ((y // 8 + x // 8) % 2).float()])[None]


def clip_frames(path, count=4, side=256):
    """Frames [count, 3, side, side] in 0..1, multiples of 1/255."""
    import av

    with av.open(path) as container:
        every = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    chosen = [torch.from_numpy(every[int((i + 0.5) * len(every) / count)]) for i in range(count)]
    frames = torch.stack(chosen).permute(0, 3, 1, 2).float()
    scale = side / min(frames.shape[2:])
    size = [max(side, round(n * scale)) for n in frames.shape[2:]]
    frames = F.interpolate(frames, size=size, mode="bilinear", antialias=True).round().clamp(0, 255) / 255
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    return frames[:, :, top : top + side, left : left + side]


def psnr(a, b):
    """Of two pictures in 0..1 as 8-bit levels."""
    levels = lambda x: (x.clamp(0, 1) * 255).round()
    return (20 * torch.log10(torch.tensor(255.0)) - 10 * torch.log10((levels(a) - levels(b)).square().mean())).item()


def main():
    torch.set_num_threads(1)
    folder, *clips = sys.argv[1:]
    row = lambda values: " ".join(f"{v:.5f}" for v in values)
    for name, latent in MODELS.items():
        encoder, decoder = open_pair(folder, name, latent)
        with torch.no_grad():
            z = encoder.double()(pattern().double())
            y = decoder.double()(z)
        print(f"{name}: z[0:4] at (0,0) {row(z[0, :4, 0, 0])}; mean, std {row([z.mean(), z.std()])}")
        print(f"  y at row 10, col 20 {row(y[0, :, 10, 20])}; mean y per channel {row(y.mean((0, 2, 3)))}")
        encoder, decoder = encoder.float(), decoder.float()
        for path in clips:
            frames = clip_frames(path)
            with torch.no_grad():
                each = [psnr(decoder(encoder(f[None]))[0], f) for f in frames]
            print(f"  {os.path.basename(path)}: {sum(each) / len(each):.2f} dB ({' '.join(f'{v:.2f}' for v in each)})")


if __name__ == "__main__":
    main()
