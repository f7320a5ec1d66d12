"""Trains one of the compressors. Resumable: run the same command again. See weights/compressor.md.

    python tools/train/compressor_train.py --data ../shared/data --work WORKDIR --rate 192
"""
import argparse
import copy
import json
import math
import os
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # a spinning thread only takes time from the other

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from compressor_data import Crops, measured_frames  # noqa: E402
from compressor_model import COMMON, RATES, Compressor, compression_rate  # noqa: E402
from compressor_optimiser import Muon  # noqa: E402
from sources import VALIDATION_CLIPS  # noqa: E402
from train import follow, keep_freed_memory  # noqa: E402


#: Of the steps: after a third of it quantisation begins, and another whole later everything is quantised.
WARM = 0.12


def learning_rate(done, peak):
    """`done` from 0 to 1: a short rise, then a cubic to 1/200. Once everything is quantised, codes must be able to follow the encoder."""
    return peak * min(1.0, done / 0.02 + 0.02) * (0.005 + 0.995 * (1 - done) ** 3)


def loss_of(out, x, commitment):
    """Absolute and squared error (PSNR is about the second) and the commitment of the encoder to its codes."""
    return F.l1_loss(out, x) + 4 * F.mse_loss(out, x) + 0.25 * commitment


@torch.no_grad()
def validate(net, frames):
    """Mean PSNR over validation clips, 8 bits a channel, and codes in use."""
    net.eval()
    values, used = [], set()
    for clip in frames:
        x = torch.from_numpy(clip).permute(0, 3, 1, 2).float().div(255)
        out, _, codes = net(x)
        error = (out.clamp(0, 1).mul(255).round() - x * 255).square().mean((1, 2, 3)).clamp(min=1e-9)
        values.append(float((10 * torch.log10(255**2 / error)).mean()))
        used.update(codes.flatten().tolist())
    net.train()
    return {"psnr": [round(v, 2) for v in values], "mean": round(float(np.mean(values)), 2), "codes": len(used)}


class Run:
    """The whole state of one training, saved so that it goes on where it stopped."""

    def __init__(self, options):
        torch.manual_seed(options.seed)
        self.options, self.config = options, {**COMMON, **RATES[options.rate]}
        self.net = Compressor(self.config)
        self.step, same = 0, {}
        if options.start:
            saved = torch.load(options.start, map_location="cpu", weights_only=False)["average"]
            own = self.net.state_dict()
            same = {k: v for k, v in saved.items() if k in own and v.shape == own[k].shape}
            self.net.load_state_dict({**own, **same})
        self.quantised = "quantiser.codebook" in same  # from the first step on
        self.average = copy.deepcopy(self.net)
        self.optimiser = Muon(self.net, options.lr)
        self.path = os.path.join(options.work, f"compressor-{options.rate}.pt")
        if os.path.exists(self.path):
            saved = torch.load(self.path, map_location="cpu", weights_only=False)
            self.net.load_state_dict(saved["net"])
            self.average.load_state_dict(saved["average"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.step = saved["step"]
            print(f"goes on from step {self.step} of {self.path}")

    def save(self):
        torch.save({"net": self.net.state_dict(), "average": self.average.state_dict(), "step": self.step,
                    "optimiser": self.optimiser.state_dict(), "config": self.config,
                    "options": vars(self.options)}, self.path + ".part")
        os.replace(self.path + ".part", self.path)

    def advance(self, x):
        torch.manual_seed(self.options.seed * 1_000_003 + self.step)  # which inputs dead codes take
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step / self.options.steps, self.options.lr)
        x = torch.from_numpy(x)
        done = self.step / self.options.steps
        out, commitment, _ = self.net(x, 1.0 if self.quantised else min(1.0, max(0.0, (done - WARM / 3) / WARM)))
        loss = loss_of(out, x, commitment)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        follow(self.average, self.net, self.step, 0.99)
        self.step += 1
        return float(loss.detach()), float(F.mse_loss(out.detach(), x)), float(commitment.detach())


def train(options):
    keep_freed_memory()
    run = Run(options)
    crops = Crops(options.data, options.cache or os.path.join(options.work, "cache"), options.seed, run.config["time"])
    frames = [measured_frames(crops.cache, name, 3, run.config["time"]) for name in VALIDATION_CLIPS]
    print(f"CR {compression_rate(run.config):.1f}, {sum(p.numel() for p in run.net.parameters())} parameters", flush=True)
    losses, start = [], time.process_time()
    while run.step < options.steps:
        # The last third sees larger crops: what the borders do weighs less.
        size, count = (64, options.batch) if run.step < options.steps * 2 // 3 else (96, max(1, options.batch * 4 // 9))
        losses.append(run.advance(crops.batch(run.step, count, size)))
        if run.step % 100 == 0:
            loss, error, commitment = np.mean(losses[-100:], axis=0)
            print(f"step {run.step} loss {loss:.4f} psnr {-10 * math.log10(error):.2f} commitment {commitment:.4f} "
                  f"{time.process_time() - start:.0f} s of processor", flush=True)
        if run.step % options.every == 0 or run.step == options.steps:
            run.save()
            print(json.dumps(validate(run.average, frames)), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--work", required=True, help="folder for the checkpoint, outside the repository")
    parser.add_argument("--cache", help="folder of decoded clips (default: WORK/cache), as tools/train/train.py makes it")
    parser.add_argument("--rate", choices=sorted(RATES), default="192")
    parser.add_argument("--start", help="checkpoint whose weights to begin with, where names are the same")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=0.03)
    parser.add_argument("--every", type=int, default=250, help="steps between checkpoints")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    os.makedirs(options.work, exist_ok=True)
    torch.set_num_threads(options.threads)
    train(options)


if __name__ == "__main__":
    main()
