"""Writes test/golden/models/taesd-*.safetensors and their like: every unit's output of latent auto-encoders with synthetic weights.

    python3 tools/reference/export_latents.py [CASE ...]

Also taesd-half.pth, a TAESD decoder of 4 channels as torch.save writes it in f16.

Form and sampling are export_golden.py's; the metadata `latents` describes the half as the engine reads it out of a weight file.
"""
import json
import os
import sys

import numpy as np
import torch

import safetensors
import synthetic
import taesd
from export_golden import FOLDER, sampled

LARGEST = 512
# Extents and widths differ; the video cases have frames, and counts of them, that no other number equals.
CASES = {
    "taesd-encoder": (taesd.taesd_encoder(4), (2, 3, 16, 24), {}),
    "taesd-decoder": (taesd.taesd_decoder(4), (2, 4, 2, 3), {}),
    "taesd-encoder-pools": (taesd.taesd_encoder(32, 16, True), (2, 3, 24, 40), {"latent": 32, "widths": [16], "pools": True}),
    "taesd-decoder-pools": (taesd.taesd_decoder(32, 16, True), (2, 32, 3, 5), {"latent": 32, "widths": [16], "pools": True}),
    "taesdv-decoder": (taesd.taesd_decoder(4, 20, memory=True), (5, 4, 3, 2), {"widths": [20], "memory": True}),
    "taehv-encoder": (
        taesd.taehv_encoder(6, 12, 2, (3, 2, 1)),
        (18, 3, 32, 48),
        {"latent": 6, "widths": [12], "memory": True, "time": [3, 2, 1], "shuffle": 2},
    ),
    "taehv-decoder": (
        taesd.taehv_decoder(6, (20, 12, 9, 7), 2, (1, 2, 3)),
        (4, 6, 3, 2),
        {"latent": 6, "widths": [20, 12, 9, 7], "memory": True, "time": [1, 2, 3], "shuffle": 2},
    ),
    "taehv-decoder-plain": (
        taesd.taehv_decoder(5, (12, 8, 8, 4)),
        (5, 5, 1, 2),
        {"latent": 5, "widths": [12, 8, 8, 4], "memory": True, "time": [1, 2, 2]},
    ),
}
PLAIN = {"latent": 4, "widths": [64], "pools": False, "memory": False, "time": [1, 1, 1], "shuffle": 1, "faults": []}


def fill(half):
    """Synthetic weights by the names that a file of both halves has."""
    with torch.no_grad():
        for key, value in half.state_dict().items():
            value.copy_(torch.from_numpy(synthetic.tensor(f"{half.half}.{key}", tuple(value.shape))))
    return half.eval()


def export(case):
    half, shape, more = CASES[case]
    model = case.removesuffix("-pools").removesuffix("-plain")
    source = "latent" if half.half == "decoder" else "image" if model == "taesd-encoder" else "video"
    x = synthetic.tensor(source, shape)
    taps = taesd.evaluate(fill(half).double(), torch.from_numpy(x).double())
    out = "latent" if half.half == "encoder" else "image" if model == "taesd-decoder" else "video"
    taps[out] = taps.pop("out")[half.trim :]
    metadata = {
        "script": "tools/reference/export_latents.py",
        "torch": torch.__version__,
        "numpy": np.__version__,
        "model": model,
        "latents": json.dumps({"model": model, "half": half.half, **PLAIN, **more}),
        "input": f"{source} {json.dumps(shape)} from the hash",
        "arithmetic": "f64, stored as f32",
    }
    tensors, strides = sampled(taps, LARGEST)
    path = os.path.join(FOLDER, f"{case}.safetensors")
    safetensors.write(path, tensors, {**metadata, **strides})
    sizes = [value.square().mean().sqrt().item() for value in taps.values()]
    print(f"{case}: {len(tensors)} tensors, rms {min(sizes):.2f} to {max(sizes):.2f}, {os.path.getsize(path)} bytes")


def export_half():
    state = fill(taesd.taesd_decoder(4, 4)).state_dict()
    path = os.path.join(FOLDER, "taesd-half.pth")
    torch.save({name: value.half() for name, value in state.items()}, path)
    print(f"taesd-half: {len(state)} tensors, {os.path.getsize(path)} bytes")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for case in sys.argv[1:] or CASES:
        export(case)
    if not sys.argv[1:]:
        export_half()
