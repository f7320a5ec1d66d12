"""MobileNetV2 (arXiv 1801.04381) with the TSM placement of the shift, with the official TSM key names."""
import torch
from torch import nn
from torch.nn import functional as F

from shift import SHIFT_DIVISOR, TemporalShift, shift_online, shift_unidirectional

# (expansion, output channels, repeats, stride of the first)
STAGES = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
LAST_CHANNELS = 1280


def ignore(name, value):
    """The tap of a caller who wants no intermediate tensors."""


class SameConv2d(nn.Conv2d):
    """TensorFlow SAME padding: total = max((ceil(in/s) - 1) s + k - in, 0), the odd pixel at the bottom and the right."""

    def forward(self, x):
        padding = []
        for axis in (3, 2):
            size, kernel, stride = x.shape[axis], self.kernel_size[axis - 2], self.stride[axis - 2]
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            padding += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, padding), self.weight, None, self.stride, 0, self.dilation, self.groups)


def convolution(inputs, outputs, kernel, stride, groups, padding):
    if padding == "same":
        return SameConv2d(inputs, outputs, kernel, stride, 0, groups=groups, bias=False)
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


class InvertedResidual(nn.Module):
    """`conv` is one flat sequence, as in the official code: (expand, BN, ReLU6,) depthwise, BN, ReLU6, project, BN."""

    def __init__(self, inputs, outputs, stride, expansion, padding, shift_module):
        super().__init__()
        hidden = inputs * expansion
        self.identity = stride == 1 and inputs == outputs
        self.shifted = self.identity and expansion != 1
        layers = []
        if expansion != 1:
            expand = convolution(inputs, hidden, 1, 1, 1, padding)
            expand = TemporalShift(expand) if shift_module and self.shifted else expand
            layers += [expand, nn.BatchNorm2d(hidden), nn.ReLU6()]
        layers += [convolution(hidden, hidden, 3, stride, hidden, padding), nn.BatchNorm2d(hidden), nn.ReLU6()]
        layers += [convolution(hidden, outputs, 1, 1, 1, padding), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*layers)
        self.state_channels = inputs // SHIFT_DIVISOR

    def forward(self, x, tap, name, shift):
        h = shift(x) if self.shifted else x
        if len(self.conv) == 8:
            h = self.conv[0:3](h)
            tap(f"{name}.expand", h)
        h = self.conv[-5:-2](h)
        tap(f"{name}.depthwise", h)
        h = self.conv[-2:](h)
        h = x + h if self.identity else h
        tap(f"{name}.project", h)
        return h


class MobileNetV2(nn.Module):
    """x [N, 3, H, W] -> per-image logits [N, classes]. With shift_module=True, N is the time axis of one clip."""

    def __init__(self, classes, padding="symmetric", shift_module=False):
        super().__init__()
        stem = nn.Sequential(convolution(3, 32, 3, 2, 1, padding), nn.BatchNorm2d(32), nn.ReLU6())
        features, channels = [stem], 32
        for expansion, outputs, repeats, stride in STAGES:
            for i in range(repeats):
                step = stride if i == 0 else 1
                features.append(InvertedResidual(channels, outputs, step, expansion, padding, shift_module))
                channels = outputs
        last = convolution(channels, LAST_CHANNELS, 1, 1, 1, padding)
        features.append(nn.Sequential(last, nn.BatchNorm2d(LAST_CHANNELS), nn.ReLU6()))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Linear(LAST_CHANNELS, classes)

    def blocks(self):
        """The pairs (torchvision feature index, block)."""
        return list(enumerate(self.features))[1:-1]

    def forward(self, x, tap=ignore, shift=lambda index, x: x):
        h = self.features[0](x)
        tap("stem", h)
        for index, block in self.blocks():
            h = block(h, tap, f"blocks.{index}", lambda x, index=index: shift(index, x))
        h = self.features[-1](h)
        tap("last", h)
        h = h.mean(3).mean(2)
        tap("pool", h)
        h = self.classifier(h)
        tap("head", h)
        return h


class OnlineMobileNetV2(MobileNetV2):
    """The causal network of the camera demo. Keys carry no mark of the shift; the states are passed explicitly."""

    def forward(self, video, tap=ignore):
        """All T frames at once (offline, uni-directional): video [T, 3, H, W] -> logits [T, classes]."""
        return super().forward(video, tap, lambda index, x: shift_unidirectional(x))

    def initial_states(self, height, width, dtype=torch.float32):
        """Zero states for frames of that size, one [1, f, h, w] per shifted block, in block order."""
        states = []
        height, width = -(-height // 2), -(-width // 2)
        for _, block in self.blocks():
            if block.shifted:
                states.append(torch.zeros(1, block.state_channels, height, width, dtype=dtype))
            stride = block.conv[-5].stride[0]
            height, width = -(-height // stride), -(-width // stride)
        return states

    def step(self, frame, states, tap=ignore):
        """One frame [1, 3, H, W] -> (logits [1, classes], new states)."""
        waiting, new_states = list(states), []

        def shift(index, x):
            shifted, state = shift_online(x, waiting.pop(0))
            new_states.append(state)
            return shifted

        return super().forward(frame, tap, shift), new_states
