"""The motion task at the compressor's size: clips, the same pictures as codes, as decoded pixels and as JPEG of equal bytes, on disk.

An arm says what a network sees of the pictures: `codes-RATE`, `decoded-RATE`, `raw`, `jpeg-RATE` (scaled down so that a file of the same bytes looks
best) or `jpegfull-RATE` (not scaled: as few bytes as a quality of 1 or more needs). Every arm sees the same clips in the same
variants (turned, recoloured), so that what differs is what was kept of them.
"""
import os

import cv2
import numpy as np
import torch

from classes import IGNORE
from clips import make_clip
from compressor_export import load, weights_path
from dataset import _SPLIT_SEED, recoloured, turned
from sources import Footage

SIZE, FRAMES, SHARD = 256, 12, 64
CELL = 8  # pixels a side of what the network's first grid sees of a picture, at every rate
PAIR = 2  # frames of a step
VARIANTS = {"train": 2}  # of a clip; the others are seen as they are
HELD = 0.2  # of the variants: both frames of a pair are the first one, as in a store of twice the frame rate where every second step is read
FLOW = SIZE // 16  # cells a side of the local motion
UNKNOWN = 99.0
#: A clip of the motion task is rendered for 128 pixels; views of 1.5 times the size have the detail that 256 can hold.
FINER = 1.5


def path_of(work, kind, split, index, end):
    return os.path.join(work, kind, f"{split}-{index:04d}.{end}")


def _replace(target, save, *values, **arrays):
    """Writes a file beside its place, then moves it there. The name is this process's own: another training may be making the same shard."""
    part = f"{target}.{os.getpid()}.part{os.path.splitext(target)[1]}"
    os.makedirs(os.path.dirname(target), exist_ok=True)
    save(part, *values, **arrays)
    os.replace(part, target)


def clips_of(data, cache, work, split, index, seed=0):
    """Clips [SHARD, FRAMES, SIZE, SIZE, 3] and labels [SHARD, FRAMES] of a shard, rendered if they are not there yet."""
    target = path_of(work, "clips", split, index, "npy")
    if not os.path.exists(target):
        random = np.random.default_rng([seed, _SPLIT_SEED[split], index, SIZE])
        footage = Footage(data, cache, split)
        clips, labels = np.empty((SHARD, FRAMES, SIZE, SIZE, 3), np.uint8), np.empty((SHARD, FRAMES), np.int64)
        for i in range(SHARD):
            # Test clips hold every class equally often, in one clear motion each, as in dataset.py.
            label = None if split == "train" else i % 16
            clips[i], labels[i] = make_clip(random, footage, FRAMES, label, split != "train", split in ("train", "hard"), split == "test", SIZE, FINER)
        _replace(path_of(work, "clips", split, index, "labels.npy"), np.save, labels)
        _replace(target, np.save, clips)
    return np.load(target, mmap_mode="r"), np.load(path_of(work, "clips", split, index, "labels.npy"))


def variant_of(clip, labels, split, index, i, variant):
    """A clip as every arm sees it, and its labels: a function of its place and the variant's number."""
    if split != "train":
        return np.array(clip), labels
    random = np.random.default_rng([7, index, i, variant])
    clip, labels = turned(recoloured(np.array(clip), random), labels, random)
    if random.random() < HELD:
        clip = np.repeat(clip[::PAIR], PAIR, axis=0)
    return np.ascontiguousarray(clip), labels


def variants(data, cache, work, split, index):
    """All variants of a shard's clips, one by one."""
    clips, labels = clips_of(data, cache, work, split, index)
    for i in range(SHARD):
        for variant in range(VARIANTS.get(split, 1)):
            yield variant_of(clips[i], labels[i], split, index, i, variant)


