"""The augmentation network of "Compressed Vision" (Wiles et al., ACCV 2022): attention over time and space on latents, told of a transform.

As in the paper's released code: an MLP makes a vector of the transform, which stands beside each site's channels; learned positions are added;
pre-norm layers attend over time (each site by itself), over space (each frame by itself) and end in an MLP. Ours: geometry comes first, each site of the
result takes the nearest site of the source and is told how far off that is; and what the layers find is added to those latents.
"""
import math

import torch
from torch import nn
from torch.nn import functional as F

from augment_transform import NUMBERS

#: Steps and sites a side of what is seen at once, channels of a half of a token, heads, layers, hidden channels of the MLPs.
CONFIG = {"steps": 2, "side": 16, "channels": 64, "heads": 4, "layers": 2, "hidden": 256, "aligned": True}
EPSILON = 1e-5


class Attention(nn.Module):
    """x + proj(attention(norm(x))) over the tokens of each sequence: x [sequences, tokens, width]."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)
        with torch.no_grad():  # queries find their own place, and so their neighbours, from the start
            self.qkv.weight[width:2 * width] = self.qkv.weight[:width]
            self.qkv.weight[:2 * width] *= 1.6
            self.proj.weight.mul_(0.5)
            self.proj.bias.zero_()

    def forward(self, x):
        n, tokens, width = x.shape
        q, k, v = self.qkv(self.norm(x)).view(n, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        return x + self.proj(y.transpose(1, 2).reshape(n, tokens, width))


class Layer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.time, self.space = Attention(width, heads), Attention(width, heads)
        self.norm, self.up, self.down = nn.LayerNorm(width, eps=EPSILON), nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        """x [N, T, S, width]."""
        n, steps, count, width = x.shape
        x = self.time(x.transpose(1, 2).reshape(n * count, steps, width)).view(n, count, steps, width).transpose(1, 2)
        x = self.space(x.reshape(n * steps, count, width)).view(n, steps, count, width)
        return x + self.down(F.gelu(self.up(self.norm(x)), approximate="tanh"))


def waves(steps, side, width):
    """Positions to begin with [steps, side * side, width]: sines and cosines of row, column and step."""
    y, x = (torch.arange(side * side) // side).float(), (torch.arange(side * side) % side).float()
    rates = math.pi / 2 * torch.logspace(0, -1.2, width // 4, 10)
    parts = [f(place[:, None] * rates) for place in (y, x) for f in (torch.sin, torch.cos)]
    table = torch.cat(parts, 1).repeat(steps, 1, 1)
    return 0.5 * table + 0.02 * torch.randn_like(table) + 0.1 * torch.randn(steps, 1, width)


class Augmenter(nn.Module):
    """Latents z [N, T, S, latent] and descriptions [N, S, NUMBERS] -> the latents of the transformed frames, [N, T, S, latent], not quantised."""

    def __init__(self, config, latent):
        super().__init__()
        self.config = config
        half, width = config["channels"], 2 * config["channels"]
        sizes = [NUMBERS, 64, 64, 64, half]
        self.transform = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.enter = nn.Linear(latent, half)
        self.positions = nn.Parameter(waves(config["steps"], config["side"], width))
        self.layers = nn.ModuleList(Layer(width, config["heads"], config["hidden"]) for _ in range(config["layers"]))
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.leave = nn.Linear(width, latent)
        if config["aligned"]:
            nn.init.zeros_(self.leave.weight)
            nn.init.zeros_(self.leave.bias)

    def forward(self, z, description, taps=None):
        taps = {} if taps is None else taps
        t = description
        for i, layer in enumerate(self.transform):
            t = layer(t) if i == len(self.transform) - 1 else F.relu(layer(t))
        taps["transform"] = t
        x = torch.cat([t[:, None].expand(-1, z.shape[1], -1, -1), self.enter(z)], -1) + self.positions
        taps["tokens"] = x
        for i, layer in enumerate(self.layers):
            x = taps[f"layers.{i}"] = layer(x)
        y = self.leave(self.norm(x))
        return z + y if self.config["aligned"] else y
