"""TSM-MobileNetV2 with the uni-directional shift, batch norm folded, torchvision's names."""
import json
import os
import struct

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

#: (expansion, channels, repeats, stride) of MobileNetV2 at width 1.0.
_STAGES = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHIFT_DIVISOR = 8
INPUT = int(os.environ.get("KINEMA_MOTION_INPUT", 128))  # pixels a side; ablation.py trains smaller ones


def shift(x, frames, state=None):
    """First C/8 channels from the previous frame. x [N*T, C, H, W]; state [N, C/8, H, W] or None for zeros."""
    fold = x.shape[1] // SHIFT_DIVISOR
    clip = x.reshape(-1, frames, *x.shape[1:])
    first = torch.zeros_like(clip[:, :1, :fold]) if state is None else state[:, None]
    past = torch.cat([first, clip[:, :-1, :fold]], 1)
    return torch.cat([past, clip[:, :, fold:]], 2).reshape(x.shape), clip[:, -1, :fold]


class Conv(nn.Conv2d):
    """A convolution with bias (the folded batch norm) that can have its norm back while it is trained."""

    normed = False

    def unfold(self, mean, var):
        """Splits the weights into a convolution of unit-sized rows and a batch norm; the function stays.

        `mean` and `var` [C] are measured over the outputs of this convolution.
        """
        size = self.weight.flatten(1).norm(dim=1).clamp(min=1e-3)
        deviation = (var + 1e-5).sqrt()
        self.gain, self.shift = nn.Parameter(deviation.clone()), nn.Parameter(mean.clone())
        self.register_buffer("mean", (mean - self.bias) / size)
        self.register_buffer("var", var / size**2)
        self.eps = 1e-5 / float((size**2).max())
        self.weight.div_(size.view(-1, 1, 1, 1))
        self.bias.zero_().requires_grad_(False)
        self.normed = True

    def forward(self, x):
        if not self.normed:
            return super().forward(x)
        y = F.conv2d(x, self.weight, None, self.stride, self.padding, groups=self.groups)
        return F.batch_norm(y, self.mean, self.var, self.gain, self.shift, self.training, 0.02, self.eps)

    def folded(self):
        """The weight and bias of the plain convolution that does the same in evaluation."""
        if not self.normed:
            return self.weight.detach(), self.bias.detach()
        scale = self.gain.detach() / (self.var + self.eps).sqrt()
        return self.weight.detach() * scale.view(-1, 1, 1, 1), self.shift.detach() - self.mean * scale