def local_motion(clip, flow):
    """How the content moved since the previous step, [steps, 2, FLOW, FLOW], in cells of 8 pixels."""
    grey = [cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (SIZE // 2, SIZE // 2), interpolation=cv2.INTER_AREA) for frame in clip[PAIR - 1::PAIR]]
    out = np.full((len(grey), 2, FLOW, FLOW), UNKNOWN, np.float16)
    for t in range(1, len(grey)):
        back = flow.calc(grey[t], grey[t - 1], None)
        out[t] = -cv2.resize(back, (FLOW, FLOW), interpolation=cv2.INTER_AREA).transpose(2, 0, 1) * (2 / CELL)
    return out


def make_targets(data, cache, work, split, index):
    """Labels of each step (those of its last frame) and the local motion of every variant of a shard."""
    target = path_of(work, "targets", split, index, "npz")
    if os.path.exists(target):
        return
    flow, labels, motion = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST), [], []
    for clip, marks in variants(data, cache, work, split, index):
        labels.append(np.concatenate([[IGNORE], marks[PAIR - 1::PAIR][1:]]))
        motion.append(local_motion(clip, flow))
    _replace(target, np.savez, labels=np.stack(labels), flow=np.stack(motion))


@torch.no_grad()
def make_codes(data, cache, work, split, index, rate, weights):
    """Codes of every variant: [variants, steps, rows, columns, codebooks], as a store has them."""
    target = path_of(work, f"codes-{rate}", split, index, "npz")
    if os.path.exists(target):
        return
    net, _ = load(weights_path(weights, rate))
    found = []
    for clip, _ in variants(data, cache, work, split, index):
        x = torch.from_numpy(clip).permute(0, 3, 1, 2).float().div_(255)
        found.append(net.encode(x).numpy().astype(np.uint16 if rate == "30" else np.uint8))
    _replace(target, np.savez, codes=np.stack(found))


def bytes_of_frame(rate):
    """What a frame may take so that it takes no more than codes do: CR 192 is 1,024 bytes of 256 x 256."""
    return SIZE * SIZE * 3 / {"30": 384 / 13, "192": 192, "384": 384}[rate]


def _finest(frame, side, budget):
    """The best JPEG of a frame scaled to `side` that fits; the lowest quality where none does."""
    small = cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA) if side < SIZE else frame
    small = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    encode = lambda q: cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, q, cv2.IMWRITE_JPEG_OPTIMIZE, 1])[1]  # noqa: E731
    low, high, best = 1, 96, encode(1)
    while high - low > 1:
        middle = (low + high) // 2
        data = encode(middle)
        if len(data) <= budget:
            low, best = middle, data
        else:
            high = middle
    return best


def from_jpeg(data):
    """A JPEG's bytes as a frame of SIZE x SIZE, RGB."""
    frame = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return cv2.resize(frame, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) if frame.shape[0] < SIZE else frame


