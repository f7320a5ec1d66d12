"""The real footage: where it lies, how it is split by source, and a decoded cache of it."""
import glob
import os
import tarfile

import cv2
import numpy as np

from collage import collage

#: Held out whole, never seen in training: an unseen person (again, brother, help, student: his room is
#: seen with other people), an unseen person and room (hungry), and five unseen scenes.
TEST_CLIPS = ["asl/again", "asl/brother", "asl/help", "asl/student", "asl/hungry", "bigbuckbunny",
              "intel-car-detection", "sam2-01_dog", "sam2-04_coffee"]
#: Used to choose between training runs: one person of the training room, one scene.
VALIDATION_CLIPS = ["asl/eat", "asl/night", "asl/sister", "sam2-05_default_juggle"]
MODEL_FPS = 15.0
PHOTO_STEP = 4  # every fourth gesture photo is enough: neighbours are frames of one video


def frame_stride(fps):
    """Frames to advance per model frame, so that the model sees about 15 frames a second."""
    return max(1, int(round(fps / MODEL_FPS)))


def clip_paths(data):
    """All clips as {name: path}, names without folder prefix or extension."""
    root = os.path.join(data, "clips")
    found = sorted(glob.glob(os.path.join(root, "**", "*.mp4"), recursive=True))
    return {os.path.relpath(path, root)[:-4]: path for path in found}


def split_of(name):
    return "test" if name in TEST_CLIPS else "validation" if name in VALIDATION_CLIPS else "train"


def read_clip(path, height=None):
    """Every frame of a file as RGB uint8 [n, H, W, 3] and its frame rate; optionally scaled down."""
    reader = cv2.VideoCapture(path)
    fps, frames = reader.get(cv2.CAP_PROP_FPS), []
    while True:
        good, frame = reader.read()
        if not good:
            break
        if height and frame.shape[0] > height:
            width = int(round(frame.shape[1] * height / frame.shape[0]))
            frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
        frames.append(frame[:, :, ::-1])
    if not frames:
        raise SystemExit(f"{path}: no frame could be decoded; check the file and OpenCV's codecs")
    return np.stack(frames), fps


def build_cache(data, cache):
    """Decodes clips (at most 480 rows) and photos once into .npy files that workers map."""
    os.makedirs(cache, exist_ok=True)
    for name, path in clip_paths(data).items():
        target = os.path.join(cache, name.replace("/", "_") + ".npy")
        if not os.path.exists(target):
            frames, fps = read_clip(path, 480)
            np.save(target + ".part.npy", frames)
            np.save(target + ".fps", np.array(fps))
            os.replace(target + ".part.npy", target)
    target = os.path.join(cache, "photos.npy")
    if not os.path.exists(target):
        archive = tarfile.open(os.path.join(data, "gesture-images", "custom-gesture-224x168.tar"))
        names = sorted(n for n in archive.getnames() if n.endswith(".jpg"))[::PHOTO_STEP]
        photos = [cv2.imdecode(np.frombuffer(archive.extractfile(n).read(), np.uint8), 1) for n in names]
        np.save(target, np.stack([p[:, :, ::-1] for p in photos if p.shape == photos[0].shape]))


class Footage:
    """The cached sources of one split: random bases for rendering."""

    def __init__(self, data, cache, split):
        self.clips = []
        self.natural = split in ("test", "busy")  # as filmed: forward, at its own speed
        for name in clip_paths(data):
            if split_of(name) == ("test" if split in ("busy", "hard") else split):
                path = os.path.join(cache, name.replace("/", "_") + ".npy")
                self.clips.append((name, np.load(path, mmap_mode="r"), float(np.load(path + ".fps.npy"))))
        # The photos show one room: they are all training material, so that no test shares it.
        self.photos = np.load(os.path.join(cache, "photos.npy"), mmap_mode="r") if split == "train" else None
        rooms = [0.25 if name.startswith("asl/") else 1.0 for name, _, _ in self.clips]
        self.weights = np.array(rooms) / np.sum(rooms)

    def base(self, random, count):
        """A list of `count` frames: a moving clip, one frame repeated, or (training) a collage of many."""
        if self.photos is not None and random.random() < 0.45:
            return collage(random, self.picture, count)
        if self.photos is not None and random.random() < 0.25:
            photo = self.photos[random.integers(len(self.photos))]
            return [cv2.resize(photo, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)] * count
        _, frames, fps = self.clips[random.choice(len(self.clips), p=self.weights)]
        step = frame_stride(fps) * (1 if self.natural else random.choice([0.5, 1, 1, 1, 1, 1.5, 2]))
        start = random.uniform(0, max(1, len(frames) - step * count))
        index = np.minimum((start + step * np.arange(count)).astype(int), len(frames) - 1)
        if random.random() < 0.25:
            index[:] = index[0]
        elif random.random() < 0.3 and not self.natural:
            index = index[::-1]
        return [frames[i] for i in index]

    def picture(self, random):
        """One real picture: a frame of a clip or a photo."""
        if self.photos is not None and random.random() < 0.5:
            return self.photos[random.integers(len(self.photos))]
        frames = self.clips[random.choice(len(self.clips), p=self.weights)][1]
        return frames[random.integers(len(frames))]
