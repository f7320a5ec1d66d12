"""The sixteen motions, their two groups and the rule that names a measured motion.

Sign convention: everything is named from the camera's point of view. "pan right" means that the
camera turns right, so the picture's content moves left; "roll clockwise" means that the camera rolls
clockwise, so the content turns anticlockwise. Subject classes name the movement seen in the picture.
"""
import numpy as np

CLASSES = [
    "still", "pan left", "pan right", "tilt up", "tilt down", "zoom in", "zoom out",
    "roll clockwise", "roll anticlockwise", "shake",
    "subject left", "subject right", "subject up", "subject down", "subject towards", "subject away",
]
STILL, SHAKE, CAMERA_COUNT = 0, 9, 10
#: Pairs told apart by the direction of time or of space only.
PAIRS = [(1, 2), (3, 4), (5, 6), (7, 8), (10, 11), (12, 13), (14, 15)]
#: Labels above the classes: no loss, and "the camera is still, whatever the subject does".
IGNORE, CAMERA_STILL = -1, 16

#: Clear motion per frame: pan and tilt in heights, zoom in scale, roll in radians.
CLEAR = np.array([0.008, 0.008, 0.008, np.radians(0.6)])
#: Still per frame, the same four components.
QUIET = np.array([0.002, 0.002, 0.002, np.radians(0.15)])

_BY_COMPONENT = [(1, 2), (3, 4), (6, 5), (8, 7)]  # (negative, positive) of pan, tilt, zoom, roll


def name_motion(steps, clear=1.0, ratio=0.5):
    """Class of a run of camera steps [n, 4] (pan, tilt, zoom, roll per frame), or IGNORE.

    `clear` scales the threshold of a clear motion; the strongest component must exceed the second by
    1 / `ratio`, and every step must go the same way, or the motion has no single name.
    """
    if np.all(np.abs(steps) < QUIET):
        return STILL
    unit = steps / CLEAR
    mean = unit.mean(axis=0)
    order = np.argsort(-np.abs(mean))
    first, second = abs(mean[order[0]]), abs(mean[order[1]])
    along = unit[:, order[0]] * np.sign(mean[order[0]])
    if first < clear or second > ratio * first or along.min() < 0.3 * first:
        return IGNORE
    return _BY_COMPONENT[order[0]][int(mean[order[0]] > 0)]


def camera_group(probabilities):
    """Probabilities [..., 16] to the camera group [..., 10]: a moving subject means a still camera."""
    camera = np.array(probabilities[..., :CAMERA_COUNT])
    camera[..., STILL] += np.asarray(probabilities)[..., CAMERA_COUNT:].sum(axis=-1)
    return camera


def symmetry_tables():
    """How labels change when the picture is mirrored, put upside down, or transposed."""
    def table(swaps):
        permutation = np.arange(CAMERA_STILL + 1)
        for a, b in swaps:
            permutation[a], permutation[b] = b, a
        return permutation
    mirror = table([(1, 2), (7, 8), (10, 11)])
    upside_down = table([(3, 4), (7, 8), (12, 13)])
    transpose = table([(1, 3), (2, 4), (7, 8), (10, 12), (11, 13)])
    return mirror, upside_down, transpose
