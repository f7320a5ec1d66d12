"""Writes a backbone on codes as weights/kinema-motion-codes-RATE[-tsm].safetensors (f16) and the golden test of the engine.

    python tools/train/codes_export.py --checkpoint WORKDIR/s3d-codes-192-0.pt --work WORKDIR --golden test/golden/models

Batch norm is folded. The file also holds what makes an embedding of the pooled features: their means and scales over training clips.
"""
import argparse
import json
import os

import numpy as np
import torch

from augment_export import command_of, quantiser_hash
from classes import CLASSES
from codes_data import FRAMES, PAIR, SIZE, Arm
from codes_model import BLOCKS, WIDTHS, Conv, Rows, network_of
from codes_train import JUDGED
from compressor_export import load, pattern, weights_path
from compressor_model import RATES
from model import read_safetensors, sampled, write_safetensors
from sources import MODEL_FPS

VERSION = "1"
#: Pooled outputs that an embedding is made of: what is there, and what moves.
EMBEDDED = ("blocks.1", "blocks.2")


def open_run(path):
    """The averaged network of a checkpoint of codes_train.py, and the checkpoint."""
    saved = torch.load(path, map_location="cpu", weights_only=False)
    options = saved["options"]
    net = network_of(options["arm"], options["backbone"], len(CLASSES), RATES)
    net.load_state_dict(saved["average"])
    return net.eval(), saved


def file_of(folder, arm, backbone):
    return os.path.join(folder, f"kinema-motion-{arm}{'' if backbone == 's3d' else '-' + backbone}.safetensors")


@torch.no_grad()
def folded(net):
    """The state of the network without batch norm; a window over two steps keeps PyTorch's order [out, in, time, rows, columns], the earlier step first."""
    state = {"classifier.weight": net.classifier.weight, "classifier.bias": net.classifier.bias}
    for name, module in net.named_modules():
        if not isinstance(module, Conv):
            continue
        weight, bias = module.folded()
        if name.endswith(".time") and weight.shape[1] == 2 * weight.shape[0]:
            weight = torch.stack(weight.chunk(2, 1), 2)  # [out, in, 2, 1, 1]
        state[f"{name}.weight"], state[f"{name}.bias"] = weight, bias
    if hasattr(net.stem, "table"):
        state["stem.embed.weight"] = net.stem.table()
    return {name: value.detach() for name, value in state.items()}


@torch.no_grad()
def unfolded(tensors, arm, backbone):
    """The network of a shipped file: norms that do nothing but add the bias."""
    net = network_of(arm, backbone, len(CLASSES), RATES).eval()
    for name, module in net.named_modules():
        if isinstance(module, Conv):
            weight = tensors[f"{name}.weight"]
            if weight.ndim == 5 and module.conv.weight.ndim == 4:
                weight = torch.cat([weight[:, :, 0], weight[:, :, 1]], 1)
            module.conv.weight.copy_(weight)
            module.norm.running_mean.zero_()
            module.norm.running_var.fill_(1 - module.norm.eps)
            module.norm.weight.fill_(1)
            module.norm.bias.copy_(tensors[f"{name}.bias"])
    for part in ("weight", "bias"):
        getattr(net.classifier, part).copy_(tensors[f"classifier.{part}"])
    if hasattr(net.stem, "table"):
        net.stem.table = Rows(tensors["stem.embed.weight"])
    return net


@torch.no_grad()
def pooled(net, codes, steps):
    """Numbers of an embedding before they are standardised, [N * steps, 64 + 128]."""
    taps = {}
    net(codes, steps, taps=taps)
    return torch.cat([taps[name].mean((2, 3)) for name in EMBEDDED], 1)


def statistics(net, arm, clips=512):
    """Mean and 1 / deviation of the pooled features over training clips, all steps but the first."""
    steps = FRAMES // PAIR
    found = []
    for first in range(0, min(clips, len(arm)), 16):
        codes = torch.from_numpy(np.stack([arm.read(i, 0, steps)[0] for i in range(first, min(first + 16, len(arm)))]).astype(np.int64))
        found.append(pooled(net, codes, steps).unflatten(0, (-1, steps))[:, 1:].flatten(0, 1))
    values = torch.cat(found)
    return values.mean(0), 1 / values.std(0).clamp(min=1e-3)


