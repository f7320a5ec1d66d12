"""Writes a checkpoint as weights/kinema-motion.safetensors (f16) and the golden test of the engine.

    python tools/train/export.py --checkpoint WORKDIR/motion.pt --accuracy "..." --command "..."
"""
import argparse
import json

import numpy as np
import torch

from classes import CLASSES
from model import INPUT, MEAN, STD, MotionNet, normalise, sampled, write_safetensors
from sources import MODEL_FPS

VERSION = "1"


def preprocessing():
    return {"resize": INPUT, "crop": INPUT, "mean": list(MEAN), "std": list(STD), "fps": MODEL_FPS,
            "channels": "RGB", "scale": 255}


def averaged(checkpoint):
    """The averaged weights of a checkpoint, batch norm folded, as f16 arrays."""
    saved = torch.load(checkpoint, map_location="cpu", weights_only=False)
    return {name: value.numpy().astype(np.float16) for name, value in saved["weights"].items()}, saved


def moving_pattern(frames):
    """A drifting grating of three colours, uint8 [frames, INPUT, INPUT, 3]: no one's footage."""
    y, x = np.mgrid[0:INPUT, 0:INPUT]
    return np.stack([np.stack([127 + 100 * np.sin((x + step * t) / 9) * np.cos((y - t) / 13)
                               for step in (3, 2, 1)], -1) for t in range(frames)]).astype(np.uint8)


def unit_outputs(net, video, frames):
    """The output of every fused unit by its canonical name, float64, and the logits."""
    taps, hooks = {}, []

    def keep(name):
        return lambda module, inputs, output: taps.__setitem__(name, output)
    parts = {0: ["depthwise", "project"], 1: ["expand", "depthwise", "project"]}
    for index, layer in enumerate(net.features[1:18], 1):
        for name, unit in zip(parts[int(index > 1)][:-1], layer.conv):
            hooks.append(unit.register_forward_hook(keep(f"blocks.{index}.{name}")))
    features = {}
    with torch.no_grad():
        logits = net(video, frames, taps=features)
    for hook in hooks:
        hook.remove()
    names = {0: "stem", 18: "last", "pool": "pool"}
    taps.update({names.get(k, f"blocks.{k}.project"): v for k, v in features.items()})
    return taps, logits


def write_golden(path, tensors, frames=4):
    """Input, an evenly strided sample of every unit's output, and per-frame logits, for the f16 weights.

    Computed in f64, stored as f32; the layout is that of tools/reference/export_golden.py.
    """
    net = MotionNet(len(CLASSES)).eval().double()
    net.load_state_dict({name: torch.from_numpy(value.astype(np.float64)) for name, value in tensors.items()})
    video = normalise(torch.from_numpy(moving_pattern(frames))).double().contiguous()
    taps, logits = unit_outputs(net, video, frames)
    golden = {"video": video.numpy().astype(np.float32)}
    metadata = {"script": "tools/train/export.py", "torch": torch.__version__, "model": "tsm-mobilenetv2-online",
                "padding": "symmetric", "classes": str(len(CLASSES)),
                "input": f"video {list(video.shape)} a drifting grating, stored here",
                "weights": f"weights/kinema-motion.safetensors, version {VERSION}", "arithmetic": "f64, stored as f32"}
    layers, strides = sampled(taps)
    golden.update(layers)
    golden["head"] = golden["logits"] = logits.numpy().astype(np.float32)
    write_safetensors(path, golden, {**metadata, **strides})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--out", default="weights/kinema-motion.safetensors")
    parser.add_argument("--golden", default="", help="e.g. test/golden/models/kinema-motion.safetensors")
    parser.add_argument("--accuracy", default="not measured")
    parser.add_argument("--command", default="python tools/train/train.py --data ../shared/data --work WORKDIR")
    options = parser.parse_args()
    tensors, saved = averaged(options.checkpoint)
    metadata = {"format": "kinema", "model": "tsm-mobilenetv2-online", "version": VERSION,
                "classes": json.dumps(CLASSES), "preprocess": json.dumps(preprocessing()),
                "training": f"{options.command} (steps {saved['step']}, seed {saved['options']['seed']})",
                "variant": saved["options"]["variant"], "accuracy": options.accuracy, "torch": torch.__version__}
    write_safetensors(options.out, tensors, metadata)
    if options.golden:
        write_golden(options.golden, tensors)


if __name__ == "__main__":
    main()
