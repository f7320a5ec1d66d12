"""Writes the rival's models: the ONNX form of tsm-mobilenetv2 (8 frames) and mobilenetv2 (1 image), 224x224.

    python3 tools/reference/export_onnx.py [FOLDER]          # default: bench/rival/models

The weights are the synthetic ones, so Kinema gets the same network from test/assemble.ts or the recipe alone. Beside each
X.onnx lies X.safetensors with the input and PyTorch's logits, both f32. The shift is slices and concatenations.
"""
import os
import sys

import torch

import models
import safetensors
import synthetic

FOLDER = os.path.join(os.path.dirname(__file__), "../../bench/rival/models")
CASES = {"tsm-mobilenetv2": (8, 3, 224, 224), "mobilenetv2": (1, 3, 224, 224)}
OPSET = 14


class Traced(torch.nn.Module):
    """The model with nothing but its input: the exporter takes no taps."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)


def export(name, shape, folder):
    model = Traced(synthetic.fill(models.build(name))).eval()
    source = models.input_name(name)
    x = torch.from_numpy(synthetic.tensor(source, shape))
    path = os.path.join(folder, f"{name}.onnx")
    torch.onnx.export(model, (x,), path, opset_version=OPSET, input_names=[source], output_names=["logits"])
    with torch.no_grad():
        logits = model(x)
    metadata = {"script": "tools/reference/export_onnx.py", "torch": torch.__version__, "opset": str(OPSET), "model": name}
    safetensors.write(f"{path[:-5]}.safetensors", {source: x.numpy(), "logits": logits.numpy()}, metadata)
    print(f"{path}: {os.path.getsize(path)} bytes, logits {tuple(logits.shape)} up to {logits.abs().max():.3f}")


if __name__ == "__main__":
    folder = sys.argv[1] if len(sys.argv) > 1 else FOLDER
    os.makedirs(folder, exist_ok=True)
    for name, shape in CASES.items():
        export(name, shape, folder)
