"""Shards of rendered clips on disk, made by worker processes with one seed per shard, and a loader."""
import os
import queue
import threading
from multiprocessing import get_context

import cv2
import numpy as np
import torch

from classes import CAMERA_COUNT, CAMERA_STILL, IGNORE, STILL, symmetry_tables
from clips import SIZE, make_clip
from model import INPUT
from sources import Footage

SHARD, FRAMES = 128, 12
SEEN = 10  # frames of a clip that a training step sees: as far back as ten shifts reach
_SPLIT_SEED = {"train": 1, "validation": 2, "test": 3, "busy": 3, "hard": 4}


def _make_shard(task):
    data, cache, folder, split, index, seed = task
    target = os.path.join(folder, f"{split}-{index:04d}")
    if os.path.exists(target + ".labels.npy"):
        return index
    random = np.random.default_rng([seed, _SPLIT_SEED[split], index])
    footage = Footage(data, cache, split)
    clips = np.empty((SHARD, FRAMES, SIZE, SIZE, 3), np.uint8)
    labels = np.empty((SHARD, FRAMES), np.int64)
    for i in range(SHARD):
        # The others hold every class equally often, in one clear motion per clip.
        label = None if split == "train" else i % 16
        clips[i], labels[i] = make_clip(random, footage, FRAMES, label, split != "train", split in ("train", "hard"),
                                         split == "test")
    np.save(target + ".clips.npy", clips)
    np.save(target + ".labels.npy", labels)
    return index


def make_shards(data, cache, folder, split, count, seed, workers):
    """Renders shards 0..count-1 of a split that are not there yet."""
    os.makedirs(folder, exist_ok=True)
    tasks = [(data, cache, folder, split, index, seed) for index in range(count)]
    with get_context("spawn").Pool(workers) as pool:
        for index in pool.imap_unordered(_make_shard, tasks):
            if index % 16 == 15:
                print(f"{split}: shard {index + 1} of {count}", flush=True)


def open_shards(folder, split):
    """All finished shards of a split: a list of (memory-mapped clips, labels)."""
    names = sorted(n[:-11] for n in os.listdir(folder) if n.startswith(split) and n.endswith(".labels.npy"))
    return [(np.load(os.path.join(folder, n + ".clips.npy"), mmap_mode="r"),
             np.load(os.path.join(folder, n + ".labels.npy"))) for n in names]


def turned(clip, labels, random):
    """One of the eight symmetries of the square, with the labels that it swaps."""
    mirror, upside_down, transpose = symmetry_tables()
    known = labels >= 0
    labels = labels.copy()
    if random.random() < 0.5:
        clip = clip[:, :, ::-1]
        labels[known] = mirror[labels[known]]
    if random.random() < 0.3:
        clip = clip[:, ::-1]
        labels[known] = upside_down[labels[known]]
    if random.random() < 0.3:
        clip = clip.transpose(0, 2, 1, 3)
        labels[known] = transpose[labels[known]]
    return clip, labels


def recoloured(clip, random):
    """Half of the time other colours: channels swapped, and a curve for each."""
    if random.random() < 0.5:
        return clip
    level = np.arange(256) / 255
    curves = [255 * np.clip(random.uniform(0.6, 1.3) * level**random.uniform(0.6, 1.6) + random.uniform(-0.1, 0.1), 0, 1)
              for _ in range(3)]
    order = random.permutation(3)
    return np.stack([np.uint8(curve)[clip[..., channel]] for curve, channel in zip(curves, order)], -1)


def to_input(clip, size=INPUT):
    """A rendered clip [n, SIZE, SIZE, 3] at the network's size."""
    if clip.shape[1] == size:
        return np.array(clip)
    return np.stack([cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA) for frame in clip])


def seen(clip, labels, random, size=INPUT):
    """SEEN frames from a random start, half of the time without a random eighth of the picture."""
    start = random.integers(FRAMES - SEEN + 1)
    clip, labels = clip[start:start + SEEN], labels[start:start + SEEN].copy()
    labels[0] = IGNORE
    if random.random() < 0.5:
        kept = SIZE * 7 // 8
        top, left = random.integers(SIZE - kept + 1, size=2)
        clip = clip[:, top:top + kept, left:left + kept]
    return to_input(clip, size), labels


def local_motion(clip, flow):
    """Motion of the content since the previous frame [n, 2, S / 4, S / 4] in pixels; NaN-free, 99 = unknown."""
    grey = [cv2.GaussianBlur(cv2.cvtColor(np.ascontiguousarray(f), cv2.COLOR_RGB2GRAY), (0, 0), 0.8) for f in clip]
    cells = clip.shape[1] // 4
    out = np.full((len(clip), 2, cells, cells), 99, np.float32)
    for t in range(1, len(clip)):
        back = flow.calc(grey[t], grey[t - 1], None)
        out[t] = -cv2.resize(back, (cells, cells), interpolation=cv2.INTER_AREA).transpose(2, 0, 1)
    return out


class Batches:
    """Random batches, prepared by a thread: clips [n, SEEN, S, S, 3] uint8, labels [n, SEEN] and
    local motion [n, SEEN, 2, S / 4, S / 4]; S = size_of(number of the batch, from `first` on)."""

    def __init__(self, folder, batch, seed, shuffle_time=False, first=0, size_of=lambda number: INPUT):
        self.folder, self.batch, self.shuffle_time = folder, batch, shuffle_time
        self.first, self.size_of = first, size_of
        self.random = np.random.default_rng(seed)
        self.queue = queue.Queue(maxsize=6)
        threading.Thread(target=self._fill, daemon=True).start()

    def _fill(self):
        round_number, flow = 0, cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        while True:
            if round_number % 200 == 0:
                shards = open_shards(self.folder, "train")
            size = self.size_of(self.first + round_number)
            round_number += 1
            clips, labels, flows = [], [], []
            for _ in range(self.batch):
                frames, marks = shards[self.random.integers(len(shards))]
                index = self._pick(marks)
                clip, mark = seen(frames[index], marks[index], self.random, size)
                clip, mark = turned(recoloured(clip, self.random), mark, self.random)
                if self.shuffle_time:
                    clip = clip[self.random.permutation(len(clip))]
                clips.append(clip)
                labels.append(mark)
                flows.append(local_motion(clip, flow))
            self.queue.put(tuple(torch.from_numpy(np.stack(part)) for part in (clips, labels, flows)))

    def _pick(self, marks):
        """A clip of the shard; camera motions, the largest group, more often than still and subjects."""
        while True:
            index = self.random.integers(len(marks))
            last = marks[index, -1]
            share = 0.4 if last in (STILL, CAMERA_STILL) else 0.6 if last >= CAMERA_COUNT else 1.0
            if self.random.random() < share:
                return index

    def next(self):
        return self.queue.get()
