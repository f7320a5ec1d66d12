"""One labelled clip: which class, from which base, along which path, and what is put in front."""
import cv2
import numpy as np

from classes import CAMERA_COUNT, CAMERA_STILL, IGNORE, STILL
from paths import camera_path, subject_path
from render import carry, encode, expose, place, poses_of, recolour

SIZE = 128  # of the rendered clips unless told otherwise; the network sees INPUT
JUDGED = 7  # a window of 8 frames is judged at its last
#: How often a clip is still, shake, one of the eight directions, one of the six subject motions.
_SHARES = np.array([0.24] + [0.042] * 8 + [0.05] + [0.0625] * 6)


def outline(random, size):
    """A soft mask [size, size] in 0..1 of a lump, often with an arm: hands and objects have no one shape."""
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    radius = np.ones(72)
    for wave in range(2, 7):
        radius += random.uniform(-0.3, 0.3) / wave * 1.6 * np.cos(wave * angle + random.uniform(0, 2 * np.pi))
    stretch, turn = random.uniform(0.55, 1.0), random.uniform(0, np.pi)
    x, y = radius * np.cos(angle), radius * np.sin(angle) * stretch
    points = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], 1)
    points *= size * 0.46 / np.abs(points).max()
    mask = np.zeros((size, size), np.float32)
    cv2.fillPoly(mask, [np.int32(points + size / 2)], 1.0)
    if random.random() < 0.4:
        end = size / 2 + size * np.array([np.cos(turn * 2), np.sin(turn * 2)])
        cv2.line(mask, (size // 2, size // 2), tuple(int(v) for v in end), 1.0, int(size * random.uniform(0.15, 0.4)))
    return cv2.GaussianBlur(mask, (0, 0), random.uniform(0.6, 2.5))


def put_in_front(random, clip, frames, steps, area, turn):
    """Moves a cut-out of `frames` over `clip` along steps [n - 1, 3], turning it by `turn` a frame; the clip and areas [n]."""
    count, size = clip.shape[0], clip.shape[1]
    extent = size * np.sqrt(area / 0.5)  # a lump covers about half of its square
    height, width = frames[0].shape[:2]
    take = min(height, width) * random.uniform(0.4, 0.95)
    corner = random.uniform(0, 1, 2) * (np.array([width, height]) - take)
    texture = [frame[int(corner[1]):int(corner[1] + take), int(corner[0]):int(corner[0] + take)] for frame in frames]
    mask, grain = outline(random, 160), 160
    travel = np.concatenate([[[0, 0, 0]], np.cumsum(steps, axis=0)])
    middle = random.uniform(0.3, 0.7, 2) - travel[:, :2].mean(axis=0)
    scale0 = -travel[:, 2].mean()
    out, areas = np.empty_like(clip), np.empty(count)
    for t in range(count):
        scale = extent * np.exp(travel[t, 2] + scale0) / grain
        x, y = (middle + travel[t, :2]) * size
        cos, sin = scale * np.cos(turn * (t - count / 2)), scale * np.sin(turn * (t - count / 2))
        matrix = np.float32([[cos, -sin, x - (cos - sin) * grain / 2], [sin, cos, y - (sin + cos) * grain / 2]])
        patch = cv2.resize(texture[t], (grain, grain), interpolation=cv2.INTER_AREA)
        alpha = cv2.warpAffine(mask, matrix, (size, size))[:, :, None]
        moved = cv2.warpAffine(patch, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
        out[t] = clip[t] * (1 - alpha) + moved * alpha
        areas[t] = alpha.mean()
    return out, areas


def own_motion(clip):
    """Share of the picture that changes between frames two apart: [n]; zero for the first two."""
    grey = np.stack([cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), (48, 48), interpolation=cv2.INTER_AREA)
                     for f in np.clip(clip, 0, 255).astype(np.uint8)]).astype(np.float32)
    change = np.zeros(len(clip))
    change[2:] = (np.abs(grey[2:] - grey[:-2]) > 10).mean(axis=(1, 2))
    return change


def texture(frame, view):
    """Share of the 4 x 4 cells of a view that hold any structure: a blank wall has no motion to see."""
    side, x, y = view
    half = int(side / 2)
    part = frame[max(0, int(y) - half):int(y) + half, max(0, int(x) - half):int(x) + half]
    grey = cv2.resize(cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
    return float((grey.reshape(4, 8, 4, 8).astype(np.float32).std(axis=(1, 3)) > 5).mean())


def _view(random, footage, poses, count, plain, least_texture):
    """A base and a place on it where the whole path fits; tries until one is found."""
    while True:
        frames = footage.base(random, count)
        height, width = frames[0].shape[:2]
        side = min(height, width) * (random.uniform(0.85, 0.97) if plain else random.uniform(0.45, 0.95))
        view = place(random, poses, height, width, side)
        if view and view[0] > 70 and texture(frames[0], view) >= least_texture:
            return frames, view


def _steps_for(random, label, count, steady):
    """Steps and labels; a steady path is clear in the sense of classes.CLEAR where it is judged."""
    if label >= CAMERA_COUNT:
        return camera_path(random, STILL, count - 1, change=False)
    if not steady:
        return camera_path(random, label, count - 1, change=random.random() < 0.35)
    while True:
        steps, labels = camera_path(random, label, count - 1, change=False, clear=1.0)
        if labels[JUDGED] == label:
            return steps, labels


RESTING = 0.03  # less of the picture than this changes by itself in a scene that stands still


def _background(random, footage, poses, count, plain, least, calm, detail):
    """The view carried along the path [count, size, size, 3], and the share of it that moves by itself [count]."""
    while True:
        frames, view = _view(random, footage, poses, count, plain, least)
        size = int(random.choice([128, 160, 192, 224, 256], p=[0.3, 0.25, 0.2, 0.15, 0.1]))
        clip = recolour(random)(carry(random, frames, poses, view, int(size * detail)))
        busy = own_motion(clip)
        if not calm or busy.max() <= RESTING:
            return clip, busy


def make_clip(random, footage, count, label=None, steady=False, harsh=True, calm=False, side=SIZE, detail=1.0):
    """One clip [count, side, side, 3] uint8 RGB with its labels [count].

    `steady` gives test clips: one clear motion from first to last, no change of motion. `harsh` lets in
    views without structure, strong noise, rates at which the codec itself invents motion, and something
    that moves across in front of a moving camera. `calm` puts subjects in front of scenes that stand still only.
    Views are made for SIZE pixels; `detail` times as fine, they are sharp at a larger `side`.
    """
    label = int(random.choice(len(_SHARES), p=_SHARES / _SHARES.sum())) if label is None else label
    if label == STILL and not steady and random.random() < 0.35:
        return _unaltered(random, footage, count, side)
    steps, labels = _steps_for(random, label, count, steady)
    poses = poses_of(steps, random.uniform(-0.15, 0.15) if random.random() < 0.7 else 0.0)
    least = 0.5 if not harsh else 0.0 if random.random() < 0.1 else 0.3
    subject = label >= CAMERA_COUNT
    clip, busy = _background(random, footage, poses, count, label == STILL or subject, least, calm and subject, detail)
    if subject or (harsh and random.random() < (0.2 if steady or label != STILL else 0.45)):
        clip, labels = _with_subject(random, footage, clip, labels, label, steady)
    resting = (labels == STILL) & (steps_are_quiet(steps)) & (busy > RESTING)
    labels = np.where(resting, CAMERA_STILL, labels)
    clip = encode(random, expose(random, clip, harsh), harsh)
    method = cv2.INTER_AREA if random.random() < 0.6 else cv2.INTER_LINEAR
    return np.stack([cv2.resize(frame, (side, side), interpolation=method) for frame in clip]), labels


def _unaltered(random, footage, count, side):
    """Footage as it is: the centre square of a still camera's clip, half of the time recompressed."""
    frames = footage.base(random, count)
    height, width = frames[0].shape[:2]
    cut, left = min(height, width), random.integers(0, max(1, width - min(height, width)))
    left = left if random.random() < 0.5 else (width - cut) // 2
    clip = np.stack([np.ascontiguousarray(frame[:cut, left:left + cut]) for frame in frames])
    labels = np.where(own_motion(clip) > RESTING, CAMERA_STILL, STILL)
    labels[0] = IGNORE
    if random.random() < 0.5:
        size = int(random.choice([128, 192, 256]))
        clip = encode(random, np.stack([cv2.resize(f, (size, size), interpolation=cv2.INTER_AREA) for f in clip]))
    method = cv2.INTER_AREA if random.random() < 0.6 else cv2.INTER_LINEAR
    return np.stack([cv2.resize(frame, (side, side), interpolation=method) for frame in clip]), labels


def steps_are_quiet(steps):
    return np.concatenate([[True], np.all(np.abs(steps) < 0.003, axis=1)])


def _with_subject(random, footage, clip, labels, label, steady):
    """Puts a subject in front: the class itself, or a distraction in a clip of the camera group."""
    count = len(clip)
    subject = label if label >= CAMERA_COUNT else None
    area = random.uniform(0.1 if steady else 0.05, 0.45) if subject else random.uniform(0.02, 0.2)
    if subject is None and labels.max() > STILL and random.random() < 0.5:
        subject = int(random.integers(CAMERA_COUNT, 16))  # moves by itself while the camera moves
    steps, moves = subject_path(random, subject, count - 1, 0.075 if steady else 0.13)
    if steady and subject:
        steps, moves = _steadied(steps, moves, label)
    turn = 0.0 if steady else _turn(random, subject)
    if turn and subject is None and label == STILL:
        moves = np.where(moves == STILL, CAMERA_STILL, moves)
        area = random.uniform(0.05, 0.6)
    clip, areas = _visibly(random, clip, footage, steps, area, turn)
    if label >= CAMERA_COUNT:
        labels = np.where((moves == label) & (areas < (0.05 if steady else 0.5 * area)), CAMERA_STILL, moves)
    elif label == STILL:
        labels = np.where(labels == STILL, moves, labels)
    return clip, labels


def _turn(random, subject):
    """Radians a frame: what turns in front of a still camera, as a kettle that pours, is no rolling camera."""
    if subject is not None:
        return random.normal(0, 0.01) if random.random() < 0.3 else 0.0
    return random.choice([-1, 1]) * np.exp(random.uniform(np.log(0.01), np.log(0.12))) if random.random() < 0.5 else 0.0


def _visibly(random, clip, footage, steps, area, turn):
    """Puts something in front that differs from what is behind it; tries four times."""
    for _ in range(4):
        result, areas = put_in_front(random, clip, footage.base(random, len(clip)), steps, area, turn)
        middle = len(clip) // 2
        if np.abs(result[middle] - clip[middle]).mean() > 14 * areas[middle]:
            break
    return result, areas


def _steadied(steps, moves, label):
    moving = np.abs(steps).max(axis=1) >= 0.008
    if not moving.any():
        return steps * (0.01 / np.abs(steps).max()), np.full(len(steps) + 1, label)
    steps = np.where(moving[:, None], steps, steps[moving][0])
    return steps, np.concatenate([[IGNORE], np.full(len(steps), label)])

