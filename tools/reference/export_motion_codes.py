"""Writes test/golden/models/motion-codes-*.safetensors: every layer's output of the networks on codes with synthetic weights.

    python tools/reference/export_motion_codes.py [CASE ...]        # with what tools/train/requirements.txt lists

The networks and the form of a file's tensors are those of tools/train (codes_model.py, codes_export.py); sampling is export_golden.py's. Codes are
(40503 i + floor(i / 32)) mod size, i counting [steps, rows, columns, codebooks].
"""
import json
import os
import sys

import numpy as np
import torch

import safetensors
import synthetic
from export_golden import FOLDER, sampled

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "train"))
from classes import CLASSES  # noqa: E402
from codes_export import embedding, folded, pooled, unfolded  # noqa: E402
from codes_model import BLOCKS, WIDTHS, network_of  # noqa: E402
from compressor_model import RATES  # noqa: E402

LARGEST, STEPS, GRID = 256, 4, (12, 20)
CASES = {"s3d": "192", "tsm": "192", "s3d-fine": "30"}


def codes_of(quantiser, fine):
    """Codes [steps, rows, columns, codebooks]; fine ones are twice as many along each axis."""
    size = quantiser["codes"] if quantiser["kind"] == "vq" else int(np.prod(quantiser["levels"]))
    shape = [n * (2 if fine else 1) for n in (STEPS, *GRID)] + [quantiser.get("codebooks", 1)]
    i = np.arange(np.prod(shape), dtype=np.int64)
    return torch.from_numpy(((40503 * i + i // 32) % size).reshape(shape))


@torch.no_grad()
def export(case):
    rate, backbone = CASES[case], case.removesuffix("-fine")
    arm, quantiser = f"codes-{rate}", RATES[rate]["quantiser"]
    names = folded(network_of(arm, backbone, len(CLASSES), RATES).eval())
    weights = {name: torch.from_numpy(synthetic.tensor(name, tuple(value.shape))).double() for name, value in names.items()}
    torch.set_default_dtype(torch.float64)
    net = unfolded(weights, arm, backbone).double()
    codes, taps = codes_of(quantiser, case.endswith("-fine"))[None], {}
    hooks = [block.time.register_forward_hook(lambda module, inputs, output, i=i: taps.__setitem__(f"blocks.{i}.time", output)) for i, block in enumerate(net.blocks)]
    logits = net(codes, STEPS, taps=taps)
    for hook in hooks:
        hook.remove()
    width = sum(WIDTHS[1:])
    mean, scale = (torch.from_numpy(synthetic.tensor(name, (width,))).double() for name in ("embedding.bias", "embedding.norm.weight"))
    taps = {**taps, "logits": logits, "embedding": embedding(pooled(net, codes, STEPS), mean, scale)}
    torch.set_default_dtype(torch.float32)
    network = {"widths": WIDTHS, "blocks": BLOCKS, "parts": quantiser}
    metadata = {"script": "tools/reference/export_motion_codes.py", "torch": torch.__version__, "backbone": backbone, "network": json.dumps(network),
                "classes": str(len(CLASSES)), "codes": json.dumps(list(codes.shape[1:])), "arithmetic": "f64, stored as f32"}
    golden, strides = sampled(taps, LARGEST)
    path = os.path.join(FOLDER, f"motion-codes-{case}.safetensors")
    safetensors.write(path, golden, {**metadata, **strides})
    sizes = [value.square().mean().sqrt().item() for value in taps.values()]
    print(f"{case}: {len(golden)} tensors, rms {min(sizes):.2f} to {max(sizes):.2f}, {os.path.getsize(path)} bytes")


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        export(case)
