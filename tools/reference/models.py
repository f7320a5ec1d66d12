"""The six reference models by Kinema's names, and the evaluation that records every unit's output.

Plain PyTorch, written from the papers and from the key names of the released files; state_dict() yields the official keys
(without the `module.` of DataParallel).
"""
from collections import OrderedDict

import torch
from torch import nn

from mobilenetv2 import MobileNetV2, OnlineMobileNetV2, ignore
from resnet import ResNet

CLASSES = {
    "tsm-resnet50": 400,
    "tsm-resnet101": 174,
    "tsm-resnet50-nl": 400,
    "tsm-mobilenetv2": 400,
    "tsm-mobilenetv2-online": 27,
    "mobilenetv2": 1000,
}


class Tsn(nn.Module):
    """The frame of an offline TSM: frames -> per-frame logits -> mean over the frames (before any softmax).

    video [T, 3, H, W] -> logits [classes]. ResNets carry their head as `new_fc`, MobileNetV2 inside the backbone.
    """

    def __init__(self, base_model, head_inputs=None, classes=None):
        super().__init__()
        self.base_model = base_model
        self.new_fc = nn.Linear(head_inputs, classes) if head_inputs else None

    def forward(self, video, tap=ignore):
        h = self.base_model(video, tap)
        if self.new_fc is not None:
            h = self.new_fc(h)
            tap("head", h)
        return h.mean(0)


def build(name, classes=None, padding="symmetric"):
    """The model of that name in evaluation mode, f32, with PyTorch's initial weights."""
    classes = classes or CLASSES[name]
    if name == "mobilenetv2":
        model = MobileNetV2(classes, padding)
    elif name == "tsm-mobilenetv2-online":
        model = OnlineMobileNetV2(classes)
    elif name == "tsm-mobilenetv2":
        model = Tsn(MobileNetV2(classes, shift_module=True))
    else:
        arch = "resnet101" if name == "tsm-resnet101" else "resnet50"
        model = Tsn(ResNet(arch, non_local=name.endswith("-nl")), 2048, classes)
    return model.eval()


def input_name(name):
    """The name of the model's input tensor in files: `image` for the per-image model, `video` for the others."""
    return "image" if name == "mobilenetv2" else "video"


def evaluate(model, x):
    """Runs the model on x and returns every unit's output by canonical name, in order of execution, and `logits`."""
    taps = OrderedDict()
    with torch.no_grad():
        logits = model(x, lambda name, value: taps.__setitem__(name, value.clone()))
    taps["logits"] = logits
    return taps


def evaluate_online(model, video):
    """Pushes the frames of video [T, 3, H, W] one by one; returns what evaluate() does, frames stacked."""
    frames = []
    states = model.initial_states(video.shape[2], video.shape[3], video.dtype)
    with torch.no_grad():
        for t in range(video.shape[0]):
            taps = OrderedDict()
            logits, states = model.step(video[t : t + 1], states, lambda name, value: taps.__setitem__(name, value.clone()))
            taps["logits"] = logits
            frames.append(taps)
    return OrderedDict((name, torch.cat([taps[name] for taps in frames])) for name in frames[0])
