"""Makes the training set and trains Kinema's motion model. Resumable; see weights/README.md.

    python tools/train/train.py --data ../shared/data --work WORKDIR
"""
import argparse
import copy
import ctypes
import json
import math
import os
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # a spinning thread only takes time from the other

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch.nn import functional as F

from classes import CAMERA_COUNT, CAMERA_STILL, CLASSES, IGNORE, STILL, camera_group
from dataset import SEEN, Batches, make_shards, open_shards, to_input
from model import INPUT, FlowHeads, MotionNet, load_backbone, normalise
from motion_start import start_motion
from optimiser import RelativeAdam
from sources import build_cache

BACKBONE = "weights/mobilenet_v2_1.0_onnxzoo7_backbone_fp32.safetensors"


def loss_of(logits, labels):
    """Cross entropy; CAMERA_STILL asks only that still or some subject class holds the probability."""
    log_p = F.log_softmax(logits, 1)
    resting = torch.cat([log_p[:, STILL:STILL + 1], log_p[:, CAMERA_COUNT:]], 1).logsumexp(1)
    exact = log_p.gather(1, labels.clamp(0, len(CLASSES) - 1)[:, None])[:, 0]
    value = torch.where(labels == CAMERA_STILL, resting, exact)
    known = (labels != IGNORE).float()
    return -(value * known).sum() / known.sum().clamp(min=1)


def learning_rate(step, steps, peak):
    warm = min(1.0, (step + 1) / 50)
    return peak * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps))))


@torch.no_grad()
def validate(net, shards, at=7, device="cpu", shuffle=None):
    """Accuracies at frame `at` (an 8-frame window) over the classes: overall, camera, subject, per class."""
    net.eval()
    right, count = np.zeros(16), np.zeros(16)
    for clips, labels in shards:
        for i in range(0, len(clips), 16):
            window = np.stack([to_input(clip) for clip in clips[i:i + 16, :at + 1]])
            if shuffle is not None:
                window = np.stack([w[shuffle.permutation(at + 1)] for w in window])
            logits = net(normalise(torch.from_numpy(window)).to(device), at + 1).view(len(window), at + 1, -1)
            p = logits[:, -1].softmax(1).cpu().numpy()
            for row, label in zip(p, labels[i:i + 16, at]):
                if label == IGNORE:
                    continue
                good = camera_group(row).argmax() == STILL if label == CAMERA_STILL else row.argmax() == label
                index = STILL if label == CAMERA_STILL else label
                right[index], count[index] = right[index] + good, count[index] + 1
    net.train()
    rate = lambda s: float(right[s].sum() / max(1, count[s].sum()))  # noqa: E731
    return {"all": rate(slice(0, 16)), "camera": rate(slice(0, 10)), "subject": rate(slice(10, 16)),
            "each": [round(float(r / max(1, c)), 2) for r, c in zip(right, count)]}


