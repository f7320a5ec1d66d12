"""Backbones that read codes: separable convolutions over space and time (S3D), or the temporal shift (TSM), and the same behind pixels.

S3D (Xie et al., "Rethinking Spatiotemporal Feature Learning", ECCV 2018) splits each 3-D convolution into one over space and one over time. On codes
the first strides fall away: the grid is 8 times smaller already (Wiles et al., "Compressed Vision", ACCV 2022). Time looks back only, one step a block,
so that a stream gives what the clip gives.
"""
import torch
from torch import nn
from torch.nn import functional as F

#: Channels on grids of 32, 16 and 8 a side; blocks on each.
WIDTHS, BLOCKS = (32, 64, 128), (1, 1, 1)
SHIFT_DIVISOR = 8
#: Numbers of a code's row that are its own: brightness and its two gradients (codes_start.py).
FREE = 3


class Conv(nn.Module):
    """Convolution without bias, batch norm, and ReLU unless told otherwise: in evaluation one convolution with bias."""

    def __init__(self, inputs, outputs, kernel, stride=1, padding=0, active=True):
        super().__init__()
        kind = nn.Conv3d if isinstance(kernel, tuple) else nn.Conv2d
        self.conv = kind(inputs, outputs, kernel, stride, padding, bias=False)
        self.norm = (nn.BatchNorm3d if kind is nn.Conv3d else nn.BatchNorm2d)(outputs)
        self.active = active

    def forward(self, x):
        x = self.norm(self.conv(x))
        return F.relu(x, inplace=True) if self.active else x

    def folded(self):
        """Weight and bias of the convolution that does the same in evaluation."""
        norm = self.norm
        scale = norm.weight.detach() / (norm.running_var + norm.eps).sqrt()
        return self.conv.weight.detach() * scale.view(-1, *[1] * (self.conv.weight.ndim - 1)), norm.bias.detach() - norm.running_mean * scale


def behind(x, steps, past=None):
    """What stood at each place a step earlier, zeros (or `past`) in front. x [N * steps, C, H, W]; and the last step's."""
    clip = x.unflatten(0, (-1, steps))
    first = torch.zeros_like(clip[:, :1]) if past is None else past[:, None]
    return torch.cat([first, clip[:, :-1]], 1).flatten(0, 1), clip[:, -1]


class Block(nn.Module):
    """ReLU(x + space(time(x))): 1x1 over this step and the one before ("s3d"), or over channels of which an eighth is shifted ("tsm"); then 3x3."""

    def __init__(self, channels, backbone):
        super().__init__()
        self.backbone = backbone
        self.time = Conv(2 * channels if backbone == "s3d" else channels, channels, 1)
        self.space = Conv(channels, channels, 3, padding=1, active=False)
        nn.init.zeros_(self.space.norm.weight)  # begins as the identity

    def forward(self, x, steps, past=None):
        earlier, last = behind(x, steps, past)
        fold = x.shape[1] // SHIFT_DIVISOR
        seen = torch.cat([earlier, x] if self.backbone == "s3d" else [earlier[:, :fold], x[:, fold:]], 1)
        return F.relu(x + self.space(self.time(seen))), last


class Table(nn.Module):
    """A row for each code of each part, [codes, width]: FREE numbers of its own, the others what a small network makes of the code's vector.

    The vectors are the compressor's, so codes of like pictures have like rows, those that training hardly saw too.
    """

    def __init__(self, parts, width, dim):
        super().__init__()
        self.free = nn.Parameter(torch.zeros(sum(size for _, _, size in parts), FREE))
        self.vectors = nn.ParameterList(nn.Parameter(torch.zeros(size, dim), requires_grad=False) for _, _, size in parts)
        self.nets = nn.ModuleList(nn.Sequential(nn.Linear(dim, 64), nn.ReLU(), nn.Linear(64, width - FREE)) for _ in parts)

    def forward(self):
        return torch.cat([self.free, torch.cat([net(v) for net, v in zip(self.nets, self.vectors)])], 1)

    @torch.no_grad()
    def take(self, quantiser):
        """The vectors of a compressor's quantiser, standardised."""
        books = quantiser.codebook if hasattr(quantiser, "codebook") else [torch.linspace(-1, 1, size)[:, None] for size in map(len, self.vectors)]
        for vectors, book in zip(self.vectors, books):
            vectors.copy_((book - book.mean(0)) / book.std(0))


class Rows(nn.Module):
    """A table as it is, of a shipped file."""

    def __init__(self, rows):
        super().__init__()
        self.register_buffer("rows", rows)

    def forward(self):
        return self.rows


