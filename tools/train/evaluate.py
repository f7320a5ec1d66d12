"""Measures the trained model on held-out footage and prints the table of weights/README.md.

    python tools/train/evaluate.py --data ../shared/data --work WORKDIR [--extra a.mp4 b.mp4]
"""
import argparse
import json
import os

import numpy as np
import torch
from PIL import Image

from classes import (CAMERA_COUNT, CAMERA_STILL, CLASSES, IGNORE, PAIRS, SHAKE, STILL, camera_group)
from dataset import make_shards, open_shards, to_input
from footage_motion import measure, window_label
from model import INPUT, MotionNet, normalise, read_safetensors
from paths import camera_steps, tremor
from render import carry, encode, expose, place, poses_of
from sources import Footage, TEST_CLIPS, build_cache, clip_paths, frame_stride, read_clip

WINDOW = 8


def load(path):
    """The network with the weights of a safetensors file."""
    tensors, metadata = read_safetensors(path)
    net = MotionNet(len(CLASSES), use_shift=metadata.get("variant") != "no-shift")
    net.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
    return net.eval().to(memory_format=torch.channels_last)


def centre(frames):
    """Frames as the engine prepares them: short side to INPUT with PIL's bilinear filter, centre crop."""
    out = []
    for frame in frames:
        height, width = frame.shape[:2]
        scale = INPUT / min(height, width)
        size = (int(width * scale + 1e-6), int(height * scale + 1e-6))
        left, top = round((size[0] - INPUT) / 2), round((size[1] - INPUT) / 2)
        image = Image.fromarray(np.ascontiguousarray(frame)).resize(size, Image.BILINEAR)
        out.append(np.asarray(image)[top:top + INPUT, left:left + INPUT])
    return np.stack(out)


@torch.no_grad()
def probabilities(net, windows):
    """Probabilities [n, 16] at the last frame of windows [n, T, S, S, 3], each from a zero state."""
    out = []
    for i in range(0, len(windows), 16):
        part = torch.from_numpy(np.ascontiguousarray(windows[i:i + 16]))
        logits = net(normalise(part), part.shape[1]).view(len(part), part.shape[1], -1)
        out.append(logits[:, -1].softmax(1).numpy())
    return np.concatenate(out)


@torch.no_grad()
def stream(net, frames):
    """Per-frame probabilities [n, 16] with the state carried from frame to frame, as online."""
    states, out = [None] * len(net.features), []
    for frame in frames:
        out.append(net(normalise(torch.from_numpy(frame[None, None])), 1, states).softmax(1)[0].numpy())
    return np.array(out)


@torch.no_grad()
def online_difference(net, clip):
    """Largest difference of per-frame logits between one pass over the clip and frame by frame."""
    offline = net(normalise(torch.from_numpy(clip)), len(clip))
    states = [None] * len(net.features)
    online = torch.cat([net(normalise(torch.from_numpy(frame[None])), 1, states) for frame in clip])
    return float((offline - online).abs().max())


def runs(marks):
    """Consecutive equal entries as (first, last, mark)."""
    out = []
    for i, mark in enumerate(marks):
        if out and out[-1][2] == mark and out[-1][1] == i - 1:
            out[-1][1] = i
        else:
            out.append([i, i, mark])
    return out


def judge_clip(net, name, path):
    """Every 8-frame window of one unaltered clip: measured and predicted camera class, as a window from
    a zero state and online, and the leading class of all sixteen."""
    frames, fps = read_clip(path)
    frames = frames[::frame_stride(fps)]
    steps, agreement = measure(frames)
    pictures = centre(frames)
    windows = np.lib.stride_tricks.sliding_window_view(pictures, WINDOW, axis=0).transpose(0, 4, 1, 2, 3)
    p = probabilities(net, windows)
    expected = [window_label(steps[i:i + WINDOW - 1], agreement[i:i + WINDOW - 1]) for i in range(len(windows))]
    return {"name": name, "fps": fps / frame_stride(fps), "expected": np.array(expected),
            "camera": camera_group(p).argmax(1), "all": p.argmax(1),
            "online": camera_group(stream(net, pictures)[WINDOW - 1:]).argmax(1)}


