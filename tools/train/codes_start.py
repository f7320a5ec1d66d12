"""A start from which time is useful, the same for codes and for pixels: opponent motion detectors in the first block, as in motion_start.py.

From random weights alone the network is long on the plateau "still": the direction of motion is the product of a difference in space and one in time, and no
unit computes one yet. Least squares make three of the stem's channels brightness and its two gradients in a cell, from codes or from whatever the stem's last
layer sees; the layers behind spend part of their channels on

    enter           brightness, and both signs of its gradients within a cell and between cells;
    blocks.0.time   r(a + b), r(-a - b), r(a - b), r(b - a): a a gradient, b brightness now minus brightness a step before;
    blocks.0.space  the first two minus the last two, which is 2 sign(a b) min(|a|, |b|), over 3 x 3 cells, with either sign.
"""
import cv2
import numpy as np
import torch
from torch.nn import functional as F

from codes_data import CELL, FRAMES, PAIR, SIZE

#: Channels of `enter`: brightness for the step behind (the first channels are what TSM delays), a gradient's two signs each, brightness now.
_PAST, _WITHIN, _BETWEEN, _NOW = 0, ((4, 5), (6, 7)), ((8, 9), (10, 11)), 12
#: Pairs of channels that hold a gradient's two signs, and gains of the difference in time.
_DETECTORS = [(_WITHIN[0], 1.5), (_WITHIN[1], 1.5), (_WITHIN[0], 5.0), (_WITHIN[1], 5.0), (_BETWEEN[0], 2.0), (_BETWEEN[1], 2.0)]
_MAPS = 13  # first of the channels of blocks.0 that hold the detectors' outcome
CLIPS = 48


def _wanted(clip):
    """Brightness and its gradients [steps, 3, rows, columns] in the cells of the last frames of the steps."""
    out = []
    for frame in clip[PAIR - 1::PAIR]:
        grey = cv2.GaussianBlur(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), CELL / 2.5)
        parts = [grey, np.gradient(grey, axis=1), np.gradient(grey, axis=0)]
        out.append([cv2.resize(part, (SIZE // CELL, SIZE // CELL), interpolation=cv2.INTER_AREA) for part in parts])
    return np.array(out, np.float32)


def _solved(products, mixed):
    ridge = 1e-3 * products.diagonal().mean()
    return torch.linalg.solve(products + ridge * torch.eye(len(products)), mixed)


def _windows(x, conv):
    """What a convolution [out, in, t, h, w] sees at each of its places: [places, in * t * h * w]."""
    x = F.pad(x, [p for pad in reversed(conv.padding) for p in (pad, pad)])
    for axis, (kernel, stride) in enumerate(zip(conv.kernel_size, conv.stride)):
        x = x.unfold(2 + axis, kernel, stride)
    return x.permute(0, 2, 3, 4, 1, 5, 6, 7).flatten(4).flatten(0, 3)


def _seen_by_last(stem, seen):
    """Rows of what the stem's last layer sees: parts' one-hot codes, or windows of what is in front of the last convolution; and that convolution."""
    if hasattr(stem, "table") and not stem.fine:
        hot = [F.one_hot(seen[..., book] // place % size, size) for book, place, size in stem.parts]
        return torch.cat(hot, -1).flatten(0, 3).float(), None
    if hasattr(stem, "table"):
        last, caught = stem.join.conv, []
    else:
        last, caught = stem.layers[-1].conv, []
    hook = last.register_forward_pre_hook(lambda module, inputs: caught.append(inputs[0]))
    stem(seen)
    hook.remove()
    return _windows(caught[0], last), last


@torch.no_grad()
def start_motion(net, arm, pictures, tensor_of):
    """Rewires `net` in place. `arm` is the training arm, `pictures(number)` the raw clip [FRAMES, SIZE, SIZE, 3] of its clip of that number."""
    net.train()
    random = np.random.default_rng(3)
    rows, targets = [], []
    for number in random.choice(len(arm), min(CLIPS, len(arm)), replace=False):
        seen = tensor_of(arm.read(int(number), 0, FRAMES // PAIR)[0][None])
        x, last = _seen_by_last(net.stem, seen)
        y = torch.from_numpy(_wanted(pictures(int(number)))).permute(0, 2, 3, 1).reshape(-1, 3)
        kept = torch.from_numpy(random.choice(len(x), 1200, replace=False))
        rows.append(x[kept])
        targets.append(y[kept])
    x, y = torch.cat(rows), torch.cat(targets)
    y = (y - y.mean(0)) / y.std(0)
    centre = x.mean(0) if last is not None else torch.zeros(x.shape[1])  # the norm behind a convolution takes means away
    solution = _solved((x - centre).T @ (x - centre), (x - centre).T @ y)
    print("fit of brightness and gradients, R2:", (1 - ((x - centre) @ solution - y).square().mean(0)).numpy().round(2), flush=True)
    if last is None:
        net.stem.table.free[:] = solution
    else:
        last.weight[:3] = solution.T.view(3, *last.weight.shape[1:])
    _wire(net)


def _wire(net):
    enter, norm = net.enter.conv.weight, net.enter.norm
    last = _MAPS + 2 * len(_DETECTORS)
    for channel in (_PAST, _NOW):
        enter[channel] = 0
        enter[channel, 0, 1, 1], norm.bias[channel] = 1, 2.5  # brightness stays above the ReLU
    for axis in (0, 1):
        ahead, back = ((1, 2), (1, 0)) if axis == 0 else ((2, 1), (0, 1))
        for sign, within, between in zip((1, -1), _WITHIN[axis], _BETWEEN[axis]):
            enter[within], enter[between] = 0, 0
            enter[within, 1 + axis, 1, 1] = sign
            enter[(between, 0, *ahead)], enter[(between, 0, *back)] = sign / 2, -sign / 2
    norm.weight[_MAPS:last] = 0.1  # room for the maps
    block = net.blocks[0]
    time, space = block.time.conv.weight, block.space.conv.weight
    now = time.shape[1] - enter.shape[0]  # S3D sees the step before in front of this one
    time[:4 * len(_DETECTORS)], space[_MAPS:last] = 0, 0
    for k, ((plus, minus), gain) in enumerate(_DETECTORS):
        for j, (a, b) in enumerate([(1, 1), (-1, -1), (1, -1), (-1, 1)]):
            unit, way = 4 * k + j, 0.5 if a == b else -0.5
            time[unit, now + plus], time[unit, now + minus] = a, -a
            time[unit, now + _NOW], time[unit, _PAST] = b * gain, -b * gain
            space[_MAPS + 2 * k, unit], space[_MAPS + 2 * k + 1, unit] = way / 9, -way / 9
    block.space.norm.weight[_MAPS:last] = 1
