"""Proves what the temporal shift does: the same network and budget with it, without it, and on shuffled frames.

    python tools/train/ablation.py --data ../shared/data --work WORKDIR

Trains every variant with three seeds on the shards that train.py rendered, with fewer steps and smaller frames than
the shipped weights, and writes WORKDIR/ablation.json, which evaluate.py prints. Goes on where it stopped.
"""
import argparse
import json
import os
import subprocess
import sys

os.environ.setdefault("KINEMA_MOTION_INPUT", "64")  # before model.py is read, here and in train.py

import numpy as np
import torch

from classes import CLASSES
from dataset import make_shards, open_shards
from evaluate import known_paths
from model import MotionNet

VARIANTS = ("shift", "no-shift", "shuffled")


def run(options, variant, seed):
    """Trains one network and measures it on the held-out clips."""
    name = f"ablation-{variant}-{seed}"
    command = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "train.py"),
               "--data", options.data, "--work", options.work, "--shards", str(options.shards), "--name", name,
               "--variant", variant, "--seed", str(seed), "--steps", str(options.steps), "--small-steps", "0", "--every", str(options.steps)]
    subprocess.run(command, check=True)
    saved = torch.load(os.path.join(options.work, f"{name}.pt"), map_location="cpu", weights_only=False)
    net = MotionNet(len(CLASSES), use_shift=variant != "no-shift")
    net.load_state_dict(saved["weights"])
    shuffle = np.random.default_rng(seed) if variant == "shuffled" else None
    found = known_paths(net.eval(), open_shards(os.path.join(options.work, "shards"), "test"), shuffle)
    return {"variant": variant, "seed": seed, "steps": saved["step"],
            **{key: float(found[key]) for key in ("camera", "subject", "pairs", "camera_pairs", "clips")}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--work", required=True, help="the folder that train.py used")
    parser.add_argument("--shards", type=int, default=100, help="as given to train.py")
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    target = os.path.join(options.work, "ablation.json")
    done = json.load(open(target)) if os.path.exists(target) else []
    make_shards(options.data, os.path.join(options.work, "cache"), os.path.join(options.work, "shards"), "test", 4, 0, os.cpu_count())
    for seed in range(options.seeds):
        for variant in VARIANTS:
            if any((r["variant"], r["seed"], r["steps"]) == (variant, seed, options.steps) for r in done):
                continue
            done.append(run(options, variant, seed))
            with open(target, "w") as file:
                json.dump(done, file, indent=1)
            print(done[-1], flush=True)


if __name__ == "__main__":
    main()
