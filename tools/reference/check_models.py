"""Checks the reference models against what is known from elsewhere; run it after any change to them.

    python3 tools/reference/check_models.py

Shift anchors, parameter and tensor counts, shift sets (spec tsm-stam.md, sections 2.4, 9 and 12), the two backbones against
torchvision's, and that an offline clip constant in time equals the network without shift in its interior frames.
"""
import re

import torch
import torchvision

import models
import names
import shift
import synthetic

PARAMETERS = {
    "tsm-resnet50": 24_327_632,
    "tsm-resnet101": 42_856_686,
    "tsm-resnet50-nl": 31_686_096,
    "tsm-mobilenetv2": 2_736_272,
    "tsm-mobilenetv2-online": 2_258_459,
    "mobilenetv2": 3_504_872,
    "vit": 86_567_656,
    "stam": 119_205_520,
}
TENSORS = {"tsm-resnet50": 320, "tsm-resnet50-nl": 385, "tsm-mobilenetv2": 314, "tsm-mobilenetv2-online": 314, "stam": 228}
SHIFTED = {"tsm-resnet50": 16, "tsm-resnet101": 18, "tsm-resnet50-nl": 16, "tsm-mobilenetv2": 10}


def check_shift():
    x = (100.0 * torch.arange(4)[:, None] + torch.arange(16))[:, :, None, None]
    rows = shift.shift_offline(x)[:, :, 0, 0].tolist()
    assert rows[0] == [100, 101, 0, 0, *range(4, 16)]
    assert rows[1] == [200, 201, 2, 3, *range(104, 116)]
    assert rows[3] == [0, 0, 202, 203, *range(304, 316)]
    causal = shift.shift_unidirectional(x)[:, :, 0, 0].tolist()
    assert causal[0] == [0, 0, *range(2, 16)] and causal[1] == [0, 1, *range(102, 116)]
    state, frames = torch.zeros(1, 2, 1, 1), []
    for t in range(4):
        frame, state = shift.shift_online(x[t : t + 1], state)
        frames.append(frame)
    assert torch.equal(torch.cat(frames), shift.shift_unidirectional(x))


def check_counts():
    for name, expected in PARAMETERS.items():
        model = models.build(name)
        keys = list(model.state_dict())
        assert sum(p.numel() for p in model.parameters()) == expected, name
        assert len(keys) == TENSORS.get(name, len(keys)), name
        assert sum(".net.weight" in key for key in keys) == SHIFTED.get(name, 0), name
        kept = [key for key in keys if names.canonical(key)]
        assert len({names.canonical(key) for key in kept}) == len(kept), name
        if name not in ("vit", "stam"):
            assert len({names.mmaction2(key) for key in keys}) == len(keys) - (4 if name.endswith("-nl") else 0), name


def check_torchvision():
    """The per-image MobileNetV2, and ResNet-50 on a single frame with the shifted channels' weights zeroed."""
    x = torch.from_numpy(synthetic.tensor("image", (2, 3, 50, 70))).double()
    ours = synthetic.fill(models.build("mobilenetv2")).double()
    theirs = torchvision.models.mobilenet_v2().double().eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values())))
    with torch.no_grad():
        assert torch.allclose(ours(x), theirs(x), rtol=0, atol=1e-10)
    tsm = synthetic.fill(models.build("tsm-resnet50", 1000)).double()
    theirs = torchvision.models.resnet50().double().eval()
    for key, value in tsm.state_dict().items():
        if ".conv1.net." in key:
            value[:, : 2 * (value.shape[1] // 8)] = 0  # what the shift replaces, from frames that a lone frame does not have
        theirs.state_dict()[re.sub(r"^base_model\.|\.net", "", key).replace("new_fc", "fc")].copy_(value)
    with torch.no_grad():
        assert torch.allclose(tsm(x[:1]), theirs(x[:1])[0], rtol=0, atol=1e-10)


def check_constant_clip():
    model = synthetic.fill(models.build("tsm-mobilenetv2")).double()
    plain = synthetic.fill(models.build("mobilenetv2", 400)).double()
    frame = torch.from_numpy(synthetic.tensor("image", (1, 3, 33, 47))).double()
    # A zero from outside the clip travels one frame per shifted block: ten blocks, so frame 10 of 21 sees none.
    taps = models.evaluate(model, frame.repeat(21, 1, 1, 1))
    with torch.no_grad():
        assert torch.allclose(taps["head"][10], plain(frame)[0], rtol=0, atol=1e-10)


def check_vit():
    """Our ViT against torchvision's, whose names differ and whose mathematics do not."""
    shape = {"width": 60, "depth": 3, "heads": 5, "hidden": 212, "patch": 8}
    ours = synthetic.fill(models.build_transformer("vit", 11, side=(40, 40), shape=shape)).double()
    theirs = torchvision.models.VisionTransformer(40, 8, 3, 5, 60, 212, num_classes=11).double().eval()
    state = {}
    for key, value in ours.state_dict().items():
        key = re.sub(r"^cls_token", "class_token", key).replace("patch_embed.proj", "conv_proj").replace("head.", "heads.head.")
        key = re.sub(r"^pos_embed", "encoder.pos_embedding", re.sub(r"^norm\.", "encoder.ln.", key))
        key = re.sub(r"^blocks\.(\d+)", r"encoder.layers.encoder_layer_\1", key)
        key = key.replace("norm1", "ln_1").replace("norm2", "ln_2").replace("mlp.fc1", "mlp.0").replace("mlp.fc2", "mlp.3")
        key = key.replace("attn.qkv.", "self_attention.in_proj_").replace("attn.proj", "self_attention.out_proj")
        state[key] = value
    theirs.load_state_dict(state)
    x = torch.from_numpy(synthetic.tensor("image", (2, 3, 40, 40))).double()
    with torch.no_grad():
        assert torch.allclose(ours(x), theirs(x), rtol=0, atol=1e-10)


def check_stam():
    """The temporal encoder written out against PyTorch's own forward, counts, and the stream against whole clips."""
    for frames, expected in ((8, 119_199_376), (32, 119_217_808), (64, 119_242_384)):
        model = models.build_transformer("stam", frames=frames)
        assert sum(p.numel() for p in model.parameters()) == expected
    shape = {"width": 96, "depth": 2, "heads": 6, "hidden": 180, "patch": 8}
    shape.update(temporal_depth=2, temporal_heads=8, temporal_hidden=76)
    model = synthetic.fill(models.build_transformer("stam", 13, frames=5, side=(16, 24), shape=shape)).double()
    video = torch.from_numpy(synthetic.tensor("video", (5, 3, 16, 24))).double()
    with torch.no_grad():
        features = model.features(video, lambda name, value: None).transpose(0, 1)
        theirs = model.aggregate.transformer_enc(model.aggregate.embed(features))[:, 0]
        assert torch.allclose(model.aggregate(features, lambda name, value: None), theirs, rtol=0, atol=1e-10)
        stream = model.stream(video)
        assert torch.allclose(stream[4], model(video), rtol=0, atol=1e-12)
        still = model(video[:1].repeat(5, 1, 1, 1))
        assert torch.allclose(stream[0], still, rtol=0, atol=1e-12)


if __name__ == "__main__":
    for check in (check_shift, check_counts, check_torchvision, check_constant_clip, check_vit, check_stam):
        check()
        print(f"{check.__name__}: ok")
