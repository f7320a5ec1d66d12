"""Writes test/golden/models/taesdxl.safetensors and taef1.safetensors: what PyTorch makes of pictures with the real weights.

    node tools/run.mjs tools/reference/clip_frames.ts IMAGES.safetensors 128 VIDEO:INDEX,INDEX,... [...]
    python3 tools/reference/export_taesd.py WEIGHTS_FOLDER IMAGES.safetensors

Of the fixed picture of check_taesd.py every layer's output (f64, stored as f32, sampled as export_golden.py does). Of the images, which are
frames of clips, the metadata say which they are, the SHA-256 of their numbers, and how far they are from what comes back (PSNR of 8-bit RGB, dB).
Neither frames nor weights are committed.
"""
import hashlib
import json
import os
import sys

import numpy as np
import torch

import safetensors
import taesd
from check_taesd import MODELS, open_pair, pattern, psnr
from export_golden import FOLDER, sampled

LARGEST = 256


def main():
    torch.set_num_threads(1)
    folder, images = sys.argv[1:]
    tensors, about = safetensors.read(images)
    frames = torch.from_numpy(tensors["image"].copy())
    for name, latent in MODELS.items():
        encoder, decoder = open_pair(folder, name, latent)
        with torch.no_grad():
            back = [psnr(decoder(encoder(frame[None]))[0], frame) for frame in frames]
        taps = taesd.evaluate(encoder.double(), pattern().double())
        latents = taps.pop("out")
        taps.update(taesd.evaluate(decoder.double(), latents.float().double()))
        taps.pop("out")
        metadata = {
            "script": "tools/reference/export_taesd.py",
            "torch": torch.__version__,
            "frames": about["frames"],
            "sha256": hashlib.sha256(tensors["image"].tobytes()).hexdigest(),
            "psnr": json.dumps([round(value, 4) for value in back]),
            "arithmetic": "f64, stored as f32; psnr f32",
        }
        layers, strides = sampled(taps, LARGEST)
        stored = {"latent": latents.numpy().astype(np.float32), **layers}
        path = os.path.join(FOLDER, f"{name}.safetensors")
        safetensors.write(path, stored, {**metadata, **strides})
        print(f"{name}: {len(stored)} tensors, {os.path.getsize(path)} bytes, PSNR {metadata['psnr']}")


if __name__ == "__main__":
    main()
