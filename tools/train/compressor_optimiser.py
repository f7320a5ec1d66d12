"""Muon (Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024) for filters, Adam for biases.

Filters of an auto-encoder see inputs that are nearly all the same, the mean colour: Adam is slow where gradients are nearly of one
direction. A step of Muon has the directions of the momentum, all of one size: without quantisation 25.2 dB on two
validation clips after 150 steps, where AdamW had 21.9 dB after 400.
"""
import torch


@torch.no_grad()
def orthogonalised(matrix, rounds=5):
    """About U V^T of a matrix U S V^T: an odd polynomial, applied again and again, takes singular values near 1."""
    x = matrix / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(rounds):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """One group {"filters": True} of tensors [out, in, ...] ([in, out, ...] where `transposed` has their id), one of all others."""

    def __init__(self, net, lr, others=0.1, momentum=0.95):
        filters = [p for p in net.parameters() if p.ndim >= 4]
        rest = [p for p in net.parameters() if p.ndim < 4]
        self.transposed = {id(m.weight) for m in net.modules()
                           if isinstance(m, (torch.nn.ConvTranspose2d, torch.nn.ConvTranspose3d))}
        groups = [{"params": filters, "filters": True}, {"params": rest, "filters": False}]
        super().__init__(groups, {"lr": lr, "others": others, "momentum": momentum})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    (self._filter if group["filters"] else self._other)(p, group)

    def _filter(self, p, group):
        state = self.state[p]
        kept = state.setdefault("momentum", torch.zeros_like(p))
        kept.mul_(group["momentum"]).add_(p.grad)
        direction = p.grad.add(kept, alpha=group["momentum"])
        turned = direction.transpose(0, 1) if id(p) in self.transposed else direction
        matrix = turned.flatten(1)
        step = orthogonalised(matrix).view(turned.shape) * max(1, matrix.shape[0] / matrix.shape[1]) ** 0.5
        p.sub_(step.transpose(0, 1) if id(p) in self.transposed else step, alpha=group["lr"])

    def _other(self, p, group):
        state = self.state[p]
        if not state:
            state.update(count=0, mean=torch.zeros_like(p), square=torch.zeros_like(p))
        state["count"] += 1
        state["mean"].lerp_(p.grad, 0.1)
        state["square"].lerp_(p.grad.square(), 0.02)
        mean, square = state["mean"] / (1 - 0.9 ** state["count"]), state["square"] / (1 - 0.98 ** state["count"])
        p.sub_(mean / (square.sqrt() + 1e-8), alpha=group["lr"] * group["others"])
