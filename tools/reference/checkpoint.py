"""The object that torch.save gets for each model, as the released files have it (spec tsm-stam.md, sections 2.3-2.5)."""
from collections import OrderedDict

from torch import nn

import names

BARE = ("tsm-mobilenetv2-online", "mobilenetv2")
TRANSFORMERS = ("vit", "stam")


def checkpoint_object(name, model, naming="official"):
    """Official: {'state_dict': module.base_model.*, 'epoch', ...}, bare OrderedDict for the online and per-image nets,
    {'model': ...} for the transformers.

    mmaction2: {'meta', 'state_dict'} with its key names; the bias that its non-local output convolution lacks is left out,
    so it must be zero in the model.
    """
    if naming == "mmaction2":
        return {"meta": {"epoch": 50}, "state_dict": mmaction2_state_dict(model)}
    if name in TRANSFORMERS:
        return {"model": model.state_dict()}
    if name in BARE:
        return model.state_dict()
    state_dict = nn.DataParallel(model).state_dict()  # adds `module.`
    arch = "mobilenetv2" if "mobilenetv2" in name else name.split("-")[1]
    return {"epoch": 50, "arch": arch, "state_dict": state_dict, "best_prec1": 71.25}


def mmaction2_state_dict(model):
    renamed = OrderedDict()
    for key, value in model.state_dict().items():
        new_key = names.mmaction2(key)
        if new_key is None:
            assert not value.any(), f"{key} has no counterpart in mmaction2 and is not zero"
        else:
            renamed[new_key] = value
    return renamed
