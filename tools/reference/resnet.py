"""ResNet v1.5 (stride on the 3x3) with the temporal shift and non-local blocks (arXiv 1711.07971), official TSM key names."""
import torch
from torch import nn
from torch.nn import functional as F

from mobilenetv2 import ignore
from shift import TemporalShift

DEPTHS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
NON_LOCAL = {("layer2", 0), ("layer2", 2), ("layer3", 0), ("layer3", 2), ("layer3", 4)}


class Bottleneck(nn.Module):
    def __init__(self, inputs, planes, stride, shifted):
        super().__init__()
        outputs = 4 * planes
        conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.conv1 = TemporalShift(conv1) if shifted else conv1
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x, tap, name):
        h = F.relu(self.bn1(self.conv1(x)))
        tap(f"{name}.conv1", h)
        h = F.relu(self.bn2(self.conv2(h)))
        tap(f"{name}.conv2", h)
        h = self.bn3(self.conv3(h))
        shortcut = x
        if self.downsample is not None:
            shortcut = self.downsample(x)
            tap(f"{name}.downsample", shortcut)
        h = F.relu(h + shortcut)
        tap(f"{name}.conv3", h)
        return h


class NonLocal(nn.Module):
    """Embedded-Gaussian non-local block over time and space of one clip; no 1/sqrt(d); keys and values pooled 1x2x2."""

    def __init__(self, channels):
        super().__init__()
        inner = channels // 2
        self.g = nn.Sequential(nn.Conv3d(channels, inner, 1), nn.MaxPool3d((1, 2, 2)))
        self.W = nn.Sequential(nn.Conv3d(inner, channels, 1), nn.BatchNorm3d(channels))
        self.theta = nn.Conv3d(channels, inner, 1)
        self.phi = nn.Sequential(nn.Conv3d(channels, inner, 1), nn.MaxPool3d((1, 2, 2)))

    def forward(self, x, tap, name):
        clip = x.transpose(0, 1)[None]  # [1, C, T, H, W]
        frames = lambda h: h[0].transpose(0, 1)
        theta, phi, g = self.theta(clip), self.phi[0](clip), self.g[0](clip)
        for unit, value in (("theta", theta), ("phi", phi), ("g", g)):
            tap(f"{name}.{unit}", frames(value))
        phi, g = self.phi[1](phi), self.g[1](g)
        tap(f"{name}.phi.pool", frames(phi))
        tap(f"{name}.g.pool", frames(g))
        attention = torch.softmax(theta.flatten(2).transpose(1, 2) @ phi.flatten(2), dim=-1)
        h = (attention @ g.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(theta.shape)
        h = frames(self.W(h) + clip)
        tap(name, h)
        return h


class NonLocalWrapper(nn.Module):
    """A bottleneck followed by a non-local block; puts `.block.` and `.nl.` into the checkpoint keys."""

    def __init__(self, block, channels):
        super().__init__()
        self.block = block
        self.nl = NonLocal(channels)

    def forward(self, x, tap, name):
        return self.nl(self.block(x, tap, name), tap, f"{name}.nl")


class ResNet(nn.Module):
    """The backbone of TSM: frames [T, 3, H, W] -> pooled features [T, 2048]."""

    def __init__(self, arch, non_local=False):
        super().__init__()
        depths = DEPTHS[arch]
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        every = 2 if depths[2] >= 23 else 1  # TSM shifts every second block of the deep nets
        inputs = 64
        for stage, depth in enumerate(depths):
            blocks, planes = [], 64 << stage
            for i in range(depth):
                stride = 2 if i == 0 and stage > 0 else 1
                block = Bottleneck(inputs, planes, stride, i % every == 0)
                inputs = 4 * planes
                wrapped = non_local and (f"layer{stage + 1}", i) in NON_LOCAL
                blocks.append(NonLocalWrapper(block, inputs) if wrapped else block)
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))

    def forward(self, x, tap=ignore):
        h = F.relu(self.bn1(self.conv1(x)))
        tap("stem", h)
        h = F.max_pool2d(h, 3, 2, 1)
        tap("stem.pool", h)
        for stage in ("layer1", "layer2", "layer3", "layer4"):
            for i, block in enumerate(getattr(self, stage)):
                h = block(h, tap, f"{stage}.{i}")
        h = h.mean((2, 3))
        tap("pool", h)
        return h
