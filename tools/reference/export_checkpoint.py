"""Writes a full-size PyTorch checkpoint with random weights, and what the model computes with it, for `kinema verify`.

    python3 tools/reference/export_checkpoint.py MODEL OUT.pth --reference R.safetensors
        [--container zip|legacy] [--naming official|mmaction2] [--frames 8] [--size 224x224]

Weights are He-normal, BN's scale and shift random, BN's statistics measured on random frames and then disturbed; all from one
seed. R holds the input, the logits and every unit's output in full, computed in f64 and stored as f32: 8 frames of
tsm-resnet50 at 224x224 make 0.4 GB.
"""
import argparse
import json
import os

import numpy as np
import torch
from torch import nn

import models
import safetensors
from checkpoint import BARE, checkpoint_object

SEED = 20260


def randomise(model):
    """Random weights and statistics, such that activations keep an ordinary size through the whole net."""
    torch.manual_seed(SEED)
    for key, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(module.weight)
            if key.endswith(("nl.theta", "nl.phi.0")):
                module.weight.data *= 0.2  # keeps the softmax between uniform and one-hot
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
        elif isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            module.weight.data *= 0.5 if key.endswith("bn3") else 1.0
            nn.init.normal_(module.bias, std=0.2)
            module.momentum = 1.0
        if getattr(module, "bias", None) is not None:
            nn.init.normal_(module.bias, std=0.2)
    with torch.no_grad():
        model.train()(torch.randn(4, 3, 112, 112))
        for key, module in model.named_modules():
            if key.endswith("nl.W.1"):  # one clip's attention hardly varies over its positions: its variance says nothing
                module.running_mean.zero_()
                module.running_var.fill_(2.0)
            if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
                module.running_mean += 0.1 * torch.randn_like(module.running_mean) * module.running_var.sqrt()
                module.running_var *= torch.empty_like(module.running_var).uniform_(0.7, 1.4)
    return model.eval()


def reference(name, model, frames, height, width):
    """The tensors of R: input, taps and logits, f32."""
    x = torch.randn(frames, 3, height, width, generator=torch.Generator().manual_seed(SEED))
    evaluate = models.evaluate_online if name == "tsm-mobilenetv2-online" else models.evaluate
    taps = evaluate(model.double(), x.double())
    tensors = {models.input_name(name): x.numpy()}
    tensors.update((tap, value.numpy().astype(np.float32)) for tap, value in taps.items())
    return tensors


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", choices=models.CLASSES)
    parser.add_argument("out")
    parser.add_argument("--reference", required=True)
    parser.add_argument("--container", choices=("zip", "legacy"), default="zip")
    parser.add_argument("--naming", choices=("official", "mmaction2"), default="official")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", default="224x224", help="height x width")
    options = parser.parse_args()
    if options.naming == "mmaction2" and options.model in BARE:
        parser.error(f"mmaction2 has no {options.model}")
    return options


def main():
    options = parse()
    height, width = (int(extent) for extent in options.size.split("x"))
    model = randomise(models.build(options.model))
    if options.naming == "mmaction2":
        for key, module in model.named_modules():
            if key.endswith("nl.W.0"):
                module.bias.data.zero_()  # mmaction2 has no bias there
    saved = checkpoint_object(options.model, model, options.naming)
    torch.save(saved, options.out, _use_new_zipfile_serialization=options.container == "zip")
    tensors = reference(options.model, model, options.frames, height, width)
    metadata = {
        "script": "tools/reference/export_checkpoint.py",
        "torch": torch.__version__,
        "model": options.model,
        "checkpoint": f"{os.path.basename(options.out)}, {options.container}, {options.naming} names, seed {SEED}",
        "input": json.dumps([options.frames, 3, height, width]),
        "arithmetic": "f64, stored as f32",
    }
    safetensors.write(options.reference, tensors, metadata)
    rms = {name: float(np.sqrt(np.mean(value.astype(np.float64) ** 2))) for name, value in tensors.items()}
    print(f"{options.out}: {os.path.getsize(options.out)} bytes; {options.reference}: {len(tensors)} tensors;", end=" ")
    print(f"root mean squares {min(rms.values()):.3g} to {max(rms.values()):.3g}")


if __name__ == "__main__":
    main()
