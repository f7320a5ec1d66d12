"""Crops of real footage, photos and drawn shapes to train the compressor on, each batch a function of seed and step."""
import os

import cv2
import numpy as np

from sources import build_cache, clip_paths, split_of

#: Of the clips held out in sources.py: the rooms and the kind of picture of these are in training, their clips (and people) are not.
SAME_DOMAIN = ["asl/again", "asl/brother", "asl/help", "asl/student", "asl/hungry"]
#: Scenes of which nothing is in training.
OTHER_DOMAIN = ["bigbuckbunny", "intel-car-detection", "sam2-01_dog", "sam2-04_coffee"]
SIZE = 256  # of the frames that are measured


def cached(cache, name):
    return np.load(os.path.join(cache, name.replace("/", "_") + ".npy"), mmap_mode="r")


def drawn_picture(random, palette, size=384):
    """Overlapping shapes of all sizes ("dead leaves"), shaded and grained: edges that the footage lacks, in colours of a real picture."""
    colours = palette.reshape(-1, 3).astype(np.float32)
    picture = np.zeros((size, size, 3), np.float32)
    picture[:] = colours[random.integers(len(colours))]
    for radius in np.sort(np.clip(6 / random.power(1.5, 120), 3, size / 2))[::-1]:
        mask, centre = np.zeros((size, size), np.uint8), random.uniform(0, size, 2)
        if random.random() < 0.5:
            axes, angle = np.maximum(1, radius * random.uniform(0.3, 1, 2)).astype(int).tolist(), random.uniform(0, 360)
            cv2.ellipse(mask, centre.astype(int).tolist(), axes, angle, 0, 360, 255, -1, cv2.LINE_AA)
        else:
            around = np.sort(random.uniform(0, 2 * np.pi, random.integers(3, 7)))
            corners = centre + radius * np.stack([np.cos(around), np.sin(around)], 1)
            cv2.fillPoly(mask, [corners.astype(np.int32)], 255, cv2.LINE_AA)
        shade = np.linspace(*random.uniform(-40, 40, 2), size, dtype=np.float32)
        fill = colours[random.integers(len(colours))] + (shade[:, None, None] if random.random() < 0.5 else shade[None, :, None])
        if random.random() < 0.4:
            grain = random.normal(0, random.uniform(4, 30), (size, size)).astype(np.float32)
            fill = fill + cv2.GaussianBlur(grain, (0, 0), random.uniform(0.6, 2.5))[..., None] * 2
        alpha = (mask.astype(np.float32) / 255)[..., None]
        picture = picture * (1 - alpha) + fill * alpha
    if random.random() < 0.5:
        picture = cv2.GaussianBlur(picture, (0, 0), random.uniform(0.5, 1.5))
    return np.clip(picture, 0, 255).astype(np.uint8)


class Crops:
    """Batches of [batch * time, 3, size, size] in [0, 1]; the frames of a pair stand next to each other."""

    #: How often a crop comes from: signing, other clips, photos, drawn pictures. So few codes cannot stand for everything:
    #: with many drawn pictures and strong colours, what real footage looks like loses a decibel or two.
    SHARES = [0.62, 0.18, 0.15, 0.05]

    def __init__(self, data, cache, seed, time):
        build_cache(data, cache)
        names = [name for name in clip_paths(data) if split_of(name) == "train"]
        self.signing = [cached(cache, name) for name in names if name.startswith("asl/")]
        self.others = [cached(cache, name) for name in names if not name.startswith("asl/")]
        self.photos = cached(cache, "photos")
        self.drawn = [drawn_picture(np.random.default_rng([seed, 1, i]), self.photos[i * 97 % len(self.photos)]) for i in range(16)]
        self.cache, self.seed, self.time = cache, seed, time

    def batch(self, step, count, size):
        random = np.random.default_rng([self.seed, 0, step])
        crops = np.concatenate([self._crop(random, size) for _ in range(count)])
        return np.ascontiguousarray(crops.transpose(0, 3, 1, 2))

    def _source(self, random):
        """A function from the time of a frame of the pair to the frame, and its size."""
        kind = random.choice(4, p=self.SHARES)
        if kind < 2:
            clips = self.signing if kind == 0 else self.others
            clip = clips[random.integers(len(clips))]
            first, step = random.integers(max(1, len(clip) - 5)), random.choice([1, 1, 1, 2, 3, 5]) * random.choice([-1, 1])
            return lambda t: clip[min(max(first + t * step, 0), len(clip) - 1)], clip.shape[1:3]
        pictures = self.photos if kind == 2 else self.drawn
        picture = pictures[random.integers(len(pictures))]
        return lambda t: picture, picture.shape[:2]

    def _crop(self, random, size):
        frame_at, (height, width) = self._source(random)
        side = int(np.clip(size * np.exp(random.uniform(0.1, 1.0)), size // 2, min(height, width)))
        y, x = random.uniform(0, height - side), random.uniform(0, width - side)
        drift = random.normal(0, 0.02 * side, 2) * (random.random() < 0.25)  # a camera that moves
        flip, transpose = random.random() < 0.5, random.random() < 0.1
        out = []
        for t in range(self.time):
            top, left = (int(np.clip(p + t * d, 0, n - side)) for p, d, n in zip((y, x), drift, (height, width)))
            part = np.ascontiguousarray(frame_at(t)[top:top + side, left:left + side])
            way = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
            part = cv2.resize(part, (size, size), interpolation=way).astype(np.float32) / 255
            part = part[:, ::-1] if flip else part
            out.append(part.transpose(1, 0, 2) if transpose else part)
        return self._colours(random, np.stack(out))

    @staticmethod
    def _colours(random, x):
        """A third of the crops in slightly other light."""
        if random.random() < 0.67:
            return x
        grey = x.mean(-1, keepdims=True)
        x = grey + (x - grey) * random.uniform(0.6, 1.3)
        x = (x - 0.5) * random.uniform(0.85, 1.15) + 0.5 + random.uniform(-0.08, 0.08)
        return np.clip(x, 0, 1).astype(np.float32)


def centred(frame):
    """Short side to 256 by area averaging, centre 256 x 256."""
    height, width = frame.shape[:2]
    scale = SIZE / min(height, width)
    size = (max(SIZE, round(width * scale)), max(SIZE, round(height * scale)))
    frame = cv2.resize(np.ascontiguousarray(frame), size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = (size[1] - SIZE) // 2, (size[0] - SIZE) // 2
    return frame[top:top + SIZE, left:left + SIZE]


def measured_frames(cache, name, count, time=1):
    """`count` moments of a clip, evenly spread, `time` successive frames each: uint8 [count * time, 256, 256, 3]."""
    clip = cached(cache, name)
    starts = np.linspace(0, len(clip) - time, count).astype(int)
    return np.stack([centred(clip[start + t]) for start in starts for t in range(time)])
