"""Scenes that never were: pieces of many real pictures, in the manner of the dead leaves model.

Motion looks the same whatever it is that moves, but a network trained on a dozen rooms learns the rooms.
A collage keeps real texture and its scale statistics (piece sizes follow a power law, as occluding
objects do: Lee, Mumford, Huang 2001) and shares its layout with nothing that is filmed.
"""
import cv2
import numpy as np

HEIGHT, WIDTH = 360, 480


def _ramp(random, height, width):
    """Two colours with a gradient between them: walls, skies, shadows."""
    a, b = random.uniform(0, 255, (2, 3))
    angle = random.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:height, 0:width]
    t = (np.cos(angle) * x / width + np.sin(angle) * y / height)[..., None]
    t = (t - t.min()) / max(1e-6, np.ptp(t))
    return (a + (b - a) * t * random.uniform(0.1, 1)).astype(np.uint8)


def _pattern(random, height, width):
    """Stripes, checks or cloud noise over a colour ramp."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    period, angle = np.exp(random.uniform(np.log(5), np.log(60))), random.uniform(0, np.pi)
    kind = random.integers(3)
    if kind == 2:
        cloud = np.zeros((height, width), np.float32)
        for cell in (4, 8, 16, 32, 64):
            small = random.standard_normal((height // cell + 2, width // cell + 2)).astype(np.float32)
            cloud += cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC) * cell**random.uniform(0.3, 1)
        wave = cloud / cloud.std() / 2
    else:
        wave = np.sin(2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / period)
        if kind == 1:
            wave *= np.sin(2 * np.pi * (np.sin(angle) * x - np.cos(angle) * y) / period)
        wave = np.clip(wave * random.uniform(0.7, 6), -1, 1)
    return np.clip(_ramp(random, height, width) + wave[..., None] * random.uniform(-70, 70, 3), 0, 255).astype(np.uint8)


def _texture(random, picture, height, width):
    """A piece [height, width, 3] of some picture, turned, scaled and recoloured, or a made texture."""
    draw = random.random()
    if draw < 0.12:
        return _ramp(random, height, width)
    if draw < 0.22:
        return _pattern(random, height, width)
    source = picture(random)
    rows, columns = source.shape[:2]
    scale = np.exp(random.uniform(np.log(0.7), np.log(2.5)))
    angle = random.normal(0, 25)
    matrix = cv2.getRotationMatrix2D((random.uniform(0.2, 0.8) * columns, random.uniform(0.2, 0.8) * rows), angle, scale)
    matrix[:, 2] += np.array([width / 2, height / 2]) - matrix[:, :2] @ [columns / 2, rows / 2] - matrix[:, 2]
    piece = cv2.warpAffine(np.ascontiguousarray(source), matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    if random.random() < 0.6:
        gain, lift = random.uniform(0.5, 1.6, 3), random.uniform(-60, 60)
        piece = np.clip(piece[:, :, random.permutation(3)] * gain + lift, 0, 255).astype(np.uint8)
    return piece


def _shape(random, height, width):
    """Mask [height, width] in 0..1 of a lump, a polygon, a bar or an ellipse, touching its box."""
    mask = np.zeros((height, width), np.float32)
    kind = random.integers(4)
    if kind == 0:
        cv2.ellipse(mask, (width // 2, height // 2), (width // 2, height // 2), 0, 0, 360, 1.0, -1)
    elif kind == 1:
        return np.ones((height, width), np.float32)
    else:
        corners = int(random.integers(3, 7)) if kind == 2 else 40
        angle = np.sort(random.uniform(0, 2 * np.pi, corners))
        radius = np.ones(corners) if kind == 2 else 1 + sum(
            random.uniform(-0.4, 0.4) / w * np.cos(w * angle + random.uniform(0, 6)) for w in (2, 3, 4))
        points = np.stack([np.cos(angle) * radius, np.sin(angle) * radius], 1)
        points = points / np.abs(points).max() * [width / 2, height / 2] + [width / 2, height / 2]
        cv2.fillPoly(mask, [np.int32(points)], 1.0)
    return cv2.GaussianBlur(mask, (0, 0), random.uniform(0.4, 1.5)) if random.random() < 0.7 else mask


def _piece(random, picture):
    """Texture, mask and place of one piece; sizes by a power law between 5 % and 80 % of the height."""
    size = HEIGHT * (1 / (1 / 0.05**1.2 + random.random() * (1 / 0.8**1.2 - 1 / 0.05**1.2)))**(1 / 1.2)
    aspect = np.exp(random.uniform(-1.1, 1.1))
    height, width = max(6, int(size / aspect**0.5)), max(6, int(size * aspect**0.5))
    return (_texture(random, picture, height, width), _shape(random, height, width)[..., None],
            np.array([random.uniform(-0.1, 1) * WIDTH, random.uniform(-0.1, 1) * HEIGHT]))


def _put(canvas, texture, mask, place):
    x, y = int(round(place[0])), int(round(place[1]))
    height, width = texture.shape[:2]
    top, left, bottom, right = max(0, y), max(0, x), min(HEIGHT, y + height), min(WIDTH, x + width)
    if top >= bottom or left >= right:
        return
    part = (slice(top - y, bottom - y), slice(left - x, right - x))
    area = canvas[top:bottom, left:right]
    area[:] = (area + (texture[part].astype(np.float32) - area) * mask[part]).astype(np.uint8)


def collage(random, picture, count):
    """`count` frames [360, 480, 3] of one collage; in a quarter of them up to four pieces move."""
    canvas = _texture(random, picture, HEIGHT, WIDTH).copy()
    for _ in range(int(np.exp(random.uniform(np.log(3), np.log(90))))):
        _put(canvas, *_piece(random, picture))
    if random.random() < 0.75:
        return [canvas] * count
    movers = [(*_piece(random, picture), random.normal(0, 4, 2)) for _ in range(random.integers(1, 5))]
    frames = []
    for t in range(count):
        frame = canvas.copy()
        for texture, mask, place, speed in movers:
            _put(frame, texture, mask, place + speed * t)
        frames.append(frame)
    return frames
