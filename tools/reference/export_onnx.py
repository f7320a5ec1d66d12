"""Writes the rivals' models: the ONNX form of every case of bench/rival/cases.ts.

    /usr/bin/python3 tools/reference/export_onnx.py [CASE ...]          # default: all; into bench/rival/models

The weights are the synthetic ones, so Kinema gets the same network from the recipe alone. Beside each X.onnx lies
X.safetensors with the input and PyTorch's output, both f32. The shift is slices and concatenations. A single layer is the unit
`conv1` on an input `video`, so that the recipe knows both.
"""
import os
import sys

import torch
from torch import nn

import models
import safetensors
import synthetic
import taesd
from export_latents import fill

FOLDER = os.path.join(os.path.dirname(__file__), "../../bench/rival/models")
# Layer normalisation is one operator from 17 on.
OPSET = 17


class Traced(nn.Module):
    """The model with nothing but its input: the exporter takes no taps."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)


class Layer(nn.Module):
    """One layer under the name that the recipe of the weights knows."""

    def __init__(self, layer):
        super().__init__()
        self.conv1 = layer

    def forward(self, x):
        return self.conv1(x)


def network(name):
    frames = {"stam": 2, "mobilenetv2": 1}.get(name, 8)
    build = lambda: models.build_transformer(name, frames=frames) if name == "stam" else models.build(name)
    return lambda: Traced(synthetic.fill(build())).eval(), models.input_name(name), (frames, 3, 224, 224), "logits"


def layer(make, shape):
    def filled():
        made = Layer(make())
        with torch.no_grad():
            for key, value in made.state_dict().items():
                value.copy_(torch.from_numpy(synthetic.tensor(key, tuple(value.shape))))
        return made.eval()

    return filled, "video", shape, "y"


def latent_decoder():
    return lambda: Traced(fill(taesd.taesd_decoder())).eval(), "latent", (1, 4, 8, 8), "image"


CASES = {
    "matmul-512": lambda: layer(lambda: nn.Linear(512, 512), (512, 512)),
    "conv3x3": lambda: layer(lambda: nn.Conv2d(64, 64, 3, padding=1), (1, 64, 56, 56)),
    "depthwise": lambda: layer(lambda: nn.Conv2d(96, 96, 3, padding=1, groups=96), (1, 96, 56, 56)),
    "mobilenetv2": lambda: network("mobilenetv2"),
    "tsm-mobilenetv2": lambda: network("tsm-mobilenetv2"),
    "tsm-resnet50": lambda: network("tsm-resnet50"),
    "stam": lambda: network("stam"),
    "taesd-decoder": latent_decoder,
}


def export(name):
    make, source, shape, output = CASES[name]()
    model = make()
    x = torch.from_numpy(synthetic.tensor(source, shape))
    path = os.path.join(FOLDER, f"{name}.onnx")
    torch.onnx.export(model, (x,), path, opset_version=OPSET, input_names=[source], output_names=[output])
    with torch.no_grad():
        y = model(x)
    metadata = {"script": "tools/reference/export_onnx.py", "torch": torch.__version__, "opset": str(OPSET), "model": name}
    safetensors.write(f"{path[:-5]}.safetensors", {source: x.numpy(), output: y.numpy()}, metadata)
    print(f"{path}: {os.path.getsize(path)} bytes, {output} {tuple(y.shape)} up to {y.abs().max():.3f}")


if __name__ == "__main__":
    chosen = sys.argv[1:] or list(CASES)
    unknown = [name for name in chosen if name not in CASES]
    if unknown:
        sys.exit(f"no case is called {unknown[0]}; there are {', '.join(CASES)}")
    os.makedirs(FOLDER, exist_ok=True)
    for name in chosen:
        export(name)
