"""The neural compressor of "Compressed Vision" (Wiles et al., ACCV 2022), per frame or per pair of frames.

Encoder: strided 4x4 convolutions with reflect padding and no bias, optionally one over pairs of frames, residual blocks.
Quantiser: one or several codebooks behind a 1x1 projection, or finite scalar quantisation. Decoder: the mirror, transposed.
"""
import math

import torch
from torch import nn
from torch.nn import functional as F

#: What is trained, by the rate asked for on the command line. `layers` halve the size each.
RATES = {
    "30": {"channels": 32, "layers": 2, "time": 1, "quantiser": {"kind": "fsq", "levels": [16, 8, 8, 8]}},
    "192": {"channels": 64, "layers": 3, "time": 2, "quantiser": {"kind": "vq", "codes": 256, "dim": 8, "codebooks": 2}},
    "384": {"channels": 64, "layers": 3, "time": 2, "quantiser": {"kind": "vq", "codes": 256, "dim": 8, "codebooks": 1}},
    # Not shipped: the paper's released configuration at 192, frame by frame.
    "192-frame": {"channels": 64, "layers": 3, "time": 1, "quantiser": {"kind": "vq", "codes": 256, "dim": 8, "codebooks": 1}},
}
COMMON = {"multiple": 2, "encoder_blocks": 2, "decoder_blocks": 3}


def bits_per_site(quantiser):
    """Fixed-length bits at one place of the code grid, as the paper counts them."""
    if quantiser["kind"] == "fsq":
        return math.log2(math.prod(quantiser["levels"]))
    return quantiser["codebooks"] * math.log2(quantiser["codes"])


def compression_rate(config):
    """CR = 24 * strides / bits: raw 8-bit RGB over fixed-length codes (utils/metric_utils.py of the paper's repository)."""
    return 24 * config["time"] * 4 ** config["layers"] / bits_per_site(config["quantiser"])


class Residual(nn.Module):
    """x + conv1x1(relu(conv3x3(relu(x)))), no bias, reflect padding."""

    def __init__(self, channels, multiple):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels * multiple, 3, padding=1, padding_mode="reflect", bias=False)
        self.conv2 = nn.Conv2d(channels * multiple, channels, 1, bias=False)

    def forward(self, x):
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class VectorQuantiser(nn.Module):
    """Nearest code in L2 for each of several codebooks; codes are moving averages of what they stood for.

    Codes that stand for nothing any more are put where a random input of the batch is.
    """

    DECAY, DEAD = 0.98, 0.1

    def __init__(self, codes, dim, codebooks):
        super().__init__()
        self.register_buffer("codebook", torch.randn(codebooks, codes, dim))
        self.register_buffer("count", torch.zeros(codebooks, codes))
        self.register_buffer("total", torch.zeros(codebooks, codes, dim))
        self.channels = codebooks * dim

    def encode(self, z):
        """z [N, codebooks * dim] -> codes [N, codebooks]; ties go to the lowest."""
        parts = z.view(len(z), len(self.codebook), -1).transpose(0, 1)
        distance = self.codebook.square().sum(2)[:, None] - 2 * parts @ self.codebook.transpose(1, 2)
        return distance.argmin(2).T

    def decode(self, codes):
        """codes [N, codebooks] -> [N, codebooks * dim]."""
        return torch.cat([book[codes[:, i]] for i, book in enumerate(self.codebook)], 1)

    @torch.no_grad()
    def learn(self, z, codes):
        for i, part in enumerate(z.detach().view(len(z), len(self.codebook), -1).unbind(1)):
            hot = F.one_hot(codes[:, i], self.codebook.shape[1]).to(part.dtype)
            self.count[i].lerp_(hot.sum(0), 1 - self.DECAY)
            self.total[i].lerp_(hot.T @ part, 1 - self.DECAY)
            dead = self.count[i] < self.DEAD
            found = part[torch.randint(len(part), (int(dead.sum()),))]
            self.total[i][dead], self.count[i][dead] = found, 1.0
            self.codebook[i] = self.total[i] / self.count[i][:, None]

    def forward(self, z):
        """Straight-through codes' values, the commitment loss and the codes."""
        codes = self.encode(z.detach())
        if self.training:
            self.learn(z, codes)
            codes = self.encode(z.detach())
        q = self.decode(codes)
        return z + (q - z).detach(), F.mse_loss(z, q), codes


