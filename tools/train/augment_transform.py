"""Flip, crop, rotation, brightness and saturation: of pixels, of a grid of sites, and as the numbers that the augmentation network reads.

Where a pixel of the result comes from is one affine map about the centre, so a transform is a matrix, a shift and two numbers of colour.
"""
from dataclasses import dataclass, replace

import cv2
import numpy as np

CELL = 8  # pixels a side of a site
NUMBERS = 8  # of a site's description
#: How often training sees each kind of transform, in the order of random_transform. What moves content within a site is learned slowest.
SHARES = [0.18, 0.2, 0.2, 0.05, 0.1, 0.17, 0.1]


@dataclass(frozen=True)
class Transform:
    """`matrix` and `shift` (in pixels): the place in the source, from the centre, (y, x), of a place in the result. Colours: grey + saturation * (x - grey) + brightness."""
    matrix: tuple = ((1.0, 0.0), (0.0, 1.0))
    shift: tuple = (0.0, 0.0)
    brightness: float = 0.0
    saturation: float = 1.0

    def then(self, matrix, shift=(0.0, 0.0)):
        """Another geometric map applied to the result of this one."""
        own = np.array(self.matrix)
        turned, moved = own @ np.array(matrix), own @ np.array(shift) + np.array(self.shift)
        return replace(self, matrix=tuple(map(tuple, turned)), shift=tuple(moved))

    def source(self, places):
        """Places [..., 2] of the result, from the centre -> places of the source."""
        return places @ np.array(self.matrix).T + np.array(self.shift)


FLIP = ((1.0, 0.0), (0.0, -1.0))
UPSIDE_DOWN = ((-1.0, 0.0), (0.0, 1.0))


def rotation(degrees):
    cos, sin = (round(float(f(np.radians(degrees))), 12) for f in (np.cos, np.sin))
    return ((cos, sin), (-sin, cos))


def crop(share):
    """A square of `share` of the side, enlarged."""
    return ((share, 0.0), (0.0, share))


def pixels(transform, frames, side):
    """frames [n, H, H, 3] float in [0, 1] -> [n, side, side, 3], the centre of the result; and which of its pixels lie within the source."""
    height = frames.shape[1]
    a, b = np.array(transform.matrix), np.array(transform.shift)
    offset = a @ np.full(2, -(side - 1) / 2) + b + (height - 1) / 2
    matrix = np.array([[a[1, 1], a[1, 0], offset[1]], [a[0, 1], a[0, 0], offset[0]]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    out = np.stack([cv2.warpAffine(np.ascontiguousarray(frame), matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE) for frame in frames])
    y, x = np.mgrid[0:side, 0:side] - (side - 1) / 2
    source = np.abs(transform.source(np.stack([y, x], -1))).max(-1)
    return colours(transform, out), source <= (height - 1) / 2 + 1e-6


def colours(transform, frames):
    grey = frames @ np.array([0.299, 0.587, 0.114], np.float32)
    out = grey[..., None] + transform.saturation * (frames - grey[..., None]) + transform.brightness
    return np.clip(out, 0, 1).astype(np.float32)


def sites(transform, rows, source_rows):
    """For a grid of rows x rows sites of the result: how far, in sites, what they show is from the nearest site of the source, [rows * rows, 2]."""
    y, x = (np.mgrid[0:rows, 0:rows] + 0.5 - rows / 2) * CELL
    place = transform.source(np.stack([y, x], -1).reshape(-1, 2)) / CELL + source_rows / 2
    nearest = np.clip(np.floor(place + 1e-9), 0, source_rows - 1)
    return place - nearest - 0.5


def description(transform, offsets):
    """What the network reads, [sites, NUMBERS]: the matrix, how far the source's site is off, brightness, log2 of the saturation (at least 1/4)."""
    numbers = [*np.ravel(transform.matrix), 0.0, 0.0, 4 * transform.brightness, np.log2(max(transform.saturation, 0.25))]
    out = np.tile(np.float32(numbers), (len(offsets), 1))
    out[:, 4:6] = np.clip(offsets, -2, 2)
    return out


def random_transform(random, reach):
    """What training sees; a crop's centre moves by at most `reach` pixels less what the crop itself needs."""
    kind = random.choice(["flip", "crop", "rotation", "brightness", "saturation", "turn", "several"], p=SHARES)
    chosen = Transform()
    has = lambda name, share: kind == name or (kind == "several" and random.random() < share)  # noqa: E731
    if has("flip", 0.5):
        chosen = chosen.then(FLIP)
    if has("turn", 0.15):
        chosen = chosen.then(UPSIDE_DOWN if random.random() < 0.3 else rotation(90 * int(random.integers(1, 4))))
    if has("rotation", 0.5):
        chosen = chosen.then(rotation(random.uniform(-20, 20)))
    if has("crop", 0.5):
        share = random.uniform(0.5, 1)
        room = reach * (1 - share)
        chosen = replace(chosen.then(crop(share)), shift=tuple(random.uniform(-room, room, 2)))
    if has("brightness", 0.5):
        chosen = replace(chosen, brightness=float(random.uniform(-0.2, 0.2)))
    if has("saturation", 0.5):
        chosen = replace(chosen, saturation=float(2 ** random.uniform(-1.5, 0.6)))
    return chosen
