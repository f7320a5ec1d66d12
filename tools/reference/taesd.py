"""The TAESD family of tiny latent auto-encoders (github.com/madebyollin/taesd, taesdv, taehv), as files name their tensors.

TAESD sees images; TAESDV is its decoder with memory; TAEHV also takes and gives several frames a latent. All are 3x3 convolutions of
zero padding 1 over [frames, channels, height, width]; time enters through MemBlock, TPool and TGrow alone. Images are in
[0, 1], latents need no scale; what a decoder gives is not clamped.

`tap(name, value)` records a unit's output behind the activation and the sum that follow it, by the name that the unit has in a
file of both halves: `decoder.3.conv.0`.
"""
import torch
from torch import nn
from torch.nn import functional as F

from mobilenetv2 import ignore


def conv(inputs, outputs, **more):
    return nn.Conv2d(inputs, outputs, 3, padding=1, **more)


def previous(x):
    """Each frame's predecessor, zeros before the first."""
    return torch.cat([torch.zeros_like(x[:1]), x[:-1]])


class Clamp(nn.Module):
    """tanh(x / 3) * 3"""

    def run(self, x, tap, name):
        x = torch.tanh(x / 3) * 3
        tap(name, x)
        return x


class Conv(nn.Conv2d):
    """A 3x3 convolution; `rectify` applies the ReLU that is a module of its own in the files' numbering."""

    def __init__(self, inputs, outputs, rectify=False, **more):
        super().__init__(inputs, outputs, 3, padding=1, **more)
        self.rectify = rectify

    def run(self, x, tap, name):
        x = self(x)
        x = torch.relu(x) if self.rectify else x
        tap(name, x)
        return x


class Block(nn.Module):
    """ReLU(three convolutions + x); `pool`: x + what attends to the whole image, first; `memory`: the first also sees the frame before."""

    def __init__(self, width, pool=False, memory=False):
        super().__init__()
        self.memory = memory
        self.conv = nn.Sequential(
            conv(width * (2 if memory else 1), width), nn.ReLU(), conv(width, width), nn.ReLU(), conv(width, width)
        )
        if pool:
            wide = nn.Conv2d(width, 4 * width, 1, bias=False), nn.GroupNorm(4, 4 * width), nn.ReLU()
            self.pool = nn.Sequential(*wide, nn.Conv2d(4 * width, width, 1, bias=False))
        else:
            self.pool = None

    def run(self, x, tap, name):
        if self.pool is not None:
            h = self.pool[0](x)
            tap(f"{name}.pool.0", h)
            h = torch.relu(self.pool[1](h))
            tap(f"{name}.pool.1", h)
            x = x + self.pool[3](h)
            tap(f"{name}.pool.3", x)
        h = torch.cat([x, previous(x)], dim=1) if self.memory else x
        for index in (0, 2):
            h = torch.relu(self.conv[index](h))
            tap(f"{name}.conv.{index}", h)
        x = torch.relu(self.conv[4](h) + x)
        tap(f"{name}.conv.4", x)
        return x


