"""A start from which the temporal shift is useful: opponent motion detectors in features 2 to 4.

From ImageNet weights alone the network is long on the plateau "still" (200 steps and more): the
direction of motion is the product of a spatial and a temporal difference, and no unit computes one yet.
This start spends half of the 24 channels at quarter resolution on it, and leaves the rest as it was:

    features.2  channels 0-2 (the ones that the shift delays) and 3-5 become brightness and its two
                gradients, fitted to the frozen ImageNet features by least squares;
    features.3  r(a + b) + r(-a - b) - r(a - b) - r(b - a) with r = ReLU6, a = gradient and
                b = brightness now minus brightness before, which is 2 sign(a b) min(|a|, |b|);
    features.4  carries these signed maps to the next resolution.
"""
import cv2
import numpy as np
import torch

from model import normalise

_GAINS = (1.0, 2.5, 6.0)  # of the temporal difference: fast, middling and slow motion
_MAPS = 2 * len(_GAINS)


def _targets(clip, size):
    """Brightness and its gradients [n, 3, size, size] at the centres of the quarter-resolution cells."""
    out = []
    for frame in clip:
        grey = cv2.GaussianBlur(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 2.2)
        parts = [grey - 110, np.gradient(grey, axis=1), np.gradient(grey, axis=0)]
        out.append([part[::4, ::4][:size, :size] for part in parts])
    return np.array(out, np.float32)


def _fit(net, clips):
    """Least squares from the 96 inputs of features.2's projection to the targets, at unit deviation."""
    with torch.no_grad():
        x = normalise(torch.from_numpy(clips))
        for layer in net.features[:2]:
            x = layer(x, 1)[0] if hasattr(layer, "conv") else layer(x)
        hidden = net.features[2].conv[:2](x)
    size = hidden.shape[-1]
    a = hidden.permute(0, 2, 3, 1).reshape(-1, hidden.shape[1]).double().numpy()
    y = _targets(clips.reshape(-1, *clips.shape[-3:]), size).transpose(0, 2, 3, 1).reshape(-1, 3).astype(float)
    y = y / y.std(axis=0)
    a1 = np.concatenate([a, np.ones((len(a), 1))], 1)
    solution = np.linalg.solve(a1.T @ a1 + 1e-3 * len(a) * np.eye(a1.shape[1]), a1.T @ y)
    fit = 1 - ((a1 @ solution - y) ** 2).mean(axis=0) / y.var(axis=0)
    print("fit of brightness and gradients, R2:", fit.round(2))
    return torch.tensor(solution[:-1].T, dtype=torch.float32), torch.tensor(solution[-1], dtype=torch.float32)


def _spare(block, count):
    """The hidden units that matter least: small projected weight."""
    return block.conv[2].weight.flatten(1).abs().sum(0).argsort()[:count]


def _clear(block, units, outputs):
    """Frees hidden units and output channels of a block; freed units average over 3 x 3."""
    expand, depthwise, project = block.conv[0][0], block.conv[1][0], block.conv[2]
    expand.weight[units], expand.bias[units] = 0, 0
    depthwise.weight[units], depthwise.bias[units] = 1 / 9, 0
    project.weight[:, units] = 0
    project.weight[outputs], project.bias[outputs] = 0, 0


@torch.no_grad()
def start_motion(net, clips):
    """Rewires `net` in place; `clips` [n, S, S, 3] uint8 are frames to fit brightness on."""
    weight, bias = _fit(net, clips)
    project = net.features[2].conv[2]
    for rows in (slice(0, 3), slice(3, 6)):
        project.weight[rows], project.bias[rows] = weight[:, :, None, None], bias
    project.weight[6:6 + _MAPS], project.bias[6:6 + _MAPS] = 0, 0

    block = net.features[3]
    units, maps = _spare(block, 4 * _MAPS), torch.arange(6, 6 + _MAPS)
    block.conv[0][0].weight[:, :6] = 0  # these channels mean something else now
    _clear(block, units, torch.arange(0, 6 + _MAPS))
    expand = block.conv[0][0].weight
    for k in range(_MAPS):
        gradient, gain = 4 + k % 2, _GAINS[k // 2]
        for j, (sign_a, sign_b) in enumerate([(1, 1), (-1, -1), (1, -1), (-1, 1)]):
            unit = units[4 * k + j]
            expand[unit, gradient] = sign_a
            expand[unit, 3], expand[unit, 0] = sign_b * gain, -sign_b * gain
            block.conv[2].weight[maps[k], unit] = 0.5 if sign_a == sign_b else -0.5

    block = net.features[4]
    units = _spare(block, 2 * _MAPS)
    block.conv[0][0].weight[:, :6 + _MAPS] *= 0.3
    _clear(block, units, torch.arange(0, _MAPS))
    for k in range(_MAPS):
        for j, sign in enumerate((1, -1)):
            block.conv[0][0].weight[units[2 * k + j], maps[k]] = 2.0 * sign
            block.conv[2].weight[k, units[2 * k + j]] = 2.0 * sign
