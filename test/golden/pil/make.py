"""Writes cases.json: what Pillow makes of a few generated frames. Run: python3 make.py (needs Pillow and numpy)."""

import hashlib
import json
import pathlib

import numpy
import PIL
from PIL import Image

TURN = {90: Image.ROTATE_270, 180: Image.ROTATE_180, 270: Image.ROTATE_90}  # PIL turns anticlockwise

# width, height, resize, crop, clockwise rotation, mirrored
CASES = [
    (8, 1, 1, 1, 0, False),
    (1, 1, 5, 3, 0, False),
    (1, 7, 3, 2, 90, True),
    (2, 3, 4, 3, 270, False),
    (5, 3, 4, 4, 0, True),
    (9, 13, 4, 3, 180, False),
    (37, 23, 11, 8, 0, False),
    (23, 37, 11, 8, 90, True),
    (64, 48, 48, 31, 0, False),
    (101, 67, 97, 90, 180, True),
    (131, 257, 17, 16, 270, False),
    (176, 100, 256, 224, 0, False),
    (211, 160, 256, 224, 90, False),
    (320, 240, 256, 224, 0, True),
    (641, 359, 256, 224, 0, False),
    (333, 777, 256, 224, 270, True),
]
# The same with the bicubic filter, whose weights can be negative.
BICUBIC = [CASES[i] for i in (0, 1, 2, 4, 6, 7, 9, 10, 11, 14, 15)]


def frame(width, height):
    """Bytes of a linear congruential generator; every third row pushed to black and white, to reach the clamp."""
    state, values = 1, []
    for _ in range(width * height * 3):
        state = (state * 1664525 + 1013904223) % 2**32
        values.append(state >> 24)
    pixels = numpy.array(values, dtype=numpy.uint8).reshape(height, width, 3)
    pixels[::3] = numpy.where(pixels[::3] > 127, 255, 0)
    return pixels


def crop(width, height, resize, side, rotation, mirrored, method):
    image = Image.fromarray(frame(width, height))
    if rotation:
        image = image.transpose(TURN[rotation])
    w, h = image.size
    size = (resize, int(resize * h / w)) if w <= h else (int(resize * w / h), resize)
    image = image.resize(size, method)
    left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
    image = image.crop((left, top, left + side, top + side))
    if mirrored:
        image = image.transpose(Image.FLIP_LEFT_RIGHT)
    return numpy.asarray(image)


def main():
    cases = []
    jobs = [(case, "bilinear") for case in CASES] + [(case, "bicubic") for case in BICUBIC]
    for case, method in jobs:
        pixels = crop(*case, {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}[method])
        names = ("width", "height", "resize", "crop", "rotation", "flip", "filter")
        entry = dict(zip(names, (*case, method)), sha256=hashlib.sha256(pixels.tobytes()).hexdigest())
        if pixels.size <= 64:
            entry["bytes"] = pixels.flatten().tolist()
        cases.append(entry)
    row = Image.fromarray(numpy.arange(0, 24, 3, dtype=numpy.uint8)[None]).resize((2, 1), Image.BILINEAR)
    lines = ",\n    ".join(json.dumps(case) for case in cases)
    text = '{\n  "pillow": "%s",\n  "row": %s,\n  "cases": [\n    %s\n  ]\n}\n' % (
        PIL.__version__, numpy.asarray(row)[0].tolist(), lines)
    pathlib.Path(__file__).with_name("cases.json").write_text(text)


main()
