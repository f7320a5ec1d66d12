"""Synthetic weights that need no file: every value follows from the tensor's canonical name and its index.

THE RECIPE (test/synthetic.ts repeats it; both must agree bit for bit)

    h   = FNV-1a, 32 bit, of the UTF-8 bytes of the canonical name   (offset 2166136261, prime 16777619)
    x_i = fmix32((h + i * 0x9E3779B9) mod 2^32)                      (i = 0, 1, ... in row-major order)
    u_i = (x_i >>> 8) * 2^-24                                        (in [0, 1), exact in f32)

    fmix32(k) is MurmurHash3's finaliser: k ^= k >>> 16; k *= 0x85EBCA6B; k ^= k >>> 13; k *= 0xC2B2AE35; k ^= k >>> 16.

The value is computed in f64 in the order written and rounded once to f32. The last part of the name decides:

    *.bn.weight        (0.5 + u) * s         s = 0.5 for *.conv3.bn (it ends a ResNet's residual branch), else 1
    *.running_mean     0.4 * (u - 0.5)
    *.running_var      0.5 + u
    *bias              0.4 * (u - 0.5)       (BN's beta, and the bias of convolutions and linear layers)
    cls_token, pos_embed, positions   2 u - 1           (with or without `aggregate.`)
    *norm.weight, *norm1.weight, *norm2.weight   0.5 + u      (layer norm's scale)
    other *weight      (2 u - 1) * (sqrt(3) * sqrt(gain / fan_in)),   fan_in = the product of shape[1:]
    *pool.1.weight     0.5 + u               (group norm's scale)
    image, video       4 * (u - 0.5)         (the network's input, already "normalised")
    latent             6 * (u - 0.5)

    gain, by the last part of the unit's name:
        2      in front of a ReLU or ReLU6 (He): stem, expand, depthwise, last, conv1, conv2
        1      linear: project, conv3, head, nl.out
        2      fc1, linear1, and qkv, self_attn (in_proj_weight), so that attention's shares are uneven
        1      proj, fc2, out_proj, linear2
        0.5    nl.g          0.25   downsample          0.1   nl.theta, nl.phi
        2      time, enter       0.5    space      16     embed (a table)      1    join, classifier (networks on codes)
        2      up                1      down, leave (augmentation network)
        2      conv.0, conv.2    0.25   conv.4, pool.3    1   every other number, and conv (latent auto-encoders)

    num_batches_tracked (int64) is 1 everywhere.

Why these: the root mean square of every tensor of every model lies between 0.3 and 10, ReLU6 clips up to
a tenth of the values at 6 and half of them at 0, the softmax of the non-local blocks is neither uniform nor one-hot, and
leaving the temporal shift out changes every per-frame tensor behind it by 20 % or more of its standard deviation.
"""
import math

import numpy as np
import torch

from names import canonical

STEP = np.uint32(0x9E3779B9)
GAIN = {
    "stem": 2.0, "expand": 2.0, "depthwise": 2.0, "last": 2.0, "conv1": 2.0, "conv2": 2.0,
    "project": 1.0, "conv3": 1.0, "head": 1.0, "out": 1.0,
    "fc1": 2.0, "linear1": 2.0, "qkv": 2.0, "self_attn": 2.0,
    "proj": 1.0, "fc2": 1.0, "out_proj": 1.0, "linear2": 1.0,
    "g": 0.5, "downsample": 0.25, "theta": 0.1, "phi": 0.1,
    "time": 2.0, "join": 1.0, "enter": 2.0, "space": 0.5, "embed": 16.0, "classifier": 1.0,
    "up": 2.0, "down": 1.0, "leave": 1.0,
}  # fmt: skip


BLOCK_GAIN = {"conv.0": 2.0, "conv.2": 2.0, "conv.4": 0.25, "pool.3": 0.25}


def gain(unit):
    """The gain of a unit by the last part of its name, of a latent auto-encoder's numbered unit by the last two."""
    last = unit.split(".")[-1]
    if last == "conv" or last.isdigit():
        return BLOCK_GAIN.get(".".join(unit.split(".")[-2:]), 1.0)
    return GAIN[last]


def fnv1a(text):
    """FNV-1a, 32 bit, of the text's UTF-8 bytes."""
    h = 2166136261
    for byte in text.encode("utf-8"):
        h = ((h ^ byte) * 16777619) & 0xFFFFFFFF
    return h


def uniform(name, count):
    """u_0 .. u_{count-1} of that name, f64, in [0, 1)."""
    with np.errstate(over="ignore"):
        x = np.arange(count, dtype=np.uint32) * STEP + np.uint32(fnv1a(name))
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x85EBCA6B)
        x ^= x >> np.uint32(13)
        x *= np.uint32(0xC2B2AE35)
        x ^= x >> np.uint32(16)
    return (x >> np.uint32(8)).astype(np.float64) * 2.0**-24


def tensor(name, shape):
    """The synthetic f32 array of that canonical name (or `video`, `image`) and shape."""
    u = uniform(name, math.prod(shape))
    unit, _, leaf = name.rpartition(".")
    if name in ("image", "video"):
        value = 4 * (u - 0.5)
    elif name == "latent":
        value = 6 * (u - 0.5)
    elif leaf in ("cls_token", "pos_embed", "positions"):
        value = 2 * u - 1
    elif leaf.endswith("bias") or leaf == "running_mean":
        value = 0.4 * (u - 0.5)
    elif leaf == "running_var":
        value = 0.5 + u
    elif unit.endswith(".bn"):
        value = (0.5 + u) * (0.5 if unit.endswith(".conv3.bn") else 1.0)
    elif unit.endswith(("norm", "norm1", "norm2", "pool.1")):
        value = 0.5 + u
    else:
        fan_in = math.prod(shape[1:])
        value = (2 * u - 1) * (math.sqrt(3) * math.sqrt(gain(unit) / fan_in))
    return value.astype(np.float32).reshape(shape)


def fill(model):
    """Overwrites every parameter and statistic of a reference model with its synthetic value; returns the model."""
    with torch.no_grad():
        for key, value in model.state_dict().items():
            name = canonical(key)
            value.copy_(torch.tensor(1) if name is None else torch.from_numpy(tensor(name, tuple(value.shape))))
    return model
