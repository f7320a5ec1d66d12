"""Measures the trained backbones on held-out clips and prints the tables of weights/understanding.md.

    python tools/train/codes_evaluate.py --data ../shared/data --work WORKDIR

Every checkpoint BACKBONE-ARM-SEED.pt in WORKDIR is a row. Windows of 8 frames from a zero state, judged at the last; classes hold the same number of
clips each, of videos that nothing in training shares a person or a scene with (the split of sources.py).
"""
import argparse
import json
import os
import re

import numpy as np
import torch

from classes import CLASSES
from codes_data import FRAMES, PAIR, Arm, bytes_of_frame, make_shard, path_of
from codes_model import network_of
from codes_train import JUDGED, SHARDS, measure, probabilities, tensor_of
from compressor_model import RATES
from sources import build_cache

NAME = re.compile(r"^(s3d|tsm)-((?:codes|decoded|jpeg|jpegfull)-\d+|raw)-(\d+)\.pt$")
ORDER = ["raw", *(f"{kind}-{rate}" for rate in (30, 192, 384) for kind in ("codes", "decoded", "jpeg", "jpegfull"))]


def open_run(path):
    saved = torch.load(path, map_location="cpu", weights_only=False)
    options = saved["options"]
    net = network_of(options["arm"], options["backbone"], len(CLASSES), RATES)
    net.load_state_dict(saved["average"])
    return net.eval(), saved


def percent(value):
    return f"{100 * value:.1f} %"


def spread(values):
    """The mean; over several seeds also the extremes."""
    return percent(np.mean(values)) + (f" ({100 * min(values):.1f} to {100 * max(values):.1f})" if len(values) > 1 else "")


def bytes_kept(work, arm, split):
    """Bytes of a frame as this arm keeps it, mean."""
    kind, _, rate = arm.partition("-")
    if kind == "raw":
        return 256 * 256 * 3.0
    if kind in ("codes", "decoded"):
        return bytes_of_frame(rate)
    ends = [np.load(path_of(work, arm, split, i, "npz"))["ends"] for i in range(SHARDS[split])]
    return float(sum(e[-1] for e in ends) / sum(len(e) for e in ends))


def psnr_of(options, arm, clips=48):
    """PSNR of what a pixel arm sees of the test clips against the raw ones, mean over frames."""
    raw, seen = (Arm(options.work, options.weights, a, "test") for a in ("raw", arm))
    values = []
    for number in np.linspace(0, len(raw) - 1, clips).astype(int):
        a, b = (source.read(int(number), 0, JUDGED)[0].astype(np.float32) for source in (raw, seen))
        values.append(10 * np.log10(255**2 / np.maximum(np.square(a - b).mean((1, 2, 3)), 1e-6)).mean())
    return float(np.mean(values))


@torch.no_grad()
def streamed(net, arm, clips=4):
    """Largest difference of a logit between a clip at once and step by step with its states."""
    worst = 0.0
    net.eval()
    for i in range(min(clips, len(arm))):
        seen = tensor_of(arm.read(i, 0, JUDGED)[0][None])
        states, per = [None] * len(net.blocks), seen.shape[1] // JUDGED
        steps = torch.cat([net(seen[:, per * t:per * (t + 1)], 1, states) for t in range(JUDGED)])
        worst = max(worst, float((net(seen, JUDGED) - steps).abs().max()))
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--work", required=True, help="the folder that codes_train.py used")
    parser.add_argument("--cache", help="folder of decoded footage (default: WORK/cache)")
    parser.add_argument("--weights", default="weights", help="folder of the compressors")
    parser.add_argument("--split", default="test", choices=["test", "busy", "validation"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    cache = options.cache or os.path.join(options.work, "cache")
    build_cache(options.data, cache)
    found = {}
    for file in sorted(os.listdir(options.work)):
        if match := NAME.match(file):
            backbone, arm, _ = match.groups()
            for index in range(SHARDS[options.split]):
                make_shard(options.data, cache, options.work, options.weights, arm, options.split, index)
            net, saved = open_run(os.path.join(options.work, file))
            seen = Arm(options.work, options.weights, arm, options.split)
            plain = measure(*probabilities(net, seen))
            mixed = measure(*probabilities(net, seen, shuffle=np.random.default_rng(0)))
            found.setdefault((backbone, arm), []).append((plain, mixed, saved["step"], streamed(net, seen)))
            print(f"{file}: {json.dumps(plain)}", flush=True)
    if not found:
        raise SystemExit(f"{options.work} holds no checkpoint BACKBONE-ARM-SEED.pt; train one with codes_train.py")
    rows = sorted(found, key=lambda key: (key[0], ORDER.index(key[1]) if key[1] in ORDER else 99))
    print("\n| backbone | sees | bytes a frame | PSNR | seeds | steps | top-1 of 16 | camera | subject | right way within pairs | steps shuffled: right way |\n|" + " --- |" * 11)
    for key in rows:
        backbone, arm = key
        runs = found[key]
        quality = f"{psnr_of(options, arm):.1f}" if options.split == "test" and arm.startswith(("decoded", "jpeg")) else ""
        cells = [spread([r[0][part] for r in runs]) for part in ("all", "camera", "subject", "pairs")]
        mixed = spread([r[1]["pairs"] for r in runs])
        print(f"| {backbone} | {arm} | {bytes_kept(options.work, arm, options.split):,.0f} | {quality} | {len(runs)} | {runs[0][2]} | " + " | ".join(cells) + f" | {mixed} |")
    print("\n| class | " + " | ".join(f"{b} {a}" for b, a in rows) + " |\n|" + " --- |" * (len(rows) + 1))
    for label, name in enumerate(CLASSES):
        print(f"| {name} | " + " | ".join(percent(np.mean([r[0]["each"][label] for r in found[key]])) for key in rows) + " |")
    print("\n| right way | " + " | ".join(f"{b} {a}" for b, a in rows) + " |\n|" + " --- |" * (len(rows) + 1))
    for name in found[rows[0]][0][0]["ways"]:
        print(f"| {name} | " + " | ".join(percent(np.mean([r[0]["ways"][name] for r in found[key]])) for key in rows) + " |")
    one = found[rows[0]][0][0]["clips"]
    print(f"\n{one} windows of {JUDGED * PAIR} of {FRAMES} frames; clip at once against step by step, largest difference of a logit: "
          f"{max(r[3] for runs in found.values() for r in runs):.1e}")


if __name__ == "__main__":
    main()
