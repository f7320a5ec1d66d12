"""Writes test/golden/models/deit-tiny.safetensors: what PyTorch makes of real frames with DeiT-Tiny's real weights.

    node tools/run.mjs tools/reference/clip_frames.ts IMAGES.safetensors WEIGHTS VIDEO:INDEX,INDEX,... [...]
    python3 tools/reference/export_deit.py WEIGHTS.safetensors IMAGES.safetensors

The file holds the logits [N, 1000] (f64, stored as f32), and in its metadata which frames they are of and the SHA-256 of the
network's input. Neither frames nor weights are committed.
"""
import hashlib
import os
import sys

import numpy as np
import torch

import models
import safetensors

OUT = os.path.join(os.path.dirname(__file__), "../../test/golden/models/deit-tiny.safetensors")


def main():
    weights, images = sys.argv[1:]
    state, _ = safetensors.read(weights)
    model = models.build_transformer("vit", shape=models.vit_shape("tiny"))
    model.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in state.items()})
    tensors, metadata = safetensors.read(images)
    image = tensors["image"]
    with torch.no_grad():
        logits = model.double()(torch.from_numpy(image.copy()).double()).numpy()
    safetensors.write(
        OUT,
        {"logits": logits.astype(np.float32)},
        {
            "script": "tools/reference/export_deit.py",
            "torch": torch.__version__,
            "frames": metadata["frames"],
            "sha256": hashlib.sha256(image.tobytes()).hexdigest(),
            "arithmetic": "f64, stored as f32",
        },
    )
    print(f"{image.shape[0]} images, largest class {logits.argmax(1).tolist()}")


if __name__ == "__main__":
    main()
