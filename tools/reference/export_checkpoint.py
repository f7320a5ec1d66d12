"""Writes a full-size PyTorch checkpoint with random weights, and what the model computes with it, for `kinema verify`.

    python3 tools/reference/export_checkpoint.py MODEL OUT.pth --reference R.safetensors
        [--container zip|legacy] [--naming official|mmaction2] [--frames 8] [--size 224x224] [--vit tiny|small|base]
        [--largest 65536]

Weights are He-normal, BN's scale and shift random, BN's statistics measured on random frames and then disturbed; all from one
seed. R holds the input, the logits and every unit's output, computed in f64 and stored as f32: 8 frames of tsm-resnet50 at
224x224 make 0.4 GB, 16 of stam 1.4 GB, unless --largest says to store only a sample of larger tensors (as export_golden.py).
"""
import argparse
import json
import os

import numpy as np
import torch
from torch import nn

import models
import safetensors
from checkpoint import BARE, TRANSFORMERS, checkpoint_object
from export_golden import sample_stride

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


def randomise_transformer(model):
    """Random weights that keep tokens at an ordinary size and attention neither uniform nor one-hot."""
    torch.manual_seed(SEED)
    for key, value in model.named_parameters():
        leaf = key.split(".")[-1]
        if leaf in ("cls_token", "pos_embed"):
            nn.init.normal_(value, std=0.5)
        elif leaf.endswith("bias"):
            nn.init.normal_(value, std=0.1)
        elif "norm" in key:
            nn.init.uniform_(value, 0.5, 1.5)
        else:
            branch = key.endswith(("attn.proj.weight", "fc2.weight"))
            gain = 2.0 if "qkv" in key or "in_proj" in key else 0.25 if branch else 1.0
            nn.init.normal_(value, std=(gain / value[0].numel()) ** 0.5)
    return model.eval()


def reference(name, model, frames, height, width, largest):
    """The tensors of R: input, taps and logits, f32; and the metadata of those of which only a sample is kept."""
    generator = torch.Generator().manual_seed(SEED)
    draw = torch.rand if name == "stam" else torch.randn
    x = draw(frames, 3, height, width, generator=generator)
    metadata = {}

    def keep(value):
        stride = sample_stride(value.numel(), largest) if largest else 1
        return (stride, tuple(value.shape), value.reshape(-1)[::stride].clone())

    if name == "tsm-mobilenetv2-online":
        taps = {tap: keep(value) for tap, value in models.evaluate_online(model.double(), x.double()).items()}
    else:
        taps = models.evaluate(model.double(), x.double(), keep)
        taps["logits"] = keep(taps["logits"])
    tensors = {models.input_name(name): x.numpy()}
    for tap, (stride, shape, value) in taps.items():
        if stride > 1:
            metadata.update({f"stride:{tap}": str(stride), f"shape:{tap}": json.dumps(shape)})
        tensors[tap] = value.numpy().astype(np.float32).reshape(shape if stride == 1 else -1)
    return tensors, metadata


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", choices=models.CLASSES)
    parser.add_argument("out")
    parser.add_argument("--reference", required=True)
    parser.add_argument("--container", choices=("zip", "legacy"), default="zip")
    parser.add_argument("--naming", choices=("official", "mmaction2"), default="official")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--vit", choices=models.VIT_SIZES, default="base", help="size of a vit")
    parser.add_argument("--largest", type=int, help="store at most about so many values of a tensor")
    parser.add_argument("--size", default="224x224", help="height x width")
    options = parser.parse_args()
    if options.naming == "mmaction2" and options.model in (*BARE, *TRANSFORMERS):
        parser.error(f"mmaction2 has no {options.model}")
    return options


def main():
    options = parse()
    height, width = (int(extent) for extent in options.size.split("x"))
    if options.model in TRANSFORMERS:
        shape = models.vit_shape(options.vit) if options.model == "vit" else None
        model = models.build_transformer(options.model, frames=options.frames, side=(height, width), shape=shape)
        model = randomise_transformer(model)
    else:
        model = randomise(models.build(options.model))
    if options.naming == "mmaction2":
        for key, module in model.named_modules():
            if key.endswith("nl.W.0"):
                module.bias.data.zero_()  # mmaction2 has no bias there
    saved = checkpoint_object(options.model, model, options.naming)
    torch.save(saved, options.out, _use_new_zipfile_serialization=options.container == "zip")
    tensors, samples = reference(options.model, model, options.frames, height, width, options.largest)
    metadata = {
        "script": "tools/reference/export_checkpoint.py",
        "torch": torch.__version__,
        "model": options.model,
        "checkpoint": f"{os.path.basename(options.out)}, {options.container}, {options.naming} names, seed {SEED}",
        "input": json.dumps([options.frames, 3, height, width]),
        "arithmetic": "f64, stored as f32",
        **samples,
    }
    safetensors.write(options.reference, tensors, metadata)
    rms = {name: float(np.sqrt(np.mean(value.astype(np.float64) ** 2))) for name, value in tensors.items()}
    print(f"{options.out}: {os.path.getsize(options.out)} bytes; {options.reference}: {len(tensors)} tensors;", end=" ")
    print(f"root mean squares {min(rms.values()):.3g} to {max(rms.values()):.3g}")


if __name__ == "__main__":
    main()
