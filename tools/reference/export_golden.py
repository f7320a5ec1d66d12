"""Writes test/golden/models/<model>.safetensors: input, logits and every unit's output of each model, synthetic weights.

    python3 tools/reference/export_golden.py [MODEL ...]

Computed in f64, stored rounded to f32. Tensors are NCHW, or [N, tokens, channels]. A tensor of more than LARGEST values is
stored as a flat sample: every k-th value of its row-major order, with the metadata `stride:<name>` = k and `shape:<name>` =
its full shape.
The input is stored in full. `video` and the weights follow the recipe in synthetic.py.
"""
import json
import math
import os
import sys

import numpy as np
import torch

import models
import safetensors
import synthetic

LARGEST = 2048
FOLDER = os.path.join(os.path.dirname(__file__), "../../test/golden/models")
# Sizes are odd at some level of every network, and time, height, width and channels all differ.
MOBILE, DEEP = (50, 70), (40, 72)
CASES = {
    "tsm-resnet50": ("tsm-resnet50", "symmetric", (4, 3, *DEEP)),
    "tsm-resnet101": ("tsm-resnet101", "symmetric", (4, 3, *DEEP)),
    "tsm-resnet50-nl": ("tsm-resnet50-nl", "symmetric", (4, 3, *DEEP)),
    "tsm-mobilenetv2": ("tsm-mobilenetv2", "symmetric", (8, 3, *MOBILE)),
    "tsm-mobilenetv2-online": ("tsm-mobilenetv2-online", "symmetric", (6, 3, *MOBILE)),
    "mobilenetv2": ("mobilenetv2", "symmetric", (2, 3, *MOBILE)),
    "mobilenetv2-same": ("mobilenetv2", "same", (2, 3, *MOBILE)),
    "vit": ("vit", "symmetric", (2, 3, 24, 40)),
    "stam": ("stam", "symmetric", (5, 3, 16, 24)),
}
# Small transformers: head widths 12 and 16, none of them that of the released models; tokens 16, 7 and 6.
SPATIAL = {"width": 60, "depth": 3, "heads": 5, "hidden": 212, "patch": 8}
VIDEO = {"width": 96, "depth": 2, "heads": 6, "hidden": 180, "patch": 8}
TEMPORAL = {"temporal_depth": 2, "temporal_heads": 8, "temporal_hidden": 76}
TRANSFORMERS = {"vit": (11, SPATIAL), "stam": (13, {**VIDEO, **TEMPORAL})}


def sample_stride(count, largest=LARGEST):
    """The smallest step that keeps a sample within `largest` values and shares no factor with the extents."""
    stride = math.ceil(count / largest)
    while stride > 1 and math.gcd(stride, count) != 1:
        stride += 1
    return stride


def sampled(taps, largest):
    """Tensors {name: f32 array}, the large ones an evenly strided sample, and the metadata that say so."""
    tensors, metadata = {}, {}
    for tap, value in taps.items():
        value = value.numpy().astype(np.float32)
        stride = sample_stride(value.size, largest)
        if stride > 1:
            metadata[f"stride:{tap}"] = str(stride)
            value = value.reshape(-1)[::stride]
        tensors[tap] = value
    return tensors, metadata


def compute(model, name, x):
    """All taps in f64; for the online model those of the frame-by-frame run, checked against the offline one."""
    if name == "stam":
        taps = models.evaluate(model, x)
        with torch.no_grad():
            taps["stream"] = model.stream(x)
        return taps
    if name != "tsm-mobilenetv2-online":
        return models.evaluate(model, x)
    online, offline = models.evaluate_online(model, x), models.evaluate(model, x)
    for tap, value in online.items():
        difference = (value - offline[tap]).abs().max().item()
        assert difference < 1e-11, f"{tap}: online differs from offline uni-directional by {difference}"
    return online


def export(case):
    name, padding, shape = CASES[case]
    if name in TRANSFORMERS:
        classes, sizes = TRANSFORMERS[name]
        model = models.build_transformer(name, classes, frames=shape[0], side=shape[2:], shape=sizes)
    else:
        classes, sizes, model = models.CLASSES[name], None, models.build(name, padding=padding)
    model = synthetic.fill(model).double()
    x = synthetic.tensor(models.input_name(name), shape)
    tensors = {models.input_name(name): x}
    metadata = {
        "script": "tools/reference/export_golden.py",
        "torch": torch.__version__,
        "numpy": np.__version__,
        "model": name,
        "padding": padding,
        "classes": str(classes),
        "input": f"{models.input_name(name)} {json.dumps(shape)} from the hash",
        "weights": "the hash of the canonical names, see tools/reference/synthetic.py",
        "arithmetic": "f64, stored as f32",
    }
    if sizes:
        metadata["sizes"] = json.dumps(sizes)
    for tap, value in compute(model, name, torch.from_numpy(x).double()).items():
        value = value.numpy().astype(np.float32)
        stride = sample_stride(value.size)
        if stride > 1:
            metadata[f"stride:{tap}"] = str(stride)
            metadata[f"shape:{tap}"] = json.dumps(value.shape)
            value = value.reshape(-1)[::stride]
        tensors[tap] = value
    path = os.path.join(FOLDER, f"{case}.safetensors")
    safetensors.write(path, tensors, metadata)
    print(f"{case}: {len(tensors)} tensors, {os.path.getsize(path)} bytes")


if __name__ == "__main__":
    os.makedirs(FOLDER, exist_ok=True)
    for case in sys.argv[1:] or CASES:
        export(case)
