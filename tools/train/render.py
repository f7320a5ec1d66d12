"""Renders a clip: a real base carried along a path, then exposure, noise and a real codec."""
import io

import av
import cv2
import numpy as np

cv2.setNumThreads(1)


def _corners(pose, side):
    x, y, log_scale, angle = pose
    half = side * np.exp(-log_scale) / 2
    reach = half * (abs(np.cos(angle)) + abs(np.sin(angle)))
    return x * side - reach, x * side + reach, y * side - reach, y * side + reach


def poses_of(steps, angle):
    """Integrates steps [n, 4] to poses [n + 1, 4]: centre x, y (in view sides), log zoom, angle."""
    poses = [np.array([0.0, 0.0, 0.0, angle])]
    for pan, tilt, zoom, roll in steps:
        x, y, scale, turn = poses[-1]
        cos, sin, side = np.cos(turn), np.sin(turn), np.exp(-scale)
        poses.append(np.array([x + (cos * pan - sin * tilt) * side, y + (sin * pan + cos * tilt) * side,
                               scale + zoom, turn + roll]))
    return np.array(poses)


def place(random, poses, height, width, side):
    """View side and start in source pixels so that no view touches a border; None if none fits."""
    for _ in range(12):
        boxes = np.array([_corners(pose, side) for pose in poses])
        left, right, top, bottom = -boxes[:, 0].min(), boxes[:, 1].max(), -boxes[:, 2].min(), boxes[:, 3].max()
        if left + right + 8 <= width and top + bottom + 8 <= height:
            x = random.uniform(left + 4, width - right - 4)
            return side, x, random.uniform(top + 4, height - bottom - 4)
        side *= 0.88
    return None


def _map(poses, shutter_times, size, side, x, y):
    """Sampling maps [size, size]: row r looks from the pose interpolated at shutter_times[r]."""
    index = np.arange(len(poses))
    at = [np.interp(shutter_times, index, poses[:, k]) for k in range(4)]
    scale = (side * np.exp(-at[2]) / size)[:, None]
    cos, sin = np.cos(at[3])[:, None] * scale, np.sin(at[3])[:, None] * scale
    u = (np.arange(size) - (size - 1) / 2)[None, :]
    v = (np.arange(size) - (size - 1) / 2)[:, None]
    centre_x, centre_y = x + at[0][:, None] * side, y + at[1][:, None] * side
    return (centre_x + cos * u - sin * v).astype(np.float32), (centre_y + sin * u + cos * v).astype(np.float32)


def carry(random, frames, poses, view, size):
    """Frames [n] seen along `poses`, with a rolling shutter and motion blur drawn once per clip."""
    side, x, y = view
    rolling = random.uniform(0, 0.5) if random.random() < 0.3 else 0.0
    exposure = random.uniform(0.1, 0.8) if random.random() < 0.5 else 0.0
    method = random.choice([cv2.INTER_LINEAR, cv2.INTER_LINEAR, cv2.INTER_CUBIC])
    rows = rolling * (np.arange(size) / size - 0.5)
    still = np.ptp(poses, axis=0).max() < 1e-9
    samples = 1 if exposure == 0 or still else 3
    offsets = np.linspace(-exposure / 2, exposure / 2, samples) if samples > 1 else [0.0]
    if side / size > 1.3:  # a lens and a sensor do not alias as bare bilinear sampling does
        frames = [cv2.blur(frame, (2, 2)) for frame in frames]
    out, maps = [], None
    for t, frame in enumerate(frames):
        total = np.zeros((size, size, 3), np.float32)
        for offset in offsets:
            if maps is None or not still:
                maps = _map(poses, t + rows + offset, size, side, x, y)
            total += cv2.remap(frame, *maps, int(method), borderMode=cv2.BORDER_REFLECT_101)
        out.append(total / len(offsets))
    return np.stack(out)


def recolour(random):
    """A random but fixed colour change, which multiplies the few scenes that there are."""
    mix = np.eye(3) if random.random() < 0.5 else np.eye(3)[random.permutation(3)]
    if random.random() < 0.4:
        grey = random.uniform(0, 1)
        mix = (1 - grey) * mix + grey / 3
    gain, shift, invert = random.uniform(0.6, 1.25, 3), random.uniform(-25, 25), random.random() < 0.08
    mix = (mix * gain[:, None]).astype(np.float32)

    def apply(clip):
        clip = clip @ mix.T + shift
        return 255 - clip if invert else clip
    return apply


def expose(random, clip, harsh=True):
    """Exposure drift, mains flicker and sensor noise; a fifth of the clips are noise-free."""
    count, size = clip.shape[0], clip.shape[1]
    if random.random() < 0.4:
        drift = np.cumsum(random.normal(0, random.uniform(0.002, 0.03), count))
        clip = clip * np.exp(drift)[:, None, None, None]
    if random.random() < 0.1:
        rows = np.arange(size)[None, :] / size * random.uniform(0.5, 3) + np.arange(count)[:, None] * random.random()
        clip = clip * (1 + random.uniform(0.01, 0.06) * np.sin(2 * np.pi * rows))[:, :, None, None]
    if random.random() < 0.8:
        noise = random.standard_normal(clip.shape, dtype=np.float32)
        if random.random() < 0.3:
            noise = np.stack([cv2.blur(n, (2, 2)) * 1.6 for n in noise])
        clip = clip + noise * np.exp(random.uniform(np.log(0.5), np.log(9 if harsh else 4)))
    return np.clip(clip, 0, 255).astype(np.uint8)


def encode(random, clip, harsh=True):
    """The clip through H.264, VP9, MPEG-4 or JPEG at a random rate; a tenth stays as it is."""
    choice = random.choice(["h264", "h264", "h264", "vp9", "mpeg4", "jpeg", "none"],
                           p=[0.25, 0.2, 0.15, 0.12, 0.08, 0.1, 0.1])
    if choice == "none":
        return clip
    if choice == "jpeg":
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(25 if harsh else 50, 95))]
        return np.stack([cv2.imdecode(cv2.imencode(".jpg", frame, quality)[1], 1) for frame in clip])
    lead = int(random.integers(0, 4))  # the clip need not begin at a key frame
    return _through_codec(random, choice, harsh, np.concatenate([clip[:1]] * lead + [clip]))[lead:]


def _through_codec(random, choice, harsh, clip):
    codec, options, container, bit_rate = {
        "h264": ("libx264", {"preset": str(random.choice(["ultrafast", "veryfast", "fast"])),
                             "crf": str(int(random.integers(16, 40 if harsh else 31))), "tune": "zerolatency"}, "mp4", 0),
        "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0",
                               "crf": str(int(random.integers(20, 55 if harsh else 43)))}, "webm", 0),
        "mpeg4": ("mpeg4", {}, "mp4", int(random.integers(150 if harsh else 400, 1500)) * 1000),
    }[choice]
    if choice == "h264" and random.random() < 0.4:
        del options["tune"]  # with B frames
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as target:
        stream = target.add_stream(codec, rate=15)
        stream.width, stream.height, stream.pix_fmt = clip.shape[2], clip.shape[1], "yuv420p"
        stream.options, stream.gop_size, stream.thread_count = options, int(random.choice([4, 8, 12, 30, 250])), 1
        if bit_rate:
            stream.bit_rate = bit_rate
        for frame in clip:
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")):
                target.mux(packet)
        for packet in stream.encode():
            target.mux(packet)
    buffer.seek(0)
    with av.open(buffer) as source:
        source.streams.video[0].thread_count = 1
        return np.stack([frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)])