class ScalarQuantiser(nn.Module):
    """Finite scalar quantisation (Mentzer et al., ICLR 2024): each channel is squashed and rounded to a few levels."""

    def __init__(self, levels):
        super().__init__()
        levels = torch.tensor(levels)
        self.register_buffer("levels", levels, persistent=False)
        self.register_buffer("place", torch.cumprod(torch.cat([levels.new_ones(1), levels[:-1]]), 0), persistent=False)
        self.channels = len(levels)

    def digits(self, z):
        """Integers from -floor(L / 2) on, with the gradient of the bound below the rounding."""
        half = (self.levels - 1).to(z.dtype) * (1 + 1e-3) / 2
        offset = torch.where(self.levels % 2 == 0, 0.5, 0.0).to(z.dtype)
        bounded = torch.tanh(z + torch.atanh(offset / half)) * half - offset
        return bounded + (bounded.round() - bounded).detach()

    def encode(self, z):
        return ((self.digits(z).round().long() + self.levels // 2) * self.place).sum(1, keepdim=True)

    def decode(self, codes):
        digits = codes // self.place % self.levels
        return ((digits - self.levels // 2) / (self.levels // 2)).to(torch.get_default_dtype())

    def forward(self, z):
        return self.digits(z) / (self.levels // 2), z.new_zeros(()), self.encode(z.detach())


class Compressor(nn.Module):
    """Frames [N, 3, H, W] in [0, 1] <-> codes [N / time, H / s, W / s, codebooks]; neighbours of a pair are neighbours in N."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        top, layers, self.time = config["channels"], config["layers"], config["time"]
        widths = [3] + [top >> (layers - 1 - i) for i in range(layers)]
        self.encoder = nn.ModuleDict({
            "conv": nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1, padding_mode="reflect", bias=False)
                                  for a, b in zip(widths, widths[1:])),
            "blocks": nn.ModuleList(Residual(top, config["multiple"]) for _ in range(config["encoder_blocks"]))})
        self.decoder = nn.ModuleDict({
            "blocks": nn.ModuleList(Residual(top, config["multiple"]) for _ in range(config["decoder_blocks"])),
            "conv": nn.ModuleList(nn.ConvTranspose2d(b, a, 4, 2, 1) for a, b in reversed(list(zip(widths, widths[1:]))))})
        if self.time == 2:
            self.encoder["time"] = nn.Conv3d(top, top, (2, 1, 1), (2, 1, 1), bias=False)
            self.decoder["time"] = nn.ConvTranspose3d(top, top, (2, 1, 1), (2, 1, 1))
            with torch.no_grad():  # starts as the mean of a pair, and as a frame shown twice
                eye = torch.eye(top)[:, :, None, None, None]
                self.encoder["time"].weight.copy_(0.5 * eye.expand(-1, -1, 2, 1, 1))
                self.decoder["time"].weight.copy_(eye.expand(-1, -1, 2, 1, 1))
                self.decoder["time"].bias.zero_()
        kind = dict(config["quantiser"])
        self.quantiser = {"vq": VectorQuantiser, "fsq": ScalarQuantiser}[kind.pop("kind")](**kind)
        self.project_in = nn.Conv2d(top, self.quantiser.channels, 1)
        self.project_out = nn.Conv2d(self.quantiser.channels, top, 1)
        nn.init.constant_(self.decoder["conv"][-1].bias, 0.5)

    @staticmethod
    def _pairs(x):
        """[N, C, H, W] -> [N / 2, C, 2, H, W]."""
        return x.unflatten(0, (-1, 2)).transpose(1, 2)

    def embed(self, x, taps=None):
        """Frames -> the projected vectors that are quantised, [N / time, d, h, w]. `taps` receives every layer's output."""
        taps = {} if taps is None else taps
        for i, conv in enumerate(self.encoder["conv"]):
            x = conv(x) if i == len(self.encoder["conv"]) - 1 else F.relu(conv(x))
            taps[f"encoder.conv.{i}"] = x
        if self.time == 2:
            x = taps["encoder.time"] = self.encoder["time"](self._pairs(x)).squeeze(2)
        for i, block in enumerate(self.encoder["blocks"]):
            x = taps[f"encoder.blocks.{i}"] = block(x)
        x = taps["project_in"] = self.project_in(x)
        return x

    def expand(self, z, taps=None):
        """Quantised vectors [N / time, d, h, w] -> frames [N, 3, H, W], not clamped."""
        taps = {} if taps is None else taps
        x = taps["project_out"] = self.project_out(z)
        for i, block in enumerate(self.decoder["blocks"]):
            x = taps[f"decoder.blocks.{i}"] = block(x)
        if self.time == 2:
            x = taps["decoder.time"] = self.decoder["time"](x.unsqueeze(2)).transpose(1, 2).flatten(0, 1)
        for i, conv in enumerate(self.decoder["conv"]):
            x = conv(x) if i == len(self.decoder["conv"]) - 1 else F.relu(conv(x))
            taps[f"decoder.conv.{i}"] = x
        return x

    def forward(self, x, share=1.0):
        """Reconstruction, commitment loss, codes [sites, codebooks]. Only `share` of the batch is quantised.

        Quantised from the first step on, an encoder soon gives mean colours alone: what varies less than the distance
        between codes never reaches the decoder, and so is never learnt.
        """
        z = self.embed(x)
        q, commitment, codes = self.quantiser(z.permute(0, 2, 3, 1).flatten(0, 2))
        q = q.view(len(z), *z.shape[2:], -1).permute(0, 3, 1, 2)
        plain = len(z) - round(share * len(z))
        if plain:
            q = torch.cat([z[:plain], q[plain:]])
        return self.expand(q), share * commitment, codes

    def encode(self, x):
        """Frames -> codes [N / time, h, w, codebooks]."""
        z = self.embed(x)
        return self.quantiser.encode(z.permute(0, 2, 3, 1).flatten(0, 2)).view(len(z), *z.shape[2:], -1)

    def decode(self, codes):
        q = self.quantiser.decode(codes.flatten(0, 2))
        return self.expand(q.view(*codes.shape[:3], -1).permute(0, 3, 1, 2).to(self.project_out.weight.dtype))