class Run:
    """The state of one training run, saved as a whole so that it goes on where it stopped."""

    def __init__(self, options):
        torch.manual_seed(options.seed)
        self.options = options
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.net = MotionNet(len(CLASSES), use_shift=options.variant != "no-shift")
        load_backbone(self.net, os.path.join(options.data, BACKBONE))
        if options.variant != "no-shift":
            start_motion(self.net, self._some_frames(options)[:, 0])
        self.net.trainable()
        self.net.unfold(self._some_frames(options))
        self.net.to(self.device, memory_format=torch.channels_last)
        head = [self.net.classifier.weight, self.net.classifier.bias]
        self.flow = FlowHeads().to(self.device)
        self.optimiser = RelativeAdam([*self.net.trainable(), *self.flow.parameters()], head)
        self.average = copy.deepcopy(self.net)
        self.step = 0
        self.path = os.path.join(options.work, f"{options.name}.pt")
        if os.path.exists(self.path):
            saved = torch.load(self.path, map_location=self.device, weights_only=False)
            self.net.load_state_dict(saved["net"])
            self.flow.load_state_dict(saved["flow"])
            self.average.load_state_dict(saved["average"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.step = saved["step"]
            print(f"goes on from step {self.step} of {self.path}")

    @staticmethod
    def _some_frames(options):
        shards = open_shards(os.path.join(options.work, "shards"), "train")
        return np.stack([to_input(clips[i, :SEEN]) for clips, _ in shards[:6] for i in range(8)])

    def save(self):
        torch.save({"net": self.net.state_dict(), "flow": self.flow.state_dict(),
                    "average": self.average.state_dict(), "weights": self.average.folded(), "step": self.step,
                    "optimiser": self.optimiser.state_dict(), "options": vars(self.options)}, self.path + ".part")
        os.replace(self.path + ".part", self.path)

    def advance(self, clips, labels, flow):
        taps = {}
        logits = self.net(normalise(clips.to(self.device)), clips.shape[1], taps=taps)
        loss = loss_of(logits, labels.reshape(-1).to(self.device))
        local = self.flow.loss(taps, flow.flatten(0, 1).to(self.device))
        (loss + self.options.flow * local).backward()
        torch.nn.utils.clip_grad_norm_(self.optimiser.parameters, 5.0)
        self.optimiser.step(learning_rate(self.step, self.options.steps, self.options.rate))
        follow(self.average, self.net, self.step, 0.997)
        self.step += 1
        return float(loss.detach()), float(local.detach())


@torch.no_grad()
def follow(average, net, step, longest):
    """Moves the running mean of a network's weights and statistics towards it; young means follow faster."""
    decay = min(longest, (step + 1) / (step + 10))
    for mean, new in zip(average.state_dict().values(), net.state_dict().values()):
        if mean.is_floating_point():
            mean.lerp_(new, 1 - decay)


def keep_freed_memory():
    """glibc gives every large tensor back to the kernel and faults it in again: a third of a step."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-3, 2**31 - 1)
        libc.mallopt(-1, 2**31 - 1)
    except OSError:
        pass  # another C library, which does not do so


def train(options):
    keep_freed_memory()
    shards = os.path.join(options.work, "shards")
    run, losses, start = Run(options), [], time.time()
    size_of = lambda step: INPUT * 3 // 4 if step < options.small_steps else INPUT  # noqa: E731
    batches = Batches(shards, options.batch, [options.seed, run.step], options.variant == "shuffled", run.step, size_of)
    validation = open_shards(shards, "validation")
    while run.step < options.steps:
        losses.append(run.advance(*batches.next()))
        if run.step % 50 == 0:
            print(f"step {run.step} loss {np.mean(losses[-50:], axis=0).round(3)} {time.time() - start:.0f} s", flush=True)
        if run.step % options.every == 0 or run.step == options.steps:
            run.save()
            shuffle = np.random.default_rng(0) if options.variant == "shuffled" else None
            print(json.dumps(validate(run.average, validation, device=run.device, shuffle=shuffle)), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--work", required=True, help="folder for cache, shards and checkpoints, outside the repository")
    parser.add_argument("--name", default="motion", help="name of the checkpoint in the work folder")
    parser.add_argument("--variant", default="shift", choices=["shift", "no-shift", "shuffled"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shards", type=int, default=132, help="training shards of 128 clips")
    parser.add_argument("--steps", type=int, default=4800)
    parser.add_argument("--small-steps", type=int, default=3400, help="the first steps see pictures of 3/4 of the side")
    parser.add_argument("--batch", type=int, default=8, help=f"clips of {SEEN} frames")
    parser.add_argument("--rate", type=float, default=0.015)
    parser.add_argument("--flow", type=float, default=1.0, help="weight of the local motion's loss")
    parser.add_argument("--every", type=int, default=250, help="steps between checkpoints")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    torch.set_num_threads(os.cpu_count())
    cache, shards = os.path.join(options.work, "cache"), os.path.join(options.work, "shards")
    build_cache(options.data, cache)
    make_shards(options.data, cache, shards, "validation", 3, 0, options.workers)
    make_shards(options.data, cache, shards, "train", options.shards, 0, options.workers)
    train(options)


if __name__ == "__main__":
    main()
