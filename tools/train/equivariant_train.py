"""Trains the augmentation network's rival: a compressor of the shipped size for which flips and quarter turns are permutations of codes.

    python tools/train/equivariant_train.py --data ../shared/data --work WORKDIR --action orbits

As EQ-VAE does (Kouzelis et al., 2025): the decoder sees turned latents and has to give the turned frames, and the encoder's latents of turned frames
should be the turned latents. `sites` turns the grid alone, the paper's way; a code must then stand for a patch and for its mirror image. With `orbits` the
eight symmetries of the square also permute the eight numbers of a vector, and the codebook is closed under that: 32 codes, each in eight ways, so that
turning codes is a permutation of sites and a table of 8 x 256 indices. Begins with the shipped weights. Resumable: run the same command again.
"""
import argparse
import json
import math
import os
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # a spinning thread only takes time from the other

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from compressor_data import Crops, measured_frames  # noqa: E402
from compressor_export import load, weights_path  # noqa: E402
from compressor_model import Compressor, VectorQuantiser  # noqa: E402
from compressor_train import Run, learning_rate, loss_of, validate  # noqa: E402
from sources import VALIDATION_CLIPS  # noqa: E402
from train import follow, keep_freed_memory  # noqa: E402

SYMMETRIES = 8  # 0-3: quarter turns anticlockwise; 4-7: the same of the mirror image
MIRROR = 4


def turned(x, element):
    """A symmetry of the square of planes [..., H, W]."""
    x = x.flip(-1) if element >= MIRROR else x
    return torch.rot90(x, element % 4, (-2, -1))


def products():
    """Table [h, g]: the symmetry that is g first, then h."""
    probe = torch.arange(4).view(2, 2)
    found = [turned(probe, g).flatten().tolist() for g in range(SYMMETRIES)]
    return torch.tensor([[found.index(turned(turned(probe, g), h).flatten().tolist()) for g in range(SYMMETRIES)] for h in range(SYMMETRIES)])


PRODUCTS = products()


class OrbitQuantiser(VectorQuantiser):
    """Codebooks whose code 8 b + g is code 8 b with its numbers permuted by the symmetry g."""

    def learn(self, z, codes):
        for i, part in enumerate(z.detach().view(len(z), len(self.codebook), -1).unbind(1)):
            hot = F.one_hot(codes[:, i], self.codebook.shape[1]).to(part.dtype)
            self.count[i].lerp_(hot.sum(0), 1 - self.DECAY)
            self.total[i].lerp_(hot.T @ part, 1 - self.DECAY)
            counts, totals = self.count[i].view(-1, SYMMETRIES), self.total[i].view(-1, SYMMETRIES, SYMMETRIES)
            first = totals.gather(2, PRODUCTS.expand(len(totals), -1, -1)).sum(1)  # every member as the orbit's first
            size = counts.sum(1)
            dead = size < self.DEAD
            found = part[torch.randint(len(part), (int(dead.sum()),))]
            first[dead], size[dead] = found, 1.0
            orbit = torch.empty_like(totals).scatter_(2, PRODUCTS.expand(len(totals), -1, -1), (first / size[:, None])[:, None].expand_as(totals))
            counts[dead], totals[dead] = 1 / SYMMETRIES, orbit[dead] / SYMMETRIES
            self.codebook[i] = orbit.flatten(0, 1)


def acted(vectors, element, action):
    """What a symmetry does to vectors [N, books * 8, H, W] as latents."""
    vectors = turned(vectors, element)
    if action == "sites":
        return vectors
    order = PRODUCTS[element].argsort()
    return vectors.unflatten(1, (-1, SYMMETRIES))[:, :, order].flatten(1, 2)


def permuted(codes, element, action):
    """What it does to codes [steps, rows, columns, books]: sites permuted, and with orbits indices too."""
    codes = turned(codes.permute(0, 3, 1, 2), element).permute(0, 2, 3, 1)
    return codes if action == "sites" else codes // SYMMETRIES * SYMMETRIES + PRODUCTS[element][codes % SYMMETRIES]


def orbits_of(net):
    """The same network with codebooks of orbits; the sums of training go along."""
    quantiser = OrbitQuantiser(net.quantiser.codebook.shape[1], SYMMETRIES, len(net.quantiser.codebook))
    quantiser.load_state_dict(net.quantiser.state_dict())
    net.quantiser = quantiser


