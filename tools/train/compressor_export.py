"""Writes a checkpoint as weights/kinema-compressor-RATE.safetensors (f16) and the golden test of the engine.

    python tools/train/compressor_export.py --checkpoint WORKDIR/compressor-192.pt --golden test/golden/models
"""
import argparse
import json
import os

import numpy as np
import torch

from compressor_model import Compressor, bits_per_site, compression_rate
from model import read_safetensors, sampled, write_safetensors

VERSION = "1"
#: Statistics of training that nothing needs afterwards.
DROPPED = ("quantiser.count", "quantiser.total")


def weights_path(folder, rate):
    return os.path.join(folder, f"kinema-compressor-{rate}.safetensors")


def pattern(frames, height, width):
    """Frames [frames, height, width, 3] of moving triangle waves in whole numbers, which the test computes as well: no one's footage."""
    t, y, x = np.mgrid[0:frames, 0:height, 0:width]
    wave = lambda v: np.abs((v & 511) - 255)  # noqa: E731
    return np.stack([wave(3 * x + y + 7 * t), wave((x * y >> 4) + 5 * t), wave(2 * x + 5 * y + (x * y >> 6) - 3 * t)], -1).astype(np.uint8)


def load(path, dtype=torch.float32):
    """The network of a shipped file and its metadata."""
    tensors, metadata = read_safetensors(path)
    net = Compressor(json.loads(metadata["network"])).eval().to(dtype)
    state = net.state_dict()
    state.update({name: torch.from_numpy(value).to(dtype) for name, value in tensors.items()})
    net.load_state_dict(state)
    return net, metadata


@torch.no_grad()
def write_golden(path, weights, frames=8, height=128, width=192):
    """Every layer's output (of 2 frames, an evenly strided sample), the codes and the picture of the shipped weights, in f64, stored as f32."""
    torch.set_default_dtype(torch.float64)
    net, metadata = load(weights, torch.float64)
    x = torch.from_numpy(pattern(frames, height, width)).permute(0, 3, 1, 2).double() / 255
    taps = {}
    codes = net.encode(x)
    net.embed(x[:2], taps)
    net.expand(net.quantiser.decode(codes[:2 // net.time].flatten(0, 2)).view(2 // net.time, *codes.shape[1:3], -1).permute(0, 3, 1, 2), taps)
    golden = {"codes": codes.permute(0, 3, 1, 2).numpy().astype(np.float32)}
    meta = {"script": "tools/train/compressor_export.py", "torch": torch.__version__, "model": metadata["model"],
            "input": f"{frames} frames of {height} x {width}: pattern() of the script; the layers' outputs are of the first 2",
            "weights": f"{os.path.basename(weights)}, version {VERSION}", "arithmetic": "f64, stored as f32"}
    layers, strides = sampled(taps)
    write_safetensors(path, {**golden, **layers}, {**meta, **strides})
    torch.set_default_dtype(torch.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--out", default="weights", help="folder")
    parser.add_argument("--golden", help="folder, e.g. test/golden/models")
    parser.add_argument("--measured", default="not measured", help="what compressor_evaluate.py said, in a line")
    options = parser.parse_args()
    saved = torch.load(options.checkpoint, map_location="cpu", weights_only=False)
    config, asked = saved["config"], saved["options"]
    tensors = {name: value.numpy().astype(np.float16) for name, value in saved["average"].items() if name not in DROPPED}
    quantiser = config["quantiser"]
    start = " --start CR192" if asked.get("start") else ""
    metadata = {"format": "kinema", "model": "kinema-compressor", "version": VERSION, "rate": asked["rate"],
                "compression_rate": f"{compression_rate(config):.2f}", "bits_per_site": f"{bits_per_site(quantiser):.4g}",
                "stride": json.dumps([config["time"], 2 ** config["layers"], 2 ** config["layers"]]),
                "network": json.dumps(config), "input": "RGB from 0 to 1", "measured": options.measured,
                "training": f"python tools/train/compressor_train.py --rate {asked['rate']} --steps {asked['steps']} --lr {asked['lr']} --seed {asked['seed']}{start} (step {saved['step']})",
                "torch": torch.__version__}
    if quantiser["kind"] == "fsq":
        metadata["levels"] = json.dumps(quantiser["levels"])
    path = weights_path(options.out, asked["rate"])
    write_safetensors(path, tensors, metadata)
    print(f"{path}: {sum(v.size for v in tensors.values())} numbers, {os.path.getsize(path)} bytes")
    if options.golden:
        write_golden(weights_path(options.golden, asked["rate"]), path)


if __name__ == "__main__":
    main()
