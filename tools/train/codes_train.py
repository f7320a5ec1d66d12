"""Trains a backbone on codes, or the same one on pixels, for the motion task. Resumable: run the same command again. See weights/understanding.md.

    python tools/train/codes_train.py --data ../shared/data --work WORKDIR --arm codes-192 [--backbone tsm] [--seed 1]

Renders the clips and makes the arm's shards where they are not there yet.
"""
import argparse
import copy
import json
import os
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # a spinning thread only takes time from the other

import numpy as np  # noqa: E402
import torch  # noqa: E402

from classes import CAMERA_COUNT, CAMERA_STILL, CLASSES, IGNORE, PAIRS, STILL, camera_group  # noqa: E402
from codes_data import FRAMES, PAIR, Arm, make_shard, picture_of  # noqa: E402
from codes_model import FlowHeads, network_of  # noqa: E402
from codes_start import start_motion  # noqa: E402
from compressor_export import load, weights_path  # noqa: E402
from compressor_model import RATES  # noqa: E402
from compressor_optimiser import Muon  # noqa: E402
from sources import build_cache  # noqa: E402
from train import follow, keep_freed_memory, loss_of  # noqa: E402

SEEN = 5  # steps that a training clip has
JUDGED = 4  # steps of the window that is measured: 8 frames, as for the motion model
SHARDS = {"train": 32, "validation": 2, "test": 8, "busy": 8}


def learning_rate(done, peak):
    """`done` from 0 to 1: a short rise, then a fall to a hundredth."""
    return peak * min(1.0, done / 0.03 + 0.02) * (0.01 + 0.99 * (1 - done) ** 1.5)


def tensor_of(seen):
    """Codes or frames as the network takes them."""
    return torch.from_numpy(seen.astype(np.int64) if seen.ndim == 5 and seen.shape[-1] != 3 else seen)


@torch.no_grad()
def probabilities(net, arm, at_once=16, shuffle=None):
    """Probabilities [clips, 16] at the last of JUDGED steps from a zero state, and the labels there."""
    net.eval()
    rows, marks = [], []
    for first in range(0, len(arm), at_once):
        seen, labels = zip(*(arm.read(i, 0, JUDGED)[:2] for i in range(first, min(len(arm), first + at_once))))
        if shuffle is not None:
            seen = [shuffled(s, shuffle) for s in seen]
        logits = net(tensor_of(np.stack(seen)), JUDGED).view(len(seen), JUDGED, -1)
        rows.append(logits[:, -1].softmax(1).numpy())
        marks += [m[-1] for m in labels]
    net.train()
    return np.concatenate(rows), np.array(marks)


def shuffled(seen, random):
    """The steps of a clip in another order."""
    parts = seen.reshape(JUDGED, -1, *seen.shape[1:])
    return parts[random.permutation(JUDGED)].reshape(seen.shape)


#: The class that is told from a class by its direction only.
PARTNER = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}


def judged(row, label):
    """Of a clip: the class that its label counts for, whether the probabilities name it, and whether they have its way within its pair (None without one)."""
    truth = STILL if label == CAMERA_STILL else label
    guess = camera_group(row).argmax() if label == CAMERA_STILL else row.argmax()
    return truth, guess == truth, row[truth] > row[PARTNER[truth]] if truth in PARTNER else None


def measure(p, labels):
    """Top-1 of 16 over the camera's and the subjects' classes, right way within pairs, each class and each pair."""
    right, count = np.zeros(len(CLASSES)), np.zeros(len(CLASSES))
    ways = {a: [] for a in PARTNER}
    for row, label in zip(p, labels):
        if label == IGNORE:
            continue
        truth, named, way = judged(row, label)
        right[truth] += named
        count[truth] += 1
        if way is not None:
            ways[truth].append(way)
    rate = lambda s: float(right[s].sum() / max(1, count[s].sum()))  # noqa: E731
    share = lambda found: float(np.mean(found)) if found else 0.0  # noqa: E731
    return {"all": rate(slice(0, 16)), "camera": rate(slice(0, CAMERA_COUNT)), "subject": rate(slice(CAMERA_COUNT, 16)),
            "pairs": share([w for found in ways.values() for w in found]), "clips": int(count.sum()),
            "each": [round(float(r / max(1, c)), 3) for r, c in zip(right, count)],
            "ways": {CLASSES[a]: round(share(found), 3) for a, found in ways.items()}}