class Rival(Run):
    def __init__(self, options):
        super().__init__(options)
        if self.step == 0:
            shipped = load(weights_path(options.weights, "192"))[0].state_dict()
            for net in (self.net, self.average):
                net.load_state_dict(shipped)
        for net in (self.net, self.average):
            if self.step == 0:
                net.quantiser.count.fill_(1.0)
                net.quantiser.total.copy_(net.quantiser.codebook)
            if options.action == "orbits":
                orbits_of(net)
        if self.step == 0 and options.action == "orbits":
            for net in (self.net, self.average):
                net.quantiser.count.zero_()  # every orbit begins at an input

    def advance(self, x):
        options = self.options
        random = np.random.default_rng([options.seed, 3, self.step])
        torch.manual_seed(options.seed * 1_000_003 + self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step / options.steps, options.lr)
        x, element = torch.from_numpy(x), int(random.integers(1, SYMMETRIES))
        z = self.net.embed(x)
        q, commitment, _ = self.net.quantiser(z.permute(0, 2, 3, 1).flatten(0, 2))
        q = q.view(len(z), *z.shape[2:], -1).permute(0, 3, 1, 2)
        kept = len(z) // 2  # half of the batch is decoded as it is
        seen, wanted = torch.cat([q[:kept], acted(q[kept:], element, options.action)]), torch.cat([x[:2 * kept], turned(x[2 * kept:], element)])
        out = self.net.expand(seen)
        apart = F.mse_loss(self.net.embed(wanted[2 * kept:]), acted(z[kept:], element, options.action))
        loss = loss_of(out, wanted, commitment) + options.near * apart
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        follow(self.average, self.net, self.step, 0.99)
        if options.action == "orbits":  # a mean of codebooks that move is still closed
            with torch.no_grad():
                self.average.quantiser.codebook.copy_(self.net.quantiser.codebook)
        self.step += 1
        return float(loss.detach()), float(F.mse_loss(out.detach(), wanted)), float(apart.detach())


def open_rival(path):
    """The averaged network of a checkpoint and its action."""
    saved = torch.load(path, map_location="cpu", weights_only=False)
    net = Compressor(saved["config"]).eval()
    net.load_state_dict(saved["average"])
    return net, saved["options"]["action"]


@torch.no_grad()
def agreement(net, clips, action):
    """Share of codes of turned frames that are the turned codes."""
    same = []
    for clip in clips:
        x = torch.from_numpy(clip).permute(0, 3, 1, 2).float().div(255)
        codes = net.encode(x)
        same += [(net.encode(turned(x, e)) == permuted(codes, e, action)).float().mean() for e in (1, MIRROR)]
    return round(float(torch.stack(same).mean()), 3)


def train(options):
    keep_freed_memory()
    run = Rival(options)
    crops = Crops(options.data, options.cache or os.path.join(options.work, "cache"), options.seed, run.config["time"])
    clips = [measured_frames(crops.cache, name, 2, run.config["time"]) for name in VALIDATION_CLIPS]
    losses, start = [], time.process_time()
    while run.step < options.steps:
        size, count = (64, options.batch) if run.step < options.steps * 2 // 3 else (96, max(2, options.batch * 4 // 9))
        losses.append(run.advance(crops.batch(run.step, count, size)))
        if run.step % 100 == 0:
            loss, error, apart = np.mean(losses[-100:], axis=0)
            print(f"step {run.step} loss {loss:.4f} psnr {-10 * math.log10(error):.2f} apart {apart:.4f} {time.process_time() - start:.0f} s of processor", flush=True)
        if run.step % options.every == 0 or run.step == options.steps:
            run.save()
            print(json.dumps({**validate(run.average, clips), "agreement": agreement(run.average, clips, options.action)}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--work", required=True, help="folder for the checkpoint, outside the repository; WORK/ACTION is made in it")
    parser.add_argument("--cache", help="folder of decoded clips (default: WORK/cache), as tools/train/train.py makes it")
    parser.add_argument("--weights", default="weights", help="folder of the compressors")
    parser.add_argument("--action", choices=["sites", "orbits"], default="orbits")
    parser.add_argument("--near", type=float, default=0.25, help="weight of the distance between latents of turned frames and turned latents")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--every", type=int, default=250, help="steps between checkpoints")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    options.cache = options.cache or os.path.join(options.work, "cache")
    options.work = os.path.join(options.work, options.action)
    options.rate, options.start = "192", None
    os.makedirs(options.work, exist_ok=True)
    torch.set_num_threads(options.threads)
    train(options)


if __name__ == "__main__":
    main()