def real_footage(net, clips):
    """Table 1: agreement with OpenCV's global motion on every window of unaltered clips."""
    print("\n| clip | windows | still | agree | online | clear motion | agree | not measurable | subject class leads |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    totals, disagreements = np.zeros(5), []
    for name, path in clips:
        r = judge_clip(net, name, path)
        still, clear = r["expected"] == STILL, r["expected"] > STILL
        good = r["camera"] == r["expected"]
        online = (r["online"] == r["expected"])[still].sum()
        totals += [still.sum(), good[still].sum(), online, clear.sum(), good[clear].sum()]
        subject = (r["all"] >= CAMERA_COUNT).sum()
        print(f"| {name} | {len(good)} | {still.sum()} | {good[still].sum()} | {online} | {clear.sum()} | "
              f"{good[clear].sum()} | {(r['expected'] == IGNORE).sum()} | {subject} |", flush=True)
        wrong = [(e, c) if e != IGNORE and e != c else None for e, c in zip(r["expected"], r["camera"])]
        for first, last, mark in runs(wrong):
            if mark:
                disagreements.append(f"{name}: windows {first}-{last} ({first / r['fps']:.1f} s): "
                                     f"measured {CLASSES[mark[0]]}, model {CLASSES[mark[1]]}")
    print(f"\nstill: {totals[1]:.0f} of {totals[0]:.0f} agree ({100 * totals[1] / max(1, totals[0]):.1f} %), "
          f"online {100 * totals[2] / max(1, totals[0]):.1f} %; "
          f"clear motion: {totals[4]:.0f} of {totals[3]:.0f} ({100 * totals[4] / max(1, totals[3]):.1f} %)")
    print("\n".join(["disagreements:"] + disagreements))


def known_paths(net, shards, shuffle=None):
    """Table 2 and 3: held-out videos carried along known paths. Top-1 of 16 by group, and within pairs."""
    right, count = np.zeros(len(CLASSES)), np.zeros(len(CLASSES))
    confusion = np.zeros((len(CLASSES), len(CLASSES)), int)
    pair, camera_pair = np.zeros(2), np.zeros(2)
    partner = {a: b for p in PAIRS for a, b in (p, p[::-1])}
    for clips, labels in shards:
        windows = np.stack([to_input(clip[:WINDOW]) for clip in clips])
        if shuffle is not None:
            windows = np.stack([w[shuffle.permutation(WINDOW)] for w in windows])
        for p, label in zip(probabilities(net, windows), labels[:, WINDOW - 1]):
            if label == IGNORE:
                continue
            truth = STILL if label == CAMERA_STILL else label
            guess = camera_group(p).argmax() if label == CAMERA_STILL else p.argmax()
            right[truth] += guess == truth
            count[truth] += 1
            confusion[truth, guess] += 1
            if truth in partner:
                pair += [p[truth] > p[partner[truth]], 1]
                if truth < CAMERA_COUNT:
                    camera_pair += [p[truth] > p[partner[truth]], 1]
    camera, subject = slice(0, CAMERA_COUNT), slice(CAMERA_COUNT, None)
    share = lambda part, whole: part / max(1, whole)  # noqa: E731
    return {"camera": share(right[camera].sum(), count[camera].sum()), "subject": share(right[subject].sum(), count[subject].sum()),
            "pairs": share(*pair), "camera_pairs": share(*camera_pair), "clips": int(count.sum()), "confusion": confusion}


def measurable(shards):
    """The clips of the camera group whose motion OpenCV can measure, by the rule for real footage, as shards."""
    out = []
    for clips, labels in shards:
        kept = [i for i in range(len(clips)) if i % len(CLASSES) < CAMERA_COUNT
                and window_label(*measure(np.array(clips[i, :WINDOW]))) != IGNORE]
        out.append((np.array(clips[kept]), labels[kept]))
    return out


def reported(rows):
    """Labels that SpanTracker (src/labels/spans.ts) shows: the mean of 4 frames, a change after winning three times."""
    shown, rival, wins, labels = -1, -1, 0, []
    for t in range(len(rows)):
        favourite = int(np.mean(rows[max(0, t - 3):t + 1], axis=0).argmax())
        wins = wins + 1 if favourite == rival else 1
        rival = favourite
        if (shown < 0 and t >= 3) or wins >= 3:
            shown = favourite
        labels.append(shown)
    return np.array(labels)


def latency(net, footage, changes=48):
    """Frames from a change of motion until the label follows, for the network and for what a user is shown.

    Two lists of (changes) numbers, None = not within 14 frames, and how many clips were left out because the
    first motion was not named rightly.
    """
    random, found, shown, missed = np.random.default_rng(7), [], [], 0
    while len(found) < changes:
        before, after = random.choice(np.arange(SHAKE), 2, replace=False)
        steps = np.concatenate([camera_steps(random, int(label), 14) for label in (before, after)])
        pace = 0.012 / np.maximum(np.abs(steps).max(axis=1, keepdims=True), 1e-9)
        steps = np.where(np.abs(steps) > 0, steps * np.minimum(1, pace), 0) + tremor(random, len(steps))
        poses = poses_of(steps, 0.0)
        frames = footage.base(random, len(poses))
        view = place(random, poses, *frames[0].shape[:2], min(frames[0].shape[:2]) * 0.6)
        if not view:
            continue
        clip = encode(random, expose(random, carry(random, frames, poses, view, 160)))
        rows = camera_group(stream(net, to_input(clip)))
        if rows[14].argmax() != before:
            missed += 1  # counted in table 2, not here
            continue
        for labels, into in ((rows.argmax(1), found), (reported(rows), shown)):
            after_change = np.nonzero(labels[15:] == after)[0]
            into.append(int(after_change[0]) + 1 if len(after_change) else None)
    return found, shown, missed


def report_paths(net, test, busy, hard):
    print("\n| clips | | camera top-1 | subject top-1 | right way within pairs |\n| --- | --- | --- | --- | --- |")
    rows = [("held-out videos on known paths", test, None), ("the same, frames shuffled", test, np.random.default_rng(0)),
            ("camera clips that OpenCV can measure", measurable(test), None),
            ("subjects in front of scenes that move by themselves too", busy, None),
            ("held-out, harsh: as in training, with blank views, heavy noise and codec ruin", hard, None)]
    matrix = None
    for name, shards, shuffle in rows:
        r = known_paths(net, shards, shuffle)
        print(f"| {name} | {r['clips']} | {100 * r['camera']:.1f} % | {100 * r['subject']:.1f} % | {100 * r['pairs']:.1f} % |")
        matrix = r["confusion"] if matrix is None else matrix
    print("\n| class | clips | right | most confused with |\n| --- | --- | --- | --- |")
    for label, row in enumerate(matrix):
        others = [(n, CLASSES[k]) for k, n in enumerate(row) if n and k != label]
        worst = ", ".join(f"{name} {n}" for n, name in sorted(others, reverse=True)[:2])
        print(f"| {CLASSES[label]} | {row.sum()} | {row[label]} | {worst} |")


def report_ablation(path):
    """Table 3 from what ablation.py measured: mean and extremes over the seeds."""
    if not os.path.exists(path):
        print("\nno ablation: run tools/train/ablation.py first")
        return
    with open(path) as file:
        done = json.load(file)
    print("\n| variant | seeds | steps | camera top-1 | subject top-1 | right way within pairs |\n| --- | --- | --- | --- | --- | --- |")
    for variant in dict.fromkeys(r["variant"] for r in done):
        mine = [r for r in done if r["variant"] == variant]
        spread = lambda key: (f"{100 * np.mean([r[key] for r in mine]):.1f} % "  # noqa: E731
                              f"({100 * min(r[key] for r in mine):.1f} to {100 * max(r[key] for r in mine):.1f})")
        print(f"| {variant} | {len(mine)} | {mine[0]['steps']} | {spread('camera')} | {spread('subject')} | {spread('pairs')} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--work", required=True, help="the folder that train.py used")
    parser.add_argument("--weights", default="weights/kinema-motion.safetensors")
    parser.add_argument("--extra", nargs="*", default=[], help="more real footage, listed apart")
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--parts", default="real,paths,ablation,latency")
    options = parser.parse_args()
    torch.set_num_threads(os.cpu_count())
    cache, shards = os.path.join(options.work, "cache"), os.path.join(options.work, "shards")
    build_cache(options.data, cache)
    net = load(options.weights)
    if "real" in options.parts:
        paths = clip_paths(options.data)
        real_footage(net, [(name, paths[name]) for name in TEST_CLIPS])
        if options.extra:
            print("\nother footage, not from the shared data:")
            real_footage(net, [(os.path.basename(path), path) for path in options.extra])
    if "paths" in options.parts:
        for split in ("test", "busy", "hard"):
            make_shards(options.data, cache, shards, split, options.shards, 0, os.cpu_count())
        test, busy, hard = (open_shards(shards, split) for split in ("test", "busy", "hard"))
        report_paths(net, test, busy, hard)
        print(f"\nonline against offline, largest difference of a logit: {online_difference(net, to_input(test[0][0][5])):.1e}")
    if "ablation" in options.parts:
        report_ablation(os.path.join(options.work, "ablation.json"))
    if "latency" in options.parts:
        *lists, missed = latency(net, Footage(options.data, cache, "test"))
        for name, found in zip(("by the network", "by what a user is shown"), lists):
            late = sorted(99 if f is None else f for f in found)
            print(f"\nlatency of a change {name}: median {np.median(late)} frames, 90 % within {late[int(len(late) * 0.9)]}, "
                  f"{sum(f is None for f in found)} of {len(found)} not within 14 frames; {missed} clips left out")
    print(f"\nfile: {os.path.getsize(options.weights) / 1e6:.2f} MB")



if __name__ == "__main__":
    main()
