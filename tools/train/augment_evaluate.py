"""Measures the augmentation network and its rivals on held-out clips and prints the tables of weights/augmentation.md.

    python tools/train/augment_evaluate.py --work WORKDIR [--rivals WORKDIR/orbits/compressor-192.pt WORKDIR/sites/compressor-192.pt]

PSNR over 8-bit RGB of 256 x 256 squares against the transformed pixels, over the pixels that lie within the source; mean over frames, then clips.
Naive: latents as a picture, resampled bilinearly where sites do not fall on sites; colours left as they are.
"""
import argparse
import os
from dataclasses import replace

import numpy as np
import torch

from augment_export import load_augmenter
from augment_train import augment, decode, planes, psnr, resampled
from augment_transform import FLIP, UPSIDE_DOWN, Transform, crop, pixels, rotation
from compressor_data import OTHER_DOMAIN, SAME_DOMAIN, measured_frames
from compressor_export import load, weights_path
from equivariant_train import MIRROR, agreement, open_rival, permuted

ROWS = 32
PLAIN = Transform()
TRANSFORMS = {
    "flip": PLAIN.then(FLIP),
    "upside down": PLAIN.then(UPSIDE_DOWN),
    "quarter turn": PLAIN.then(rotation(90)),
    "rotation by 10 degrees": PLAIN.then(rotation(10)),
    "rotation by -5 degrees": PLAIN.then(rotation(-5)),
    "crop of 3/4": replace(PLAIN.then(crop(0.75)), shift=(13.0, -22.0)),
    "crop of 1/2": replace(PLAIN.then(crop(0.5)), shift=(-30.0, 41.0)),
    "brightness +0.15": replace(PLAIN, brightness=0.15),
    "brightness -0.15": replace(PLAIN, brightness=-0.15),
    "saturation 0.4": replace(PLAIN, saturation=0.4),
    "saturation 1.4": replace(PLAIN, saturation=1.4),
    "flip, crop of 3/4, brightness -0.1": replace(PLAIN.then(FLIP).then(crop(0.75)), brightness=-0.1),
}
#: The symmetry of equivariant_train.py that a transform is.
SYMMETRY = {"flip": MIRROR, "upside down": MIRROR + 2, "quarter turn": 1}


@torch.no_grad()
def measure_clip(net, compressor, rivals, frames):
    """{transform: {column: PSNR}} of one clip's frames [n, 256, 256, 3]."""
    picture = frames.astype(np.float32) / 255
    x = planes(picture)
    codes = compressor.encode(x)
    z = compressor.quantiser.decode(codes.flatten(0, 2)).view(len(codes), ROWS * ROWS, -1)
    seen = compressor.decode(codes).clamp(0, 1)
    everywhere = torch.ones(x.shape[2:], dtype=torch.bool)
    kept = {name: rival.encode(x) for name, (rival, _) in rivals.items()}
    plain = {"plain": psnr(seen, x, everywhere), **{name: psnr(rivals[name][0].decode(c), x, everywhere) for name, c in kept.items()}}
    rows = {"nothing": plain}
    for name, transform in TRANSFORMS.items():
        wanted, inside = pixels(transform, picture, 256)
        wanted, inside = planes(wanted), torch.from_numpy(inside)
        out = augment(net, compressor, codes, transform)
        again = compressor.quantiser.decode(compressor.quantiser.encode(out.flatten(0, 1))).view(out.shape)
        row = {"plain": psnr(planes(pixels(transform, seen.permute(0, 2, 3, 1).numpy(), 256)[0]), wanted, inside),
               "naive": psnr(decode(compressor, resampled(z, transform, ROWS), ROWS), wanted, inside),
               "network": psnr(decode(compressor, out, ROWS), wanted, inside), "as codes": psnr(decode(compressor, again, ROWS), wanted, inside)}
        for rival, (own, action) in rivals.items():
            if name in SYMMETRY:
                row[rival] = psnr(own.decode(permuted(kept[rival], SYMMETRY[name], action)), wanted, inside)
        rows[name] = row
    return rows


def report(title, clips, columns):
    print(f"\n{title}\n\n| | " + " | ".join(columns) + " |\n|" + " --- |" * (len(columns) + 1))
    for name in clips[0]:
        cells = [np.mean([c[name][column] for c in clips]) if column in clips[0][name] else None for column in columns]
        print(f"| {name} | " + " | ".join("" if cell is None else f"{cell:.2f}" for cell in cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", required=True)
    parser.add_argument("--cache", help="folder of decoded clips (default: WORK/cache)")
    parser.add_argument("--weights", default="weights", help="folder")
    parser.add_argument("--augmenter", help="a checkpoint or exported file (default: WEIGHTS/kinema-augment-192.safetensors)")
    parser.add_argument("--rivals", nargs="*", default=[], help="checkpoints of equivariant_train.py")
    parser.add_argument("--moments", type=int, default=3, help="of a clip, four frames each")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cache = options.cache or os.path.join(options.work, "cache")
    compressor, _ = load(weights_path(options.weights, "192"))
    path = options.augmenter or os.path.join(options.weights, "kinema-augment-192.safetensors")
    net = load_augmenter(path)
    if not net.config["aligned"]:
        raise SystemExit(f"{path} was trained with --letter: its latents are not aligned, and windows of a larger picture lack what moves in from others; here aligned ones are measured")
    rivals = {}
    for path in options.rivals:
        rival, action = open_rival(path)
        rivals[f"rival, {action}"] = (rival, action)
    columns = ["plain", "naive", "network", "as codes", *rivals]
    for title, names in (("Unseen clips, same domain:", SAME_DOMAIN), ("Other domains:", OTHER_DOMAIN)):
        frames = [measured_frames(cache, name, options.moments, 4) for name in names]
        rows = [measure_clip(net, compressor, rivals, f) for f in frames]
        report(title, rows, columns)
        flip = {c: np.mean([r["flip"][c] for r in rows]) for c in ("plain", "naive", "network")}
        print(f"\nflip: {flip['network'] - flip['naive']:.2f} dB above naive, {flip['plain'] - flip['network']:.2f} dB below plain reconstruction")
        for rival, (own, action) in rivals.items():
            print(f"{rival}: {100 * agreement(own, frames, action):.1f} % of the codes of turned frames are the turned codes")


if __name__ == "__main__":
    main()
