"""Writes test/golden/models/augmenter.safetensors: every layer's output of a small augmentation network with synthetic weights.

    python tools/reference/export_augmenter.py        # with what tools/train/requirements.txt lists

The network is that of tools/train/augment_model.py; sampling is export_golden.py's.
"""
import json
import os
import sys

import torch

import safetensors
import synthetic
from export_golden import FOLDER, sampled

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "train"))
from augment_model import Augmenter  # noqa: E402
from augment_transform import NUMBERS  # noqa: E402

LARGEST, LATENT = 512, 6
CONFIG = {"steps": 3, "side": 5, "channels": 12, "heads": 2, "layers": 2, "hidden": 20, "aligned": True}


@torch.no_grad()
def main():
    net = Augmenter(CONFIG, LATENT).double().eval()
    for name, value in net.state_dict().items():
        value.copy_(torch.from_numpy(synthetic.tensor(name, tuple(value.shape))))
    sites, taps = CONFIG["side"] ** 2, {}
    z = torch.from_numpy(synthetic.tensor("latent", (1, CONFIG["steps"], sites, LATENT))).double()
    description = torch.from_numpy(synthetic.tensor("image", (1, sites, NUMBERS))).double()
    out = net(z, description, taps)
    del taps["transform"]  # the engine adds it to the positions as it is made
    golden, strides = sampled({**{name: tap[0] for name, tap in taps.items()}, "out": out[0]}, LARGEST)
    metadata = {"script": "tools/reference/export_augmenter.py", "torch": torch.__version__, "network": json.dumps(CONFIG), "latent": str(LATENT),
                "arithmetic": "f64, stored as f32"}
    path = os.path.join(FOLDER, "augmenter.safetensors")
    safetensors.write(path, golden, {**metadata, **strides})
    print(f"{len(golden)} tensors, rms {', '.join(f'{value.square().mean().sqrt():.2f}' for value in taps.values())}, {os.path.getsize(path)} bytes")


if __name__ == "__main__":
    main()
