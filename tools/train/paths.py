"""Camera and subject paths: steps per frame with easing, pauses, changes of motion and tremor."""
import numpy as np

from classes import CAMERA_STILL, CLEAR, IGNORE, SHAKE, STILL, name_motion

#: (component, sign) of every class that has a direction; components are pan, tilt, zoom, roll.
_DIRECTION = {1: (0, -1), 2: (0, 1), 3: (1, -1), 4: (1, 1), 5: (2, 1), 6: (2, -1), 7: (3, 1), 8: (3, -1)}
_SLOWEST, _FASTEST = 0.8, np.array([7.0, 7.0, 5.0, 6.0])  # in units of a clear motion


def profile(random, count):
    """Relative speed over the steps: constant, eased, accelerating or wavering; mean about 1."""
    time = np.linspace(0, 1, count)
    kind = random.integers(4)
    if kind == 0:
        return np.ones(count)
    if kind == 1:
        return 0.3 + 1.1 * np.sin(np.pi * np.clip(time * random.uniform(0.7, 1.1), 0, 1))
    if kind == 2:
        return np.linspace(*random.permutation([0.5, 1.5]), count)
    return 1 + 0.3 * np.sin(2 * np.pi * (time * random.uniform(0.5, 2) + random.random()))


def _directed(random, label, count):
    component, sign = _DIRECTION[label]
    speed = np.exp(random.uniform(np.log(_SLOWEST), np.log(_FASTEST[component])))
    steps = np.zeros((count, 4))
    if random.random() < 0.6:  # no hand or tripod moves along one axis only
        steps += random.uniform(-0.25, 0.25, 4) * speed * random.random()
    steps[:, component] = sign * speed
    return steps * profile(random, count)[:, None] * CLEAR


def _shaken(random, count):
    """Velocities that change direction every one to three frames, on pan, tilt and a little roll."""
    time = np.arange(count)
    steps = np.zeros((count, 4))
    amplitude = np.exp(random.uniform(np.log(1.2), np.log(6)))
    axis = random.uniform(0, np.pi)
    for weight in (1.0, random.uniform(0.2, 0.8)):
        wave = np.sin(2 * np.pi * (time / random.uniform(2.0, 5.5) + random.random()))
        wave = wave * random.uniform(0.7, 1.3, count)
        steps[:, 0] += weight * amplitude * np.cos(axis) * wave
        steps[:, 1] += weight * amplitude * np.sin(axis) * wave
        axis += random.uniform(0.3, 1.5)
    steps[:, 3] += random.uniform(0, 0.5) * amplitude * np.sin(2 * np.pi * time / random.uniform(2, 5))
    return steps * CLEAR


def camera_steps(random, label, count):
    if label == STILL:
        return np.zeros((count, 4))
    return _shaken(random, count) if label == SHAKE else _directed(random, label, count)


def tremor(random, count):
    """Half of all cameras stand on a tripod; the others tremble below the threshold of still."""
    if random.random() < 0.5:
        return np.zeros((count, 4))
    return np.clip(random.normal(0, random.uniform(0.02, 0.1), (count, 4)), -0.2, 0.2) * CLEAR


def camera_path(random, label, count, change, clear=0.6):
    """Steps [count, 4] and labels [count + 1] of a clip of count + 1 frames.

    Without `change` the whole clip is one motion (with its easing); with it, another motion (or none)
    goes first. A frame is labelled by its last three steps; frames on a boundary, and motions slower than
    `clear` times classes.CLEAR, carry no label.
    """
    steps = camera_steps(random, label, count)
    owner = np.full(count, label)
    if change:
        other = int(random.choice([STILL, STILL, random.integers(1, SHAKE + 1)]))
        cut = int(random.integers(3, count - 4))
        steps[:cut], owner[:cut] = camera_steps(random, other, cut), other
    steps = steps + tremor(random, count)
    labels = np.full(count + 1, IGNORE)
    for frame in range(1, count + 1):
        labels[frame] = _frame_label(steps, owner, frame, clear)
    return steps, labels


def _frame_label(steps, owner, frame, clear):
    recent = slice(max(0, frame - 3), frame)
    if len(set(owner[recent])) > 1:
        return IGNORE
    if owner[frame - 1] == SHAKE:  # a shake is known by its reversals: five steps at least
        before = owner[max(0, frame - 5):frame]
        return SHAKE if len(before) == 5 and np.all(before == SHAKE) else IGNORE
    return name_motion(steps[recent], clear)


def subject_path(random, label, count, fastest=0.13):
    """Steps [count, 3] (x, y, scale) of a cut-out and labels; `label` None means it rests or wavers.

    A swipe crosses the picture in half a second: `fastest` is in heights a frame.
    """
    steps = np.zeros((count, 3))
    labels = np.full(count + 1, IGNORE)
    if label is None:
        if random.random() < 0.5:  # rests: still; wavers to and fro: only the camera is known
            labels[1:] = STILL
            return steps, labels
        wave = np.sin(2 * np.pi * (np.arange(count) / random.uniform(2.5, 7) + random.random()))
        steps[:, :2] = random.uniform(-0.05, 0.05, 2) * wave[:, None]
        labels[1:] = CAMERA_STILL
        return steps, labels
    component, sign = {10: (0, -1), 11: (0, 1), 12: (1, -1), 13: (1, 1), 14: (2, 1), 15: (2, -1)}[label]
    speed = np.exp(random.uniform(np.log(0.01), np.log(fastest if component < 2 else 0.075)))
    steps += random.uniform(-0.25, 0.25, 3) * speed * random.random()
    steps[:, component] = sign * speed * (1.0 if component < 2 else 1.2)
    steps *= profile(random, count)[:, None]
    begin = int(random.integers(2, count - 5)) if random.random() < 0.3 else 0
    steps[:begin] = 0
    labels[1:begin + 1] = STILL
    labels[begin + 1:] = label
    labels[begin + 1:begin + 3] = IGNORE if begin else label
    slow = np.abs(steps[:, component]) < 0.006
    labels[1:][slow & (labels[1:] == label)] = CAMERA_STILL
    return steps, labels
