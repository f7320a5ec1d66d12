"""Writes a checkpoint as weights/kinema-augment-192.safetensors (f16) and the golden test of the engine.

    python tools/train/augment_export.py --checkpoint WORKDIR/augment.pt --golden test/golden/models
"""
import argparse
import hashlib
import json
import os
import struct

import numpy as np
import torch

from augment_model import Augmenter
from augment_train import described, latents
from augment_transform import CELL, FLIP, Transform, crop
from compressor_export import load, pattern, weights_path
from model import read_safetensors, sampled, write_safetensors

VERSION = "1"
FILE = "kinema-augment-192.safetensors"


def quantiser_hash(path):
    """Whose codes they are: what `quantiserHash` of src/compressor.ts computes for a compressor's file."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        body = file.read()
    network = json.loads(header.pop("__metadata__")["network"])
    kind = network["quantiser"]
    keys = ("kind", "levels") if kind["kind"] == "fsq" else ("kind", "codebooks", "codes", "dim")
    digest = hashlib.sha256(json.dumps({k: kind[k] for k in keys}, separators=(",", ":")).encode())
    for name, entry in sorted(header.items()):
        if name.split(".")[0] in ("quantiser", "project_out", "decoder"):
            digest.update(f"{name} {entry['dtype']} [{','.join(map(str, entry['shape']))}]".encode())
            digest.update(body[slice(*entry["data_offsets"])])
    return digest.hexdigest()


def command_of(script, saved, names):
    """The command that a checkpoint was trained with, by the options that make a difference."""
    asked = [(name, saved["options"][name]) for name in names]
    flags = [f"--{name}" if value is True else f"--{name} {value}" for name, value in asked if value is not False]
    return f"python tools/train/{script} {' '.join(flags)} (step {saved['step']})"


def load_augmenter(path):
    """The network of an exported file, or the averaged one of a checkpoint."""
    if path.endswith(".pt"):
        saved = torch.load(path, map_location="cpu", weights_only=False)
        state, config = saved["average"], saved["config"]
    else:
        tensors, metadata = read_safetensors(path)
        state, config = {name: torch.from_numpy(value) for name, value in tensors.items()}, json.loads(metadata["network"])
    net = Augmenter(config, state["enter.weight"].shape[1]).eval()
    net.load_state_dict(state)
    return net


@torch.no_grad()
def write_golden(path, weights, compressor_path):
    """Aligned latents, descriptions, every layer's output (an evenly strided sample) and the result, in f64, stored as f32."""
    torch.set_default_dtype(torch.float64)
    net, (compressor, _) = load_augmenter(weights).double(), load(compressor_path, torch.float64)
    side, steps = net.config["side"], net.config["steps"]
    x = torch.from_numpy(pattern(2 * steps, side * CELL, side * CELL)).permute(0, 3, 1, 2).double() / 255
    transform = Transform(brightness=0.1, saturation=0.7).then(FLIP).then(crop(0.8))
    z, told = described(latents(compressor, x), transform, side, True)
    z, told = z[None], told.double()[None]
    taps = {}
    out = net(z, told, taps)
    golden = {name: value.numpy().astype(np.float32) for name, value in
              {"codes": compressor.encode(x).permute(0, 3, 1, 2).double(), "z": z[0], "description": told[0], "out": out[0]}.items()}
    meta = {"script": "tools/train/augment_export.py", "torch": torch.__version__, "model": "kinema-augment",
            "input": "pattern() of compressor_export.py, flipped, 4/5 of the side, brightness +0.1, saturation 0.7", "weights": f"{os.path.basename(weights)}, version {VERSION}",
            "arithmetic": "f64, stored as f32"}
    layers, strides = sampled({name: tap[0] for name, tap in taps.items()})
    write_safetensors(path, {**golden, **layers}, {**meta, **strides})
    torch.set_default_dtype(torch.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--out", default="weights", help="folder, which holds the compressor too")
    parser.add_argument("--golden", help="folder, e.g. test/golden/models")
    parser.add_argument("--measured", default="not measured", help="what augment_evaluate.py said, in a line")
    options = parser.parse_args()
    saved = torch.load(options.checkpoint, map_location="cpu", weights_only=False)
    compressor = weights_path(options.out, "192")
    training = command_of("augment_train.py", saved, ("letter", "layers", "steps", "batch", "lr", "latent", "seed"))
    metadata = {"format": "kinema", "model": "kinema-augment", "version": VERSION, "network": json.dumps(saved["config"]),
                "compressor": "kinema-compressor-192", "quantiser": quantiser_hash(compressor), "measured": options.measured,
                "training": training, "torch": torch.__version__}
    tensors = {name: value.numpy().astype(np.float16) for name, value in saved["average"].items()}
    path = os.path.join(options.out, FILE)
    write_safetensors(path, tensors, metadata)
    print(f"{path}: {sum(v.size for v in tensors.values())} numbers, {os.path.getsize(path)} bytes")
    if options.golden:
        write_golden(os.path.join(options.golden, FILE), path, compressor)


if __name__ == "__main__":
    main()