class CodeStem(nn.Module):
    """Codes [N, steps, 32, 32, codebooks] -> [N * steps, 32 channels, 32, 32]: a row of a table for each codebook (or level), summed.

    Codes of 4 x 4 pixels of a single frame (rate 30) take 16 channels and a 2x2x2 convolution of stride 2 to the same grid.
    """

    def __init__(self, parts, fine, dim):
        super().__init__()
        self.parts, self.fine = parts, fine  # parts: (codebook, place, size)
        self.table = Table(parts, 16 if fine else WIDTHS[0], dim)
        if fine:
            self.join = Conv(16, WIDTHS[0], (2, 2, 2), (2, 2, 2), active=False)

    def forward(self, codes):
        x, start, table = 0, 0, self.table()
        for book, place, size in self.parts:
            x = x + F.embedding(codes[..., book] // place % size + start, table)
            start += size
        x = x.permute(0, 4, 1, 2, 3)
        x = self.join(x) if self.fine else x
        return x.transpose(1, 2).flatten(0, 1)


class PixelStem(nn.Module):
    """Frames [N, 2 steps, 256, 256, 3] uint8 -> the same grid: three 4x4 convolutions of stride 2, ReLU between them, the last over both frames of a step.

    Of the shape of the compressor's encoder in front of its residual blocks.
    """

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Conv(3, 16, (1, 4, 4), (1, 2, 2), (0, 1, 1)), Conv(16, 32, (1, 4, 4), (1, 2, 2), (0, 1, 1)),
                                     Conv(32, WIDTHS[0], (2, 4, 4), (2, 2, 2), (0, 1, 1), active=False)])

    def forward(self, frames):
        x = frames.permute(0, 4, 1, 2, 3).float().div_(255).sub_(0.5)
        for layer in self.layers:
            x = layer(x)
        return x.transpose(1, 2).flatten(0, 1)


class MotionOnCodes(nn.Module):
    """Logits of each step, [N * steps, classes], from codes or pixels of clips of `steps` steps (of two frames each)."""

    def __init__(self, classes, backbone, stem):
        super().__init__()
        self.stem = stem
        self.enter = Conv(WIDTHS[0], WIDTHS[0], 3, padding=1)  # time needs edges to compare, not places by themselves
        self.blocks = nn.ModuleList(Block(width, backbone) for width, count in zip(WIDTHS, BLOCKS) for _ in range(count))
        self.down = nn.ModuleList(Conv(a, b, 3, 2, 1) for a, b in zip(WIDTHS, WIDTHS[1:]))
        self.classifier = nn.Linear(WIDTHS[-1], classes)
        nn.init.normal_(self.classifier.weight, 0, 0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, seen, steps, states=None, taps=None):
        """`states` (a list, an entry a block, None at the start) is updated for streams; `taps` receives every layer's output."""
        taps = {} if taps is None else taps
        x = taps["stem"] = self.stem(seen)
        x = taps["enter"] = self.enter(x)
        at = 0
        for stage, count in enumerate(BLOCKS):
            if stage:
                x = taps[f"down.{stage - 1}"] = self.down[stage - 1](x)
            for _ in range(count):
                x, last = self.blocks[at](x, steps, states[at] if states else None)
                if states:
                    states[at] = last
                taps[f"blocks.{at}"] = x
                at += 1
        x = taps["pool"] = x.mean((2, 3))
        return self.classifier(F.dropout(x, 0.2, self.training))


class FlowHeads(nn.Module):
    """Training only: how the content moved since the previous step, from the outputs of the blocks. What to look for, cell by cell."""

    AT = {"blocks.0": WIDTHS[0], "blocks.1": WIDTHS[1], "blocks.2": WIDTHS[2]}

    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleDict({name.replace(".", "_"): nn.Conv2d(width, 2, 1) for name, width in self.AT.items()})

    def loss(self, taps, flow):
        """Smooth L1 in cells; what left the picture's reach is not asked. flow [N * steps, 2, F, F]."""
        total = 0.0
        for name in self.AT:
            found = self.heads[name.replace(".", "_")](taps[name])
            wanted = F.adaptive_avg_pool2d(flow, found.shape[-2:]) if found.shape[-1] <= flow.shape[-1] else F.interpolate(flow, found.shape[-2:])
            known = (wanted.abs() < 6).all(1, keepdim=True).float()
            total = total + (F.smooth_l1_loss(found, wanted, reduction="none") * known).mean()
        return total


def code_parts(quantiser):
    """The summands of a quantiser's vectors as (codebook, place, size): a codebook each, or a digit each; as `embedParts` in src/models/codebooks.ts."""
    if quantiser["kind"] == "vq":
        return [(i, 1, quantiser["codes"]) for i in range(quantiser["codebooks"])]
    places = [1]
    for level in quantiser["levels"]:
        places.append(places[-1] * level)
    return [(0, place, level) for place, level in zip(places, quantiser["levels"])]


def network_of(arm, backbone, classes, rates):
    """The network of an arm; `rates` is RATES of compressor_model.py."""
    kind, _, rate = arm.partition("-")
    if kind != "codes":
        return MotionOnCodes(classes, backbone, PixelStem())
    quantiser = rates[rate]["quantiser"]
    stem = CodeStem(code_parts(quantiser), rates[rate]["time"] == 1, quantiser.get("dim", 1))
    return MotionOnCodes(classes, backbone, stem)