SIDES = (SIZE, SIZE // 2, SIZE * 3 // 8, SIZE // 4, SIZE // 8)


def to_jpeg(clip, budget, sides=SIDES):
    """Each frame as a JPEG file of at most `budget` bytes (4:2:0, tables made for it), of the side that gives the first frame the best PSNR.

    Where no quality is low enough, the lowest: then a file has more bytes.
    """
    def error(side):
        data = _finest(clip[0], side, budget)
        return np.square(from_jpeg(data).astype(np.float32) - clip[0]).mean() + (1e9 if len(data) > budget else 0)
    side = min(sides, key=error)
    return [_finest(frame, side, budget) for frame in clip]


def make_jpeg(data, cache, work, split, index, kind, rate):
    target = path_of(work, f"{kind}-{rate}", split, index, "npz")
    if os.path.exists(target):
        return
    sides = SIDES if kind == "jpeg" else (SIZE,)
    files = [file for clip, _ in variants(data, cache, work, split, index) for file in to_jpeg(clip, bytes_of_frame(rate), sides)]
    _replace(target, np.savez, bytes=np.concatenate(files), ends=np.cumsum([len(file) for file in files]))


def make_shard(data, cache, work, weights, arm, split, index):
    """Everything of a shard that an arm needs."""
    make_targets(data, cache, work, split, index)
    kind, _, rate = arm.partition("-")
    if kind in ("codes", "decoded"):
        make_codes(data, cache, work, split, index, rate, weights)
    if kind in ("jpeg", "jpegfull"):
        make_jpeg(data, cache, work, split, index, kind, rate)


def picture_of(work, arm, number):
    """The raw clip [FRAMES, SIZE, SIZE, 3] of an arm's clip of that number."""
    (shard, i), count = arm.place(number), VARIANTS.get(arm.split, 1)
    index = arm.indices[shard]
    clips = np.load(path_of(work, "clips", arm.split, index, "npy"), mmap_mode="r")
    return variant_of(clips[i // count], np.zeros(FRAMES, np.int64), arm.split, index, i // count, i % count)[0]


class Arm:
    """What an arm sees of the finished shards of a split, clip by clip."""

    def __init__(self, work, weights, arm, split):
        self.work, self.arm, self.split = work, arm, split
        self.kind, _, self.rate = arm.partition("-")
        folder = {"codes": f"codes-{self.rate}", "decoded": f"codes-{self.rate}", "jpeg": arm, "jpegfull": arm, "raw": "targets"}[self.kind]
        names = sorted(os.listdir(os.path.join(work, folder)))
        self.indices = [int(n[len(split) + 1:-4]) for n in names if n.startswith(f"{split}-") and not n.endswith(".part.npz")]
        if not self.indices:
            raise SystemExit(f"{work}/{folder} holds no shard of {split}; make some with codes_train.py --only-data")
        targets = [np.load(path_of(work, "targets", split, i, "npz")) for i in self.indices]
        self.labels, self.flow = [t["labels"] for t in targets], [t["flow"] for t in targets]
        self.parts = [] if self.kind == "raw" else [dict(np.load(path_of(work, folder, split, i, "npz"))) for i in self.indices]
        self.decoder = load(weights_path(weights, self.rate))[0] if self.kind == "decoded" else None

    def __len__(self):
        return sum(map(len, self.labels))

    def place(self, number):
        """Shard and place in it of a clip by its number."""
        each = len(self.labels[0])
        return number // each, number % each

    def read(self, number, first, steps):
        """Of a clip: its codes [steps (x 2), rows, columns, codebooks] or frames [2 steps, SIZE, SIZE, 3], labels [steps], flow [steps, 2, F, F]."""
        shard, i = self.place(number)
        marks = self.labels[shard][i][first:first + steps].copy()
        marks[0] = IGNORE
        flow = self.flow[shard][i][first:first + steps].copy()
        flow[0] = UNKNOWN
        return self._seen(shard, i, first, steps), marks, flow

    @torch.no_grad()
    def _seen(self, shard, i, first, steps):
        frames = slice(PAIR * first, PAIR * (first + steps))
        if self.kind == "raw":
            return picture_of(self.work, self, shard * len(self.labels[0]) + i)[frames]
        part = self.parts[shard]
        if self.kind in ("jpeg", "jpegfull"):
            ends = np.concatenate([[0], part["ends"]])
            at = i * FRAMES
            return np.stack([from_jpeg(part["bytes"][ends[at + t]:ends[at + t + 1]]) for t in range(frames.start, frames.stop)])
        codes = part["codes"][i][frames if self.rate == "30" else slice(first, first + steps)]
        if self.kind == "codes":
            return codes
        out = self.decoder.decode(torch.from_numpy(codes.astype(np.int64)))
        return out.clamp(0, 1).mul(255).round().permute(0, 2, 3, 1).numpy().astype(np.uint8)

    def batch(self, random, count, steps):
        """Random clips: what is seen [count, ...], labels [count, steps], flow [count, steps, 2, F, F]."""
        chosen = [self.read(self._pick(random), int(random.integers(FRAMES // PAIR - steps + 1)), steps) for _ in range(count)]
        return tuple(np.stack(part) for part in zip(*chosen))

    def _pick(self, random):
        """A clip; camera motions, the largest group, more often than still and subjects, as in dataset.py."""
        while True:
            number = int(random.integers(len(self)))
            shard, i = self.place(number)
            last = self.labels[shard][i, -1]
            if random.random() < (0.4 if last in (0, 16) else 0.6 if last >= 10 else 1.0):
                return number
