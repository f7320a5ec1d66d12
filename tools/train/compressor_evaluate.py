"""Measures the shipped compressors on held-out clips and prints the tables of weights/compressor.md.

    python tools/train/compressor_evaluate.py --work WORKDIR [--rates 30 192 384] [--x264]

PSNR over 8-bit RGB, mean over frames, then over clips; SSIM on luma, 11 x 11 Gaussian window of deviation 1.5 (Wang et al., 2004).
"""
import argparse
import io
import json
import math
import os

import av
import cv2
import numpy as np
import torch

from compressor_data import OTHER_DOMAIN, SAME_DOMAIN, SIZE, cached, centred, measured_frames
from compressor_export import load, weights_path
from compressor_model import bits_per_site, compression_rate

MOMENTS = 8  # of a clip
LUMA = np.array([0.299, 0.587, 0.114])


def psnr(a, b):
    error = np.square(a.astype(np.float64) - b).mean((1, 2, 3))
    return float(np.mean(10 * np.log10(255**2 / np.maximum(error, 1e-9))))


def ssim(a, b):
    values = []
    for x, y in zip(a @ LUMA, b @ LUMA):
        mean = lambda v: cv2.GaussianBlur(v, (11, 11), 1.5)  # noqa: E731
        mx, my = mean(x), mean(y)
        vx, vy, c = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        values.append(((2 * mx * my + c1) * (2 * c + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())
    return float(np.mean(values))


@torch.no_grad()
def reconstruct(net, frames):
    x = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    codes = net.encode(x)
    out = net.decode(codes).clamp(0, 1).mul(255).round().permute(0, 2, 3, 1).numpy().astype(np.uint8)
    return out, codes.numpy()


def flicker(clip, out):
    """How much the error changes from a frame to the next, in levels: 0 would be an error that stands still."""
    a, b = np.diff(clip.astype(np.float64), axis=0), np.diff(out.astype(np.float64), axis=0)
    return float(np.abs(a - b).mean())


def x264(frames, fps, rate):
    """PSNR of x264 (medium, average bit rate) at a compression rate, and the rate that it kept."""
    file = io.BytesIO()
    container = av.open(file, "w", format="mp4")
    stream = container.add_stream("libx264", rate=round(fps))
    stream.width = stream.height = SIZE
    stream.pix_fmt, stream.bit_rate = "yuv420p", int(SIZE * SIZE * 24 * round(fps) / rate)
    stream.options = {"preset": "medium", "g": "100"}
    packets = [p for frame in frames for p in stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24"))]
    packets += list(stream.encode())
    for packet in packets:
        container.mux(packet)
    size = sum(packet.size for packet in packets)
    container.close()
    file.seek(0)
    out = np.stack([frame.to_ndarray(format="rgb24") for frame in av.open(file).decode(video=0)])
    return psnr(frames, out[:len(frames)]), frames.size / size


def use(codes, size):
    """How often each codebook's codes occur in codes [..., codebooks]: [codebooks, size]. Codes of two codebooks are not the same."""
    return np.stack([np.bincount(codes[..., book].ravel(), minlength=size) for book in range(codes.shape[-1])])


def entropy(counts):
    """Bits a code, were each coded by itself."""
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum())


def measure(path, cache):
    net, metadata = load(path)
    config = json.loads(metadata["network"])
    books = config["quantiser"].get("codebooks", 1)
    bits = bits_per_site(config["quantiser"]) / books
    codes_of = np.zeros((books, 2 ** math.ceil(bits)), np.int64)
    rows = {}
    for name in SAME_DOMAIN + OTHER_DOMAIN:
        frames = measured_frames(cache, name, MOMENTS, net.time)
        out, codes = reconstruct(net, frames)
        codes_of += use(codes, codes_of.shape[1])
        run = measured_frames(cache, name, 1, 8)
        rows[name] = (psnr(frames, out), ssim(frames, out), flicker(run, reconstruct(net, run)[0]))
    mean = lambda names, i: float(np.mean([rows[n][i] for n in names]))  # noqa: E731
    return {"cr": compression_rate(config), "parameters": sum(p.numel() for p in net.parameters()), "rows": rows,
            "same": [mean(SAME_DOMAIN, i) for i in range(3)], "other": [mean(OTHER_DOMAIN, i) for i in range(3)],
            "used": (codes_of > 0).sum(1), "sites": int(codes_of[0].sum()), "entropy": [entropy(counts) for counts in codes_of], "bits": bits}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", required=True)
    parser.add_argument("--cache", help="folder of decoded clips (default: WORK/cache)")
    parser.add_argument("--weights", default="weights", help="folder")
    parser.add_argument("--rates", nargs="+", default=["30", "192", "384"])
    parser.add_argument("--x264", action="store_true", help="x264 at the same rates, 75 frames a clip")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cache = options.cache or os.path.join(options.work, "cache")
    found = {rate: measure(weights_path(options.weights, rate), cache) for rate in options.rates}
    each = lambda values, form: " and ".join(format(value, form) for value in values)  # noqa: E731 - one a codebook
    print("| rate | CR | parameters | unseen clips, same domain: PSNR, SSIM | other domains: PSNR, SSIM | flicker same, other | codes in use | entropy |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for rate, m in found.items():
        print(f"| {rate} | {m['cr']:.1f} | {m['parameters']:,} | {m['same'][0]:.2f} dB, {m['same'][1]:.3f} | {m['other'][0]:.2f} dB, "
              f"{m['other'][1]:.3f} | {m['same'][2]:.2f}, {m['other'][2]:.2f} | {each(m['used'], 'd')} in {m['sites']:,} sites | {each(m['entropy'], '.2f')} of {m['bits']:.0f} bits a code |")
    print("\n| clip | " + " | ".join(f"{rate}: PSNR, SSIM" for rate in found) + " |\n|" + " --- |" * (len(found) + 1))
    for name in SAME_DOMAIN + OTHER_DOMAIN:
        print(f"| {name} | " + " | ".join(f"{m['rows'][name][0]:.2f}, {m['rows'][name][1]:.3f}" for m in found.values()) + " |")
    if not options.x264:
        return
    print("\n| clip | " + " | ".join(f"x264 at {m['cr']:.0f}" for m in found.values()) + " |\n|" + " --- |" * (len(found) + 1))
    for name in SAME_DOMAIN + OTHER_DOMAIN:
        clip = cached(cache, name)
        fps = float(np.load(os.path.join(cache, name.replace("/", "_") + ".npy.fps.npy")))
        frames = np.stack([centred(frame) for frame in clip[:75]])
        each = [x264(frames, fps, m["cr"]) for m in found.values()]
        print(f"| {name} | " + " | ".join(f"{value:.1f} ({kept:.0f})" for value, kept in each) + " |")


if __name__ == "__main__":
    main()
