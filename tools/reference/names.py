"""Checkpoint key names: official TSM -> Kinema's canonical names, and official -> mmaction2."""
import re

from mobilenetv2 import STAGES

FLAT = {0: "expand", 3: "depthwise", 6: "project"}
FLAT_FIRST = {0: "depthwise", 3: "project"}
TRANSFORMER = re.compile(r"(aggregate\.)?(cls_token|pos_embed)|(patch_embed|blocks|norm|aggregate|head)\..+")
NON_LOCAL = {"theta": "theta", "phi.0": "phi", "g.0": "g", "W.0": "out", "W.1": "out.bn"}


def plain(key):
    """The key without the marks of DataParallel, the TSN frame, the shift and the non-local wrapper."""
    return re.sub(r"^module\.", "", key).replace("base_model.", "").replace(".net.", ".").replace(".block.", ".")


def canonical(key):
    """The canonical tensor name of an official key; None for num_batches_tracked. Raises on an unknown key."""
    if TRANSFORMER.fullmatch(key):
        return key  # timm's and STAM's names are Kinema's
    unit, _, leaf = plain(key).rpartition(".")
    if leaf == "num_batches_tracked":
        return None
    return f"{canonical_unit(unit)}.{leaf}"


def canonical_unit(unit):
    if unit in ("new_fc", "classifier"):
        return "head"
    fixed = {"features.0.0": "stem", "features.0.1": "stem.bn", "features.18.0": "last", "features.18.1": "last.bn"}
    fixed.update({"conv1": "stem", "bn1": "stem.bn"})
    if unit in fixed:
        return fixed[unit]
    match = re.fullmatch(r"features\.(\d+)\.conv\.(\d)", unit)
    if match:
        block, position = int(match[1]), int(match[2])
        table = FLAT_FIRST if block == 1 else FLAT
        is_norm = position not in table
        return f"blocks.{block}.{table[position - is_norm]}{'.bn' if is_norm else ''}"
    match = re.fullmatch(r"(layer\d\.\d+)\.(.+)", unit)
    if match:
        return f"{match[1]}.{residual_unit(match[2])}"
    raise KeyError(f"no canonical name for '{unit}'")


def residual_unit(unit):
    match = re.fullmatch(r"(conv|bn)([123])", unit)
    if match:
        return f"conv{match[2]}{'.bn' if match[1] == 'bn' else ''}"
    if unit.startswith("downsample."):
        return {"0": "downsample", "1": "downsample.bn"}[unit[-1]]
    return f"nl.{NON_LOCAL[unit[len('nl.'):]]}"


def mmaction2(key):
    """The key that mmaction2 writes for the same tensor; None for the bias it does not have (the non-local output's)."""
    unit, _, leaf = plain(key).rpartition(".")
    if unit in ("new_fc", "classifier"):
        return f"cls_head.fc_cls.{leaf}"
    if unit.startswith("features."):
        return f"backbone.{mmaction2_mobilenet(unit)}.{leaf}"
    if unit.endswith(".nl.W.0") and leaf == "bias":
        return None
    return f"backbone.{mmaction2_resnet(unit, key)}.{leaf}"


def mmaction2_mobilenet(unit):
    fixed = {"features.0.0": "conv1.conv", "features.0.1": "conv1.bn"}
    fixed.update({"features.18.0": "conv2.conv", "features.18.1": "conv2.bn"})
    if unit in fixed:
        return fixed[unit]
    feature, position = (int(part) for part in unit.split(".")[1::2])
    stage, index = mobilenet_stage(feature)
    part = "conv" if position % 3 == 0 else "bn"
    # Here the shift wraps the whole conv + BN + ReLU6 unit, so the norm's keys carry the mark as well.
    shifted = position // 3 == 0 and index > 0
    return f"layer{stage}.{index}.conv.{position // 3}{'.net' if shifted else ''}.{part}"


def mobilenet_stage(feature):
    """(stage from 1, block in the stage) of a torchvision feature index 1..17."""
    first = 1
    for stage, (_, _, repeats, _) in enumerate(STAGES, start=1):
        if feature < first + repeats:
            return stage, feature - first
        first += repeats
    raise KeyError(f"no block at features.{feature}")


def mmaction2_resnet(unit, key):
    if unit in ("conv1", "bn1"):
        return "conv1.conv" if unit == "conv1" else "conv1.bn"
    layer, part = re.fullmatch(r"(layer\d\.\d+)\.(.+)", unit).groups()
    if part.startswith("nl."):
        table = {"theta": "theta.conv", "phi.0": "phi.0.conv", "g.0": "g.0.conv", "W.0": "conv_out.conv", "W.1": "conv_out.bn"}
        return f"{layer}.non_local_block.{table[part[3:]]}"
    block = f"{layer}.block" if ".block." in key else layer
    if part.startswith("downsample."):
        return f"{block}.downsample.{'conv' if part[-1] == '0' else 'bn'}"
    if part.startswith("bn"):
        return f"{block}.conv{part[-1]}.bn"
    return f"{block}.{part}.conv{'.net' if '.net.' in key else ''}"
