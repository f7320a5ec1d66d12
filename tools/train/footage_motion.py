"""The global motion of real footage as OpenCV measures it: feature tracks and a RANSAC similarity."""
import cv2
import numpy as np

from classes import CLEAR, IGNORE, QUIET, STILL, name_motion

_ROWS, _COLUMNS, _HEIGHT = 4, 6, 360


def grey(frame):
    """RGB frame to grey at 360 rows."""
    width = int(round(frame.shape[1] * _HEIGHT / frame.shape[0]))
    return cv2.resize(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY), (width, _HEIGHT),
                      interpolation=cv2.INTER_AREA)


def _corners(image):
    """Features from each of 24 cells alike: the strongest ones alone would all sit on a moving subject."""
    height, width = image.shape
    found = []
    for row in range(_ROWS):
        for column in range(_COLUMNS):
            top, left = height * row // _ROWS, width * column // _COLUMNS
            cell = image[top:height * (row + 1) // _ROWS, left:width * (column + 1) // _COLUMNS]
            points = cv2.goodFeaturesToTrack(cell, 20, 0.05, 5)
            if points is not None:
                found.append(points[:, 0] + np.float32([left, top]))
    return np.concatenate(found)[:, None] if found else None


def step_between(a, b):
    """Camera step [pan, tilt, zoom, roll] from grey frame a to b and the share of cells that agree.

    Returns None when fewer than 12 features can be followed there and back.
    """
    points = _corners(a)
    if points is None:
        return None
    options = {"winSize": (21, 21), "maxLevel": 4}
    moved, good, _ = cv2.calcOpticalFlowPyrLK(a, b, points, None, **options)
    back, good_back, _ = cv2.calcOpticalFlowPyrLK(b, a, moved, None, **options)
    kept = (good[:, 0] == 1) & (good_back[:, 0] == 1) & (np.abs(points - back)[:, 0].max(axis=1) < 0.7)
    start, end = points[kept, 0], moved[kept, 0]
    if len(start) < 12:
        return None
    matrix, inliers = cv2.estimateAffinePartial2D(start, end, method=cv2.RANSAC, ransacReprojThreshold=1.0)
    if matrix is None:
        return None
    height, width = a.shape
    centre = np.array([width / 2, height / 2])
    move = matrix[:, :2] @ centre + matrix[:, 2] - centre
    zoom = np.log(np.hypot(matrix[0, 0], matrix[1, 0]))
    roll = -np.arctan2(matrix[1, 0], matrix[0, 0])  # content turns against the camera
    cells = (start[:, 1] * _ROWS // height).astype(int) * _COLUMNS + (start[:, 0] * _COLUMNS // width).astype(int)
    agree = [inliers[cells == cell].mean() > 0.5 for cell in np.unique(cells)]
    return np.array([-move[0] / height, -move[1] / height, zoom, roll]), float(np.mean(agree))


def measure(frames):
    """Steps [n - 1, 4] (NaN where nothing could be followed) and agreement [n - 1] of a clip."""
    pictures = [grey(frame) for frame in frames]
    found = [step_between(a, b) or (np.full(4, np.nan), 0.0) for a, b in zip(pictures, pictures[1:])]
    return np.array([f[0] for f in found]), np.array([f[1] for f in found])


def window_label(steps, agreement, least_agreement=0.5):
    """STILL, a camera class, or IGNORE (between the thresholds, mixed, or not measurable) for a window.

    A similarity that fewer than half of the picture's cells follow is a subject's motion, not the
    camera's: it counts as not measurable.
    """
    if np.isnan(steps).any() or np.median(agreement) < least_agreement:
        return IGNORE
    if np.all(np.abs(steps).mean(axis=0) < QUIET):
        return STILL
    mean = np.abs(steps.mean(axis=0)) / CLEAR
    if mean.max() < 1.0:
        return IGNORE
    return name_motion(steps, clear=1.0, ratio=0.6)