class Run:
    """The whole state of one training, saved so that it goes on where it stopped."""

    def __init__(self, options, arm):
        torch.manual_seed(options.seed)
        self.options = options
        self.net = network_of(options.arm, options.backbone, len(CLASSES), RATES)
        self.flow = FlowHeads()
        self.path = os.path.join(options.work, f"{options.backbone}-{options.arm}-{options.seed}.pt")
        if not os.path.exists(self.path):
            if options.arm.startswith("codes-"):
                self.net.stem.table.take(load(weights_path(options.weights, options.arm.partition("-")[2]))[0].quantiser)
            start_motion(self.net, arm, lambda number: picture_of(options.work, arm, number), tensor_of)
        self.average = copy.deepcopy(self.net)
        self.optimiser = Muon(torch.nn.ModuleList([self.net, self.flow]), options.lr)
        self.step = 0
        if os.path.exists(self.path):
            saved = torch.load(self.path, map_location="cpu", weights_only=False)
            self.net.load_state_dict(saved["net"])
            self.flow.load_state_dict(saved["flow"])
            self.average.load_state_dict(saved["average"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.step = saved["step"]
            print(f"goes on from step {self.step} of {self.path}")

    def save(self, found):
        torch.save({"net": self.net.state_dict(), "flow": self.flow.state_dict(), "average": self.average.state_dict(), "step": self.step,
                    "optimiser": self.optimiser.state_dict(), "validation": found, "options": vars(self.options)}, self.path + ".part")
        os.replace(self.path + ".part", self.path)

    def advance(self, seen, labels, flow):
        torch.manual_seed(self.options.seed * 1_000_003 + self.step)  # dropout
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step / self.options.steps, self.options.lr)
        taps = {}
        logits = self.net(tensor_of(seen), SEEN, taps=taps)
        loss = loss_of(logits, torch.from_numpy(labels).flatten())
        local = self.flow.loss(taps, torch.from_numpy(flow).float().flatten(0, 1))
        self.optimiser.zero_grad(set_to_none=True)
        (loss + self.options.flow * local).backward()
        self.optimiser.step()
        follow(self.average, self.net, self.step, 0.995)
        self.step += 1
        return float(loss.detach()), float(local.detach())


def train(options):
    keep_freed_memory()
    arm, validation = (Arm(options.work, options.weights, options.arm, split) for split in ("train", "validation"))
    run = Run(options, arm)
    print(f"{options.arm}: {len(arm)} clips, {sum(p.numel() for p in run.net.parameters())} parameters", flush=True)
    losses, start = [], time.process_time()
    while run.step < options.steps:
        random = np.random.default_rng([options.seed, 11, run.step])
        losses.append(run.advance(*arm.batch(random, options.batch, SEEN)))
        if run.step % 50 == 0:
            print(f"step {run.step} loss {np.mean(losses[-50:], axis=0).round(3)} {time.process_time() - start:.0f} s of processor", flush=True)
        if run.step % options.every == 0 or run.step == options.steps:
            found = measure(*probabilities(run.average, validation))
            run.save(found)
            print(json.dumps(found), flush=True)


def make_data(options):
    cache = options.cache or os.path.join(options.work, "cache")
    build_cache(options.data, cache)
    for split in options.splits:
        for index in range(options.shards if split == "train" else SHARDS[split]):
            make_shard(options.data, cache, options.work, options.weights, options.arm, split, index)
            print(f"{options.arm} {split} {index}", end="\r", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--work", required=True, help="folder for clips, shards and checkpoints, outside the repository: 7 GB")
    parser.add_argument("--cache", help="folder of decoded footage (default: WORK/cache), as tools/train/train.py makes it")
    parser.add_argument("--weights", default="weights", help="folder of the compressors")
    parser.add_argument("--arm", default="codes-192", help="codes-RATE, decoded-RATE, jpeg-RATE, jpegfull-RATE or raw")
    parser.add_argument("--backbone", default="s3d", choices=["s3d", "tsm"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shards", type=int, default=SHARDS["train"], help="training shards of 64 clips, 2 variants each")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=16, help=f"clips of {SEEN * PAIR} of {FRAMES} frames")
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--flow", type=float, default=4.0, help="weight of the local motion's loss")
    parser.add_argument("--every", type=int, default=100, help="steps between checkpoints")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--splits", nargs="+", default=["validation", "train"])
    parser.add_argument("--only-data", action="store_true", help="makes the shards of --splits and stops")
    options = parser.parse_args()
    os.makedirs(options.work, exist_ok=True)
    torch.set_num_threads(options.threads)
    make_data(options)
    if not options.only_data:
        train(options)


if __name__ == "__main__":
    main()
