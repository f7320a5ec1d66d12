"""The reference models by Kinema's names, and the evaluation that records every unit's output.

Plain PyTorch, written from the papers and from the key names of the released files; state_dict() yields the official keys
(without the `module.` of DataParallel).
"""
from collections import OrderedDict

import torch
from torch import nn

from mobilenetv2 import MobileNetV2, OnlineMobileNetV2, ignore
from resnet import ResNet
from stam import Stam
from vit import ViT

CLASSES = {
    "tsm-resnet50": 400,
    "tsm-resnet101": 174,
    "tsm-resnet50-nl": 400,
    "tsm-mobilenetv2": 400,
    "tsm-mobilenetv2-online": 27,
    "mobilenetv2": 1000,
    "vit": 1000,
    "stam": 400,
}

# (width, depth, heads) of timm's ViT and DeiT with patches of 16; the MLP is four times as wide.
VIT_SIZES = {"tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12)}

# Sizes of the transformers: these arguments of ViT and Stam besides classes, patches and frames.
STAM_TEMPORAL = {"temporal_depth": 6, "temporal_heads": 8, "temporal_hidden": 2048}


def vit_shape(size="base"):
    """The arguments of ViT for one of VIT_SIZES."""
    width, depth, heads = VIT_SIZES[size]
    return {"width": width, "depth": depth, "heads": heads, "hidden": 4 * width, "patch": 16}


def build_transformer(name, classes=None, frames=16, side=(224, 224), shape=None):
    """`vit` or `stam` (of ViT-B/16 unless `shape` says otherwise) in evaluation mode, for images of side = (height, width)."""
    shape = shape or {**vit_shape(), **(STAM_TEMPORAL if name == "stam" else {})}
    patches = (side[0] // shape["patch"]) * (side[1] // shape["patch"])
    more = {"frames": frames} if name == "stam" else {}
    model = {"vit": ViT, "stam": Stam}[name](classes or CLASSES[name], patches=patches, **more, **shape)
    return model.eval()


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
    if name in ("vit", "stam"):
        return build_transformer(name, classes)
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
    """The name of the model's input tensor in files: `image` for the per-image models, `video` for the others."""
    return "image" if name in ("mobilenetv2", "vit") else "video"


def evaluate(model, x, keep=torch.clone):
    """Runs the model on x and returns every unit's output by canonical name, in order of execution, and `logits`.

    `keep` makes of an output what is returned, for instance a sample where the whole would be too large.
    """
    taps = OrderedDict()
    with torch.no_grad():
        logits = model(x, lambda name, value: taps.__setitem__(name, keep(value)))
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