def embedding(features, mean, scale):
    """Pooled features [steps, 192] of a second or any other span -> its embedding [192]: standardised, averaged, each of the two parts of length 1 / sqrt 2."""
    e = ((features - mean) * scale).mean(0)
    parts = e.split(list(WIDTHS[1:]))
    return torch.cat([p / p.norm().clamp(min=1e-6) for p in parts]) / 2**0.5


def described(saved, weights):
    """Metadata of the shipped file."""
    options = saved["options"]
    rate = options["arm"].partition("-")[2]
    return {"format": "kinema", "model": "kinema-motion-codes", "version": VERSION, "backbone": options["backbone"], "rate": rate,
            "compressor": f"kinema-compressor-{rate}", "quantiser": quantiser_hash(weights_path(weights, rate)), "classes": json.dumps(CLASSES),
            "network": json.dumps({"widths": WIDTHS, "blocks": BLOCKS, "parts": RATES[rate]["quantiser"]}), "fps": str(MODEL_FPS), "frames": str(PAIR), "size": str(SIZE),
            "training": command_of("codes_train.py", saved, ("arm", "backbone", "shards", "steps", "batch", "lr", "flow", "seed")),
            "torch": torch.__version__}


@torch.no_grad()
def write_golden(path, weights, compressor_path, height=128, width=192):
    """Codes, every layer's output (an evenly strided sample), logits of every step and an embedding, in f64, stored as f32."""
    tensors, metadata = read_safetensors(weights)
    torch.set_default_dtype(torch.float64)
    arm = f"codes-{metadata['rate']}"
    tensors = {name: torch.from_numpy(value).double() for name, value in tensors.items()}
    net = unfolded(tensors, arm, metadata["backbone"]).double()
    compressor, _ = load(compressor_path, torch.float64)
    x = torch.from_numpy(pattern(PAIR * JUDGED, height, width)).permute(0, 3, 1, 2).double() / 255
    codes = compressor.encode(x)
    taps, hooks = {}, []
    for i, block in enumerate(net.blocks):
        hooks.append(block.time.register_forward_hook(lambda module, inputs, output, i=i: taps.__setitem__(f"blocks.{i}.time", output)))
    logits = net(codes[None], JUDGED, taps=taps)
    for hook in hooks:
        hook.remove()
    golden = {"codes": codes.permute(0, 3, 1, 2).double(), "logits": logits,
              "embedding": embedding(pooled(net, codes[None], JUDGED), tensors["embedding.mean"], tensors["embedding.scale"])}
    golden = {name: value.numpy().astype(np.float32) for name, value in golden.items()}
    meta = {"script": "tools/train/codes_export.py", "torch": torch.__version__, "model": metadata["model"], "backbone": metadata["backbone"],
            "input": f"codes of {PAIR * JUDGED} frames of {height} x {width}: pattern() of compressor_export.py", "weights": f"{os.path.basename(weights)}, version {VERSION}",
            "arithmetic": "f64, stored as f32"}
    layers, strides = sampled(taps)
    write_safetensors(path, {**golden, **layers}, {**meta, **strides})
    torch.set_default_dtype(torch.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, help="of an arm codes-RATE")
    parser.add_argument("--work", required=True, help="the folder that codes_train.py used")
    parser.add_argument("--out", default="weights", help="folder")
    parser.add_argument("--weights", default="weights", help="folder of the compressors")
    parser.add_argument("--golden", help="folder, e.g. test/golden/models")
    parser.add_argument("--accuracy", default="not measured", help="what codes_evaluate.py said, in a line")
    options = parser.parse_args()
    torch.set_num_threads(1)
    net, saved = open_run(options.checkpoint)
    arm, backbone = saved["options"]["arm"], saved["options"]["backbone"]
    if not arm.startswith("codes-"):
        raise SystemExit(f"{options.checkpoint} reads {arm}; only networks on codes are shipped")
    mean, scale = statistics(net, Arm(options.work, options.weights, arm, "train"))
    tensors = {**folded(net), "embedding.mean": mean, "embedding.scale": scale}
    path = file_of(options.out, arm, backbone)
    write_safetensors(path, {name: value.numpy().astype(np.float16) for name, value in tensors.items()}, {**described(saved, options.weights), "accuracy": options.accuracy})
    print(f"{path}: {sum(v.numel() for v in tensors.values())} numbers, {os.path.getsize(path)} bytes")
    if options.golden:
        write_golden(file_of(options.golden, arm, backbone), path, weights_path(options.weights, arm.partition("-")[2]))


if __name__ == "__main__":
    main()
