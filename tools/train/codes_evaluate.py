"""Measures the trained backbones on held-out clips and prints the tables of weights/understanding.md.

    python tools/train/codes_evaluate.py --data ../shared/data --work WORKDIR

Every checkpoint BACKBONE-ARM-SEED.pt in WORKDIR is a row, or each file of --runs. Windows of 8 frames from a zero state, judged at the last; classes
hold the same number of clips each, of videos that nothing in training shares a person or a scene with (the split of sources.py).

Measured, over the same clips for every arm: top-1 of the 16 classes, of the camera's and of the subjects'; how often a class gets more than the one of the
other direction ("right way"), also with the steps shuffled, which leaves chance; each class and each direction by itself. Then what a backbone loses or gains
by reading codes in place of raw pixels, and of JPEG files of as many bytes, with 95 % intervals: clips are drawn anew 10,000 times, the same ones for both
sides; several seeds of an arm are averaged clip by clip. What the choice of videos and of seeds makes uncertain is not in the interval. Wanted: at most 5 points
below raw, and above JPEG. A JPEG file holds its tables in every frame; their share of the bytes is told.
"""
import argparse
import json
import os
import re

import numpy as np
import torch

from classes import CLASSES, IGNORE
from codes_data import FRAMES, PAIR, Arm, bytes_of_frame, make_shard, path_of
from codes_export import open_run, unfolded
from codes_train import JUDGED, SHARDS, judged, measure, probabilities, tensor_of
from model import read_safetensors
from sources import build_cache

NAME = re.compile(r"^(s3d|tsm)-((?:codes|decoded|jpeg|jpegfull)-\d+|raw)-(\d+)\.pt$")
ORDER = ["raw", *(f"{kind}-{rate}" for rate in (30, 192, 384) for kind in ("codes", "decoded", "jpeg", "jpegfull"))]
#: Draws of clips, and the points that codes may lose against raw pixels.
DRAWS, LOSS = 10_000, 5.0


def open_any(path):
    """The network of a checkpoint or of an exported file, its backbone, its arm, what its row is called beside the arm, and its steps."""
    if not path.endswith(".safetensors"):
        net, saved = open_run(path)
        return net, saved["options"]["backbone"], saved["options"]["arm"], "", saved["step"]
    tensors, metadata = read_safetensors(path)
    if metadata.get("model") != "kinema-motion-codes":
        raise SystemExit(f"{path} is {metadata.get('model', 'of an unknown model')}; give files of codes_train.py or codes_export.py")
    arm, backbone = f"codes-{metadata['rate']}", metadata["backbone"]
    net = unfolded({name: torch.from_numpy(value) for name, value in tensors.items()}, arm, backbone)
    return net.eval(), backbone, arm, " exported", re.search(r"step (\d+)", metadata["training"])[1]


def scores(p, labels):
    """Clip by clip [2, clips] whether its class is named, and whether its way within its pair is; NaN where that is not asked."""
    found = np.full((2, len(labels)), np.nan)
    for i, (row, label) in enumerate(zip(p, labels)):
        if label != IGNORE:
            _, named, way = judged(row, label)
            found[:, i] = named, np.nan if way is None else way
    return found


def difference(ours, other):
    """Mean of ours - other over the clips, in points, and the 95 % interval of drawing the clips anew."""
    points = 100 * (ours - other)
    points = points[~np.isnan(points)]
    draws = points[np.random.default_rng(0).integers(len(points), size=(DRAWS, len(points)))].mean(1)
    return points.mean(), *np.percentile(draws, [2.5, 97.5])


def compare(found, rows):
    """Prints what codes lose against raw pixels and gain over JPEG, of each backbone that has both."""
    clips = {key: np.mean([run.scores for run in found[key]], axis=0) for key in rows}
    lines = []
    for key in rows:
        backbone, arm, name = key
        kind, _, rate = arm.partition("-")
        for rival, least in (("raw", -LOSS), (f"jpeg-{rate}", 0.0), (f"jpegfull-{rate}", 0.0)):
            if kind != "codes" or (backbone, rival, "") not in found:
                continue
            (mean, low, high), way = (difference(a, b) for a, b in zip(clips[key], clips[backbone, rival, ""]))
            met = mean >= least if rival == "raw" else mean > least
            sure = "" if low > least or high < least else "; the interval holds both answers"
            wanted = f"at least {least:+.0f}" if rival == "raw" else "above 0"
            lines.append(f"| {backbone} | {arm}{name} - {rival} | {mean:+.1f} ({low:+.1f} to {high:+.1f}) | {wanted} | {'met' if met else 'not met'}{sure} | "
                         f"{way[0]:+.1f} ({way[1]:+.1f} to {way[2]:+.1f}) |")
    if lines:
        print("\n| backbone | points | top-1 of 16 (95 %) | wanted | verdict | right way within pairs (95 %) |\n|" + " --- |" * 6)
        print("\n".join(lines))


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


