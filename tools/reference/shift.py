"""Temporal shift (TSM, arXiv 1811.08383, section 3) in its three forms, for one clip x of shape [T, C, H, W].

All are written as slices and a concatenation, so that exporters can follow them. fold = floor(C / n_div), n_div = 8.
"""
import torch
from torch import nn

SHIFT_DIVISOR = 8


def shift_offline(x):
    """Bi-directional: channels [0, f) come from frame t+1, [f, 2f) from frame t-1, the rest stays; zeros outside the clip."""
    fold = x.shape[1] // SHIFT_DIVISOR
    zero = torch.zeros_like(x[:1, :fold])
    from_next = torch.cat([x[1:, :fold], zero], dim=0)
    from_previous = torch.cat([zero, x[:-1, fold : 2 * fold]], dim=0)
    return torch.cat([from_next, from_previous, x[:, 2 * fold :]], dim=1)


def shift_unidirectional(x):
    """Causal: channels [0, f) come from frame t-1 (zeros at t = 0), the rest stays."""
    fold = x.shape[1] // SHIFT_DIVISOR
    zero = torch.zeros_like(x[:1, :fold])
    return torch.cat([torch.cat([zero, x[:-1, :fold]], dim=0), x[:, fold:]], dim=1)


def shift_online(x, state):
    """One frame of the causal form: x is [1, C, H, W], state is [1, f, H, W].

    Returns (shifted x, new state); the new state is the first f channels of the unshifted x.
    """
    fold = x.shape[1] // SHIFT_DIVISOR
    return torch.cat([state, x[:, fold:]], dim=1), x[:, :fold]


class TemporalShift(nn.Module):
    """The offline shift in front of `net`. Its attribute name puts the `.net.` into the checkpoint keys."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(shift_offline(x))