class Unit(nn.Sequential):
    """Convolution and ReLU6; indexed like torchvision's."""

    def __init__(self, inputs, outputs, kernel, stride=1, groups=1):
        super().__init__(Conv(inputs, outputs, kernel, stride, kernel // 2, groups=groups), nn.ReLU6(inplace=True))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        hidden = inputs * expansion
        units = [] if expansion == 1 else [Unit(inputs, hidden, 1)]
        units += [Unit(hidden, hidden, 3, stride, hidden), Conv(hidden, outputs, 1)]
        self.conv = nn.Sequential(*units)
        self.residual = stride == 1 and inputs == outputs
        self.shifted = self.residual and expansion != 1

    def forward(self, x, frames=1, state=None, use_shift=True):
        if not (self.shifted and use_shift):
            branch = x
        else:
            branch, state = shift(x, frames, state)
        y = self.conv(branch)
        return (x + y if self.residual else y), state


class FlowHeads(nn.Module):
    """Training only: predicts how the picture moved since the previous frame, cell by cell.

    The class alone is a faint signal for the first shifted blocks, a few hundred steps pass before they
    notice that time matters; the local motion tells every cell of every frame what to look for.
    """

    AT = {6: 32, 13: 96}  # after these features, with their channels

    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleDict({str(i): nn.Conv2d(c, 2, 1) for i, c in self.AT.items()})

    def loss(self, taps, flow):
        """Smooth L1 of flow [N*T, 2, S, S] in pixels, averaged over the cells of each tap."""
        total = 0.0
        for index, head in self.heads.items():
            found = head(taps[int(index)])
            wanted = F.adaptive_avg_pool2d(flow, found.shape[-2:])
            known = (wanted.abs() < 12).all(1, keepdim=True).float()
            total = total + (F.smooth_l1_loss(found, wanted, reduction="none") * known).mean()
        return total


class MotionNet(nn.Module):
    """Per-frame logits. The first convolutions are generic and stay frozen (see `trainable`)."""

    def __init__(self, classes, use_shift=True):
        super().__init__()
        layers, width = [Unit(3, 32, 3, 2)], 32
        for expansion, channels, repeats, stride in _STAGES:
            for repeat in range(repeats):
                layers.append(Block(width, channels, stride if repeat == 0 else 1, expansion))
                width = channels
        layers.append(Unit(width, 1280, 1))
        self.features = nn.ModuleList(layers)
        self.classifier = nn.Linear(1280, classes)
        self.use_shift = use_shift
        nn.init.normal_(self.classifier.weight, 0, 0.001)
        nn.init.zeros_(self.classifier.bias)

    def trainable(self):
        """All parameters from the projection before the first shifted block on."""
        frozen = [self.features[0], self.features[1], self.features[2].conv[0], self.features[2].conv[1]]
        for module in frozen:
            module.requires_grad_(False)
        return [p for p in self.parameters() if p.requires_grad]

    @torch.no_grad()
    def unfold(self, clips):
        """Gives every trained convolution its batch norm back, measured on clips [n, T, S, S, 3] uint8."""
        found, hooks = {}, []

        def keep(name):
            return lambda module, inputs, output: found.__setitem__(
                name, (output.mean((0, 2, 3)), output.var((0, 2, 3), unbiased=False)))
        convolutions = {name: m for name, m in self.named_modules() if isinstance(m, Conv) and m.weight.requires_grad}
        for name, module in convolutions.items():
            hooks.append(module.register_forward_hook(keep(name)))
        self(normalise(torch.from_numpy(clips)), clips.shape[1])
        for hook in hooks:
            hook.remove()
        for name, module in convolutions.items():
            module.unfold(*found[name])

    def folded(self):
        """The state of the same network without batch norm: what is shipped."""
        state = {}
        for name, module in self.named_modules():
            if isinstance(module, Conv):
                state[f"{name}.weight"], state[f"{name}.bias"] = module.folded()
        return {**state, **{f"classifier.{k}": v for k, v in self.classifier.state_dict().items()}}

    def forward(self, x, frames, states=None, taps=None):
        """x [N*T, 3, S, S] normalised, frames of a clip contiguous. Returns logits [N*T, classes].

        `states` (a list, one entry per feature, None at the start) is updated in place for online use;
        `taps` (a dict) receives every feature's output.
        """
        for index, layer in enumerate(self.features):
            if isinstance(layer, Block):
                x, state = layer(x, frames, states[index] if states else None, self.use_shift)
                if states:
                    states[index] = state
            else:
                x = layer(x)
            if taps is not None:
                taps[index] = x
        pooled = x.mean((2, 3))
        if taps is not None:
            taps["pool"] = pooled
        return self.classifier(F.dropout(pooled, 0.2, self.training))


def normalise(clips):
    """uint8 [..., S, S, 3] RGB to float [N, 3, S, S], channels last in memory."""
    x = clips.reshape(-1, *clips.shape[-3:]).float().div_(255).permute(0, 3, 1, 2)
    mean, std = x.new_tensor(MEAN).view(1, 3, 1, 1), x.new_tensor(STD).view(1, 3, 1, 1)
    return ((x - mean) / std).contiguous(memory_format=torch.channels_last)


_TYPES = {"F32": np.float32, "F16": np.float16}


def read_safetensors(path):
    """Tensors {name: float32 array} and metadata of a safetensors file with F32 or F16 tensors."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        body = file.read()
    meta = header.pop("__metadata__", {})
    tensors = {name: np.frombuffer(body[slice(*entry["data_offsets"])], _TYPES[entry["dtype"]])
               .reshape(entry["shape"]).astype(np.float32) for name, entry in header.items()}
    return tensors, meta


def sampled(taps):
    """Layers' outputs, each an evenly strided sample in f32, and the metadata that say so; the layout is that of tools/reference/export_golden.py."""
    tensors, metadata = {}, {}
    for name, tap in taps.items():
        value = np.ascontiguousarray(tap.numpy()).astype(np.float32)
        stride = max(1, value.size // 1000) | 1
        metadata[f"stride:{name}"], metadata[f"shape:{name}"] = str(stride), json.dumps(list(value.shape))
        tensors[name] = value.reshape(-1)[::stride].copy()
    return tensors, metadata


def write_safetensors(path, tensors, metadata):
    """Writes numpy arrays (float32 or float16) with string metadata; the header is padded to 8 bytes."""
    header, chunks, offset = {"__metadata__": metadata}, [], 0
    for name, value in tensors.items():
        data = np.ascontiguousarray(value).tobytes()
        kind = "F16" if value.dtype == np.float16 else "F32"
        header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [offset, offset + len(data)]}
        chunks.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(chunks))


def load_backbone(net, path):
    """ImageNet weights into the features; every feature tensor must be there with the right shape."""
    tensors, _ = read_safetensors(path)
    own = dict(net.named_parameters())
    missing = [name for name in own if name.startswith("features.") and name not in tensors]
    if missing:
        raise SystemExit(f"{path}: lacks {missing[0]} and {len(missing) - 1} more; use the folded backbone")
    with torch.no_grad():
        for name, value in tensors.items():
            if name in own:
                own[name].copy_(torch.from_numpy(value))
