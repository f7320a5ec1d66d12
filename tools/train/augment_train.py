"""Trains the augmentation network on the latents of the shipped compressor. Resumable: run the same command again. See weights/augmentation.md.

    python tools/train/augment_train.py --data ../shared/data --work WORKDIR

Loss: what the frozen decoder makes of the network's latents against the transformed pixels, and a little the latents of the transformed pixels.
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

from augment_model import CONFIG, Augmenter  # noqa: E402
from augment_transform import CELL, FLIP, Transform, description, pixels, random_transform, sites  # noqa: E402
from compressor_data import Crops, measured_frames  # noqa: E402
from compressor_export import load, weights_path  # noqa: E402
from sources import VALIDATION_CLIPS  # noqa: E402
from train import follow, keep_freed_memory  # noqa: E402

SOURCE = 24  # sites a side of the picture that a training sample is taken from: a turned window still lies within


def learning_rate(done, peak):
    return peak * min(1.0, done / 0.03 + 0.02) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def planes(frames):
    """[n, H, W, 3] -> [n, 3, H, W], a tensor."""
    return torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2)))


@torch.no_grad()
def latents(compressor, frames, quantised=True):
    """Frames [n, 3, H, W] -> quantised vectors [n / 2, sites, latent]."""
    z = compressor.embed(frames).permute(0, 2, 3, 1)
    shape = z.shape
    if quantised:
        z = compressor.quantiser.decode(compressor.quantiser.encode(z.flatten(0, 2)))
    return z.reshape(shape[0], shape[1] * shape[2], -1)


def decode(compressor, z, rows):
    """Vectors [steps, rows * rows, latent] -> frames [2 steps, 3, H, W]."""
    return compressor.expand(z.view(len(z), rows, rows, -1).permute(0, 3, 1, 2))


def resampled(z, transform, rows):
    """Vectors [steps, n * n, latent] of a square of sites where the sites [rows * rows] of the result come from, bilinear; the edge goes on beyond it."""
    source = math.isqrt(z.shape[1])
    place = (np.mgrid[0:rows, 0:rows] + 0.5 - rows / 2).transpose(1, 2, 0) * CELL
    grid = transform.source(place)[..., ::-1] / (source * CELL / 2)
    grid = torch.from_numpy(np.ascontiguousarray(grid)).to(z.dtype).expand(len(z), -1, -1, -1)
    image = z.view(len(z), source, source, -1).permute(0, 3, 1, 2)
    return F.grid_sample(image, grid, align_corners=False, padding_mode="border").permute(0, 2, 3, 1).flatten(1, 2)


def described(z, transform, rows, aligned):
    """What the network takes of latents [steps, n * n, latent]: [steps, rows * rows, latent] and descriptions [rows * rows, NUMBERS].

    Not aligned, the paper's letter: the latents as they are, and one description for all sites.
    """
    if aligned:
        return resampled(z, transform, rows), torch.from_numpy(description(transform, sites(transform, rows, math.isqrt(z.shape[1]))))
    return z, torch.from_numpy(description(transform, np.tile(np.array(transform.shift) / (rows * CELL / 2), (rows * rows, 1))))


class Samples:
    """Batches as functions of seed and step: aligned latents [n, T, S, latent], descriptions [n, S, 8], transformed frames [n, 2 T, 3, H, H], mask [n, H, H]."""

    def __init__(self, crops, compressor, config, seed):
        self.crops, self.compressor, self.config, self.seed = crops, compressor, config, seed

    def batch(self, step, count):
        steps, side = self.config["steps"], self.config["side"]
        rows = SOURCE if self.config["aligned"] else side
        frames = self.crops.batch(step, count, rows * CELL)
        z = latents(self.compressor, torch.from_numpy(frames)).view(count, steps, rows * rows, -1)
        random = np.random.default_rng([self.seed, 5, step])
        return tuple(torch.stack(part) for part in zip(*(self._one(random, z[i], frames[2 * steps * i:2 * steps * (i + 1)], rows) for i in range(count))))

    def _one(self, random, z, frames, rows):
        side = self.config["side"]
        transform = random_transform(random, (rows * CELL if self.config["aligned"] else side * CELL) / 2)
        wanted, inside = pixels(transform, frames.transpose(0, 2, 3, 1), side * CELL)
        return *described(z, transform, side, self.config["aligned"]), planes(wanted), torch.from_numpy(inside.astype(np.float32))


class Run:
    """The whole state of one training, saved so that it goes on where it stopped."""

    def __init__(self, options, compressor):
        torch.manual_seed(options.seed)
        self.options, self.compressor = options, compressor
        self.config = {**CONFIG, "aligned": not options.letter, "layers": options.layers}
        self.net = Augmenter(self.config, compressor.quantiser.channels)
        self.average = copy.deepcopy(self.net)
        decayed = [p for name, p in self.net.named_parameters() if p.ndim == 2]
        others = [p for name, p in self.net.named_parameters() if p.ndim != 2]
        self.optimiser = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}], lr=options.lr, betas=(0.9, 0.98))
        self.step = 0
        self.path = os.path.join(options.work, f"{options.name}.pt")
        if os.path.exists(self.path):
            saved = torch.load(self.path, map_location="cpu", weights_only=False)
            self.net.load_state_dict(saved["net"])
            self.average.load_state_dict(saved["average"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.step = saved["step"]
            print(f"goes on from step {self.step} of {self.path}")

    def save(self, found):
        torch.save({"net": self.net.state_dict(), "average": self.average.state_dict(), "optimiser": self.optimiser.state_dict(), "step": self.step,
                    "config": self.config, "validation": found, "options": vars(self.options)}, self.path + ".part")
        os.replace(self.path + ".part", self.path)

    def advance(self, z, told, wanted, inside):
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step / self.options.steps, self.options.lr)
        out = self.net(z, told)
        rows = self.config["side"]
        frames = decode(self.compressor, out.flatten(0, 1), rows).view(wanted.shape)
        mask = inside[:, None, None]
        error = (frames - wanted) * mask
        share = mask.mean().clamp(min=1e-3)
        target = latents(self.compressor, wanted.flatten(0, 1)).view(out.shape)
        near = F.l1_loss(out, target)
        square = error.square().mean() / share
        loss = error.abs().mean() / share + 4 * square + self.options.latent * near
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        follow(self.average, self.net, self.step, 0.995)
        self.step += 1
        return float(loss.detach()), float(square.detach()), float(near.detach())


@torch.no_grad()
def augment(net, compressor, codes, transform):
    """Codes [steps, rows, rows, books] of whole frames -> latents [steps, rows * rows, latent] of the transformed ones, window by window.

    Windows are of the size that the network was trained for; the grid must divide into them.
    """
    steps, rows = codes.shape[:2]
    z = compressor.quantiser.decode(codes.flatten(0, 2)).view(steps, rows * rows, -1)
    side, together = net.config["side"], net.config["steps"]
    z, told = described(z, transform, rows, net.config["aligned"])
    across = rows // side
    cut = lambda v: v.view(*v.shape[:-2], across, side, across, side, -1).transpose(-4, -3).reshape(*v.shape[:-2], across**2, side * side, v.shape[-1])  # noqa: E731
    parts = cut(z).view(steps // together, together, across**2, side * side, -1).transpose(1, 2)
    parts = torch.stack([net(group, cut(told)) for group in parts])
    out = parts.transpose(1, 2).reshape(steps, across, across, side, side, -1).transpose(2, 3)
    return out.reshape(steps, rows * rows, -1)


def psnr(out, wanted, inside):
    """Mean over frames, 8 bits a channel, over the pixels that lie within the source."""
    error = (out.clamp(0, 1).mul(255).round() - wanted.mul(255).round()).square()[..., inside].mean((1, 2)).clamp(min=1e-9)
    return float((10 * torch.log10(255**2 / error)).mean())


@torch.no_grad()
def validate(net, compressor, clips):
    """Flipped: plain reconstruction, latents flipped naively, the network."""
    net.eval()
    found, transform = [], Transform().then(FLIP)
    rows = net.config["side"] if not net.config["aligned"] else 32
    edge = (256 - rows * CELL) // 2
    for clip in clips:
        frames = clip[:, edge:256 - edge, edge:256 - edge]
        x = planes(frames.astype(np.float32) / 255)
        wanted = x.flip(3)
        codes = compressor.encode(x)
        all_of_it = torch.ones(x.shape[2:], dtype=torch.bool)
        plain = psnr(compressor.decode(codes), x, all_of_it)
        naive = psnr(compressor.decode(codes.flip(2)), wanted, all_of_it)
        out = decode(compressor, augment(net, compressor, codes, transform), rows)
        found.append((plain, naive, psnr(out, wanted, all_of_it)))
    net.train()
    return {name: round(float(v), 2) for name, v in zip(("plain", "naive", "network"), np.mean(found, axis=0))}


def train(options):
    keep_freed_memory()
    compressor, _ = load(weights_path(options.weights, "192"))
    compressor.requires_grad_(False)
    run = Run(options, compressor)
    cache = options.cache or os.path.join(options.work, "cache")
    samples = Samples(Crops(options.data, cache, options.seed, 2 * run.config["steps"]), compressor, run.config, options.seed)
    clips = [measured_frames(cache, name, 2, 2 * run.config["steps"]) for name in VALIDATION_CLIPS]
    print(f"{sum(p.numel() for p in run.net.parameters())} parameters", flush=True)
    losses, start = [], time.process_time()
    while run.step < options.steps:
        losses.append(run.advance(*samples.batch(run.step, options.batch)))
        if run.step % 50 == 0:
            loss, square, near = np.mean(losses[-50:], axis=0)
            print(f"step {run.step} loss {loss:.4f} psnr {-10 * math.log10(square):.2f} latent {near:.4f} {time.process_time() - start:.0f} s of processor", flush=True)
        if run.step % options.every == 0 or run.step == options.steps:
            found = validate(run.average, compressor, clips)
            run.save(found)
            print(json.dumps(found), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--work", required=True, help="folder for the checkpoint, outside the repository")
    parser.add_argument("--cache", help="folder of decoded clips (default: WORK/cache), as tools/train/train.py makes it")
    parser.add_argument("--weights", default="weights", help="folder of the compressors")
    parser.add_argument("--name", default="augment", help="name of the checkpoint in the work folder")
    parser.add_argument("--letter", action="store_true", help="the paper's letter: latents that are not aligned first, and no sum with them")
    parser.add_argument("--layers", type=int, default=CONFIG["layers"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--latent", type=float, default=0.1, help="weight of the latents' error")
    parser.add_argument("--every", type=int, default=250, help="steps between checkpoints")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    os.makedirs(options.work, exist_ok=True)
    torch.set_num_threads(options.threads)
    train(options)


if __name__ == "__main__":
    main()