def header_bytes(data):
    """Bytes of a JPEG file around the picture's own: markers, headers, quantisation and Huffman tables."""
    at, length = 2, lambda at: int.from_bytes(data[at + 2:at + 4].tobytes(), "big")  # noqa: E731
    while data[at + 1] != 0xDA:  # start of the scan
        at += 2 + length(at)
    return at + 2 + length(at) + 2  # and the end of the image


def tables_kept(work, arm, split):
    """Bytes of a frame's JPEG file that are headers and tables, mean."""
    found = []
    for index in range(SHARDS[split]):
        part = np.load(path_of(work, arm, split, index, "npz"))
        found += [header_bytes(file) for file in np.split(part["bytes"], part["ends"][:-1])]
    return float(np.mean(found))


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


class Measured:
    """One run over the clips of a split: probabilities and labels clip by clip, and what is made of them."""

    def __init__(self, net, arm, steps):
        self.steps = steps
        self.p, self.labels = probabilities(net, arm)
        self.plain, self.scores = measure(self.p, self.labels), scores(self.p, self.labels)
        self.mixed = measure(*probabilities(net, arm, shuffle=np.random.default_rng(0)))
        self.streamed = streamed(net, arm)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--work", required=True, help="the folder that codes_train.py used")
    parser.add_argument("--cache", help="folder of decoded footage (default: WORK/cache)")
    parser.add_argument("--weights", default="weights", help="folder of the compressors")
    parser.add_argument("--split", default="test", choices=["test", "busy", "validation"])
    parser.add_argument("--runs", nargs="+", metavar="FILE", help="checkpoints, or files of codes_export.py (default: every checkpoint in WORK)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cache = options.cache or os.path.join(options.work, "cache")
    build_cache(options.data, cache)
    found, labels = {}, None
    for path in options.runs or [os.path.join(options.work, file) for file in sorted(os.listdir(options.work)) if NAME.match(file)]:
        net, backbone, arm, name, steps = open_any(path)
        for index in range(SHARDS[options.split]):
            make_shard(options.data, cache, options.work, options.weights, arm, options.split, index)
        run = Measured(net, Arm(options.work, options.weights, arm, options.split), steps)
        labels = run.labels if labels is None else labels
        if not np.array_equal(labels, run.labels):
            raise SystemExit(f"{path}: {arm} has other clips of {options.split} in {options.work} than the arms before it; delete its shards")
        found.setdefault((backbone, arm, name), []).append(run)
        print(f"{os.path.basename(path)}: {json.dumps(run.plain)}", flush=True)
    if not found:
        raise SystemExit(f"{options.work} holds no checkpoint BACKBONE-ARM-SEED.pt; train one with codes_train.py")
    rows = sorted(found, key=lambda key: (key[0], ORDER.index(key[1]) if key[1] in ORDER else 99, key[2]))
    heads = " | ".join(f"{backbone} {arm}{name}" for backbone, arm, name in rows)
    print("\n| backbone | sees | bytes a frame | PSNR | seeds | steps | top-1 of 16 | camera | subject | right way within pairs | steps shuffled: right way |\n|" + " --- |" * 11)
    for key in rows:
        backbone, arm, name = key
        runs = found[key]
        quality = f"{psnr_of(options, arm):.1f}" if options.split == "test" and arm.startswith(("decoded", "jpeg")) else ""
        cells = [spread([r.plain[part] for r in runs]) for part in ("all", "camera", "subject", "pairs")]
        mixed = spread([r.mixed["pairs"] for r in runs])
        print(f"| {backbone} | {arm}{name} | {bytes_kept(options.work, arm, options.split):,.0f} | {quality} | {len(runs)} | {runs[0].steps} | " + " | ".join(cells) + f" | {mixed} |")
    print(f"\n| class | {heads} |\n|" + " --- |" * (len(rows) + 1))
    for label, name in enumerate(CLASSES):
        print(f"| {name} | " + " | ".join(percent(np.mean([r.plain["each"][label] for r in found[key]])) for key in rows) + " |")
    print(f"\n| right way | {heads} |\n|" + " --- |" * (len(rows) + 1))
    for way in found[rows[0]][0].plain["ways"]:
        print(f"| {way} | " + " | ".join(percent(np.mean([r.plain["ways"][way] for r in found[key]])) for key in rows) + " |")
    compare(found, rows)
    for arm in dict.fromkeys(arm for _, arm, _ in rows if arm.startswith("jpeg")):
        kept, tables = bytes_kept(options.work, arm, options.split), tables_kept(options.work, arm, options.split)
        print(f"\n{arm}: {tables:,.0f} of {kept:,.0f} bytes a frame, {percent(tables / kept)}, are headers and tables, which every file of a frame has for itself")
    one = found[rows[0]][0].plain["clips"]
    print(f"\n{one} windows of {JUDGED * PAIR} of {FRAMES} frames; clip at once against step by step, largest difference of a logit: "
          f"{max(r.streamed for runs in found.values() for r in runs):.1e}")


if __name__ == "__main__":
    main()