class TPool(nn.Module):
    """`stride` frames, stacked on channels with the earlier first, become one."""

    def __init__(self, width, stride):
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(width * stride, width, 1, bias=False)

    def run(self, x, tap, name):
        frames, channels, height, width = x.shape
        return self.conv(x.reshape(frames // self.stride, self.stride * channels, height, width))


class TGrow(nn.Module):
    """One frame becomes `stride`, the first channels the earlier."""

    def __init__(self, width, stride):
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(width, width * stride, 1, bias=False)

    def run(self, x, tap, name):
        frames, channels, height, width = x.shape
        return self.conv(x).reshape(frames * self.stride, channels, height, width)


class Up(nn.Module):
    """Nearest x2."""

    def run(self, x, tap, name):
        return F.interpolate(x, scale_factor=2, mode="nearest")


class Relu(nn.Module):
    """Holds a number in the files' list; the unit before it has applied it."""

    def run(self, x, tap, name):
        return x


class Half(nn.Sequential):
    """An encoder or a decoder: `half` is its prefix in the names."""

    def __init__(self, half, *modules, shuffle=1, trim=0):
        super().__init__(*modules)
        self.half, self.shuffle, self.trim = half, shuffle, trim

    def forward(self, x, tap=ignore):
        """The output of all frames. A decoder's first `trim` frames are not part of the video."""
        if self.half == "encoder" and self.shuffle > 1:
            x = F.pixel_unshuffle(x, self.shuffle)
        last = len(self) - 1
        for index, module in enumerate(self):
            name = f"{self.half}.{index}"
            quiet = ignore if index == last and self.shuffle > 1 and self.half == "decoder" else tap
            x = module.run(x, quiet, name)
        if self.half == "decoder" and self.shuffle > 1:
            x = F.pixel_shuffle(x, self.shuffle)
            tap(f"decoder.{last}", x)
        return x


def down(width, **more):
    return Conv(width, width, stride=2, bias=False, **more)


def taesd_encoder(latent=4, width=64, pools=False):
    """image [N, 3, H, W] -> latent [N, L, H/8, W/8]; `pools`: the 32-channel member's."""
    stages = [m for i in range(3) for m in (down(width), *(Block(width, pools and i == 2) for _ in range(3)))]
    return Half("encoder", Conv(3, width), Block(width), *stages, Conv(width, latent))


def taesd_decoder(latent=4, width=64, pools=False, memory=False):
    """latent [N, L, h, w] -> image [N, 3, 8h, 8w]; `memory`: TAESDV, whose latents are frames in order."""
    stages = []
    for i in range(3):
        blocks = (Block(width, pools and i == 0, memory) for _ in range(3))
        stages += [*blocks, Up(), Conv(width, width, bias=False)]
    return Half("decoder", Clamp(), Conv(latent, width, True), Relu(), *stages, Block(width, memory=memory), Conv(width, 3))


def taehv_encoder(latent=16, width=64, shuffle=1, time=(2, 2, 1)):
    """video [T, 3, H, W] -> latent [T / (product of time), L, H/8p, W/8p]; T is a multiple of that product."""
    stages = []
    for stride in time:
        stages += [TPool(width, stride), down(width), *(Block(width, memory=True) for _ in range(3))]
    return Half("encoder", Conv(3 * shuffle**2, width, True), Relu(), *stages, Conv(width, latent), shuffle=shuffle)


def taehv_decoder(latent=16, widths=(256, 128, 64, 64), shuffle=1, time=(1, 2, 2)):
    """latent [T, L, h, w] -> video [T * up, 3, 8ph, 8pw], up = the product of time; the first up - 1 frames are to be dropped."""
    stages = []
    for i, stride in enumerate(time):
        blocks = (Block(widths[i], memory=True) for _ in range(3))
        after = Conv(widths[i], widths[i + 1], rectify=i == 2, bias=False)
        stages += [*blocks, Up(), TGrow(widths[i], stride), after]
    first = (Clamp(), Conv(latent, widths[0], True), Relu())
    up = time[0] * time[1] * time[2]
    return Half("decoder", *first, *stages, Relu(), Conv(widths[3], 3 * shuffle**2), shuffle=shuffle, trim=up - 1)


def load(half, tensors):
    """Fills a half from {name: array}, with or without the half's prefix; every tensor of both must be used."""
    plain = {name.removeprefix(f"{half.half}."): torch.as_tensor(value) for name, value in tensors.items()}
    half.load_state_dict(plain)
    return half.eval()


def with_memory(decoder, width=64, latent=4):
    """A TAESDV decoder that does what the TAESD decoder does: the weights of the frame before are zeros."""
    video = taesd_decoder(latent, width, memory=True)
    state = decoder.state_dict()
    for name, value in video.state_dict().items():
        if value.shape != state[name].shape:
            state[name] = torch.cat([state[name], torch.zeros_like(state[name])], dim=1)
    video.load_state_dict(state)
    return video.eval()


def evaluate(half, x):
    """Every unit's output by name, and `out`."""
    taps = {}
    with torch.no_grad():
        taps["out"] = half(x, lambda name, value: taps.__setitem__(name, value.clone()))
    return taps
