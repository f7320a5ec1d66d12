"""Adam whose step is relative to each output channel's weights.

With batch norm folded in, the rows of one convolution differ a hundredfold in size, and depthwise
weights are twenty times the pointwise ones: one absolute step destroys some and leaves others where
they are. A step of `rate` here changes every row by about that share of its size at the start.
"""
import torch


def channel_scales(parameter):
    """Root mean square of each output channel, at least a third of the tensor's median; same rank."""
    if parameter.ndim == 1:
        return torch.full_like(parameter, float(parameter.detach().abs().median().clamp(min=0.05)))
    rows = parameter.detach().flatten(1).pow(2).mean(1).sqrt()
    return rows.clamp(min=float(rows.median()) / 3).view(-1, *[1] * (parameter.ndim - 1))


class RelativeAdam:
    """Adam with decoupled decay towards zero for weights; `head` parameters take a fixed scale."""

    def __init__(self, parameters, head=(), head_scale=0.1, betas=(0.9, 0.99), decay=0.01):
        self.parameters, self.betas, self.decay, self.count = list(parameters), betas, decay, 0
        fixed = {id(p) for p in head}
        self.scales = [torch.full_like(p, head_scale) if id(p) in fixed else channel_scales(p) for p in self.parameters]
        self.first = [torch.zeros_like(p) for p in self.parameters]
        self.second = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self, rate):
        self.count += 1
        a, b = self.betas
        correction = (1 - b**self.count) ** 0.5 / (1 - a**self.count)
        for p, scale, m, v in zip(self.parameters, self.scales, self.first, self.second):
            m.lerp_(p.grad, 1 - a)
            v.mul_(b).addcmul_(p.grad, p.grad, value=1 - b)
            if p.ndim > 1:
                p.mul_(1 - rate * self.decay)
            p.sub_(m / v.sqrt().add_(1e-10) * scale, alpha=rate * correction)
            p.grad = None

    def state_dict(self):
        return {"count": self.count, "first": self.first, "second": self.second, "scales": self.scales}

    def load_state_dict(self, state):
        self.count = state["count"]
        for mine, saved in ((self.first, state["first"]), (self.second, state["second"]), (self.scales, state["scales"])):
            for a, b in zip(mine, saved):
                a.copy_(b)
