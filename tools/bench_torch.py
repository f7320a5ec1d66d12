"""Times PyTorch on the cases of Kinema's bench: what cuDNN and cuBLAS make of the same networks, in f32 without TF32.

    python3 tools/bench_torch.py [--case NAME ...] [--batch 1 8] [--rounds 15] [--json F] [--against OUT.json ...]

On CUDA where there is one, else on the processor. Weights are PyTorch's initial ones, seeded; the networks are those of
tools/reference, with the temporal shift written for several clips, and held against the definition clip by clip before they are timed.

    eager      one call after another, as a program would make them; the GPU's clock
    graph      the same recorded as a CUDA graph and replayed: PyTorch at its best, no time of Python in it
    in to out  input from memory to the device, eager, output back: wall clock

ms are medians of the rounds; a round is as many calls as take 20 ms. `--against` takes reports of Kinema's bench (--json), and sets each case's
time against the better of eager and graph. Needs torch and numpy alone.
"""
import argparse
import json
import os
import statistics
import sys
import time
from datetime import datetime, timezone

import torch
from torch import nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "reference"))
import models  # noqa: E402
import shift  # noqa: E402

ROUND_MS = 20
WARM_UP = 3
# How far two orders of summation may be apart, of the largest output.
NEAR = 1e-4


class Clips(nn.Module):
    """An offline TSM on several clips: [clips * frames, 3, H, W] -> logits [clips, classes]. The shift is the authors' own, a copy into place."""

    def __init__(self, model, clips):
        super().__init__()
        self.model, self.clips = model, clips
        for module in model.modules():
            if isinstance(module, shift.TemporalShift):
                module.forward = lambda x, net=module.net: net(self.shifted(x))

    def shifted(self, x):
        fold = x.shape[1] // shift.SHIFT_DIVISOR
        clips = x.view(self.clips, -1, *x.shape[1:])
        y = torch.zeros_like(clips)
        y[:, :-1, :fold] = clips[:, 1:, :fold]
        y[:, 1:, fold : 2 * fold] = clips[:, :-1, fold : 2 * fold]
        y[:, :, 2 * fold :] = clips[:, :, 2 * fold :]
        return y.view_as(x)

    def forward(self, video):
        h = self.model.base_model(video)
        h = h if self.model.new_fc is None else self.model.new_fc(h)
        return h.view(self.clips, -1, h.shape[-1]).mean(1)


def network(name, batch, size, frames):
    """The model, its input's shape, and the definition's answer for an input; None where one run takes one clip alone."""
    definition = models.build_transformer(name, frames=frames, side=(size, size)) if name == "stam" else models.build(name)
    if name == "mobilenetv2":
        return definition, (batch, 3, size, size), definition
    if name == "stam":
        return (definition, (frames, 3, size, size), definition) if batch == 1 else None
    clips = Clips(definition, batch)
    one_by_one = lambda video: torch.stack([by_definition(definition, clip) for clip in video.split(frames)])
    return clips, (batch * frames, 3, size, size), one_by_one


def by_definition(definition, clip):
    """The definition as it stands, on one clip: the shift of tools/reference in place of the copy."""
    replaced = {}
    for module in definition.modules():
        if isinstance(module, shift.TemporalShift):
            replaced[module] = module.__dict__.pop("forward")
    answer = definition(clip)
    for module, forward in replaced.items():
        module.forward = forward
    return answer


def layer(make, shape):
    def made(batch, _size, _frames):
        module = make()
        return (module, shape, module) if batch == 1 else None

    return made


# Names and sizes are those of Kinema's bench. A layer has no batch: conv3x3-clip is conv3x3 of eight frames.
CASES = {
    "matmul-1024": layer(lambda: nn.Linear(1024, 1024), (1024, 1024)),
    "matmul-2048": layer(lambda: nn.Linear(2048, 2048), (2048, 2048)),
    "conv3x3": layer(lambda: nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()), (1, 64, 56, 56)),
    "conv3x3-clip": layer(lambda: nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()), (8, 64, 56, 56)),
    "mobilenetv2": lambda *sizes: network("mobilenetv2", *sizes),
    "tsm-mobilenetv2": lambda *sizes: network("tsm-mobilenetv2", *sizes),
    "tsm-resnet50": lambda *sizes: network("tsm-resnet50", *sizes),
    "stam": lambda *sizes: network("stam", *sizes),
}


def clock(call, device):
    """Returns a function of a number of calls -> ms of them all."""

    def on_gpu(calls):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(calls):
            call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end)

    return on_gpu if device == "cuda" else wall(call)


def wall(call):
    def timed(calls):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return 1000 * (time.perf_counter() - start)

    return timed


def median_ms(timed, rounds):
    calls = 1
    for _ in range(WARM_UP):
        calls = min(1000, max(1, round(ROUND_MS * calls / max(timed(calls), 0.01))))
    return statistics.median(timed(calls) / calls for _ in range(rounds))


def recorded(model, x):
    """The call as a CUDA graph, which must give what the call gives."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            want = model(x)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = model(x)
    graph.replay()
    check(y, want, "the recorded graph")
    return graph.replay


def check(got, want, what):
    off, largest = (got - want).abs().max().item(), want.abs().max().item()
    if not off <= NEAR * max(1.0, largest):
        raise SystemExit(f"{what} is off by {off} where the largest is {largest}: not timing it")


@torch.inference_mode()
def time_case(name, batch, device, args):
    torch.manual_seed(1)
    made = CASES[name](batch, args.size, args.frames or (16 if name == "stam" else 8))
    if made is None:
        return None
    model, shape, definition = made
    model = model.to(device).eval()
    there = torch.rand(shape)
    about = f"{batch} x " * (batch > 1) + f"{shape[0] // batch}x{args.size}"  # as Kinema's bench says it of a model
    x = there.to(device)
    check(model(x), definition(x).reshape(model(x).shape), f"{name}, batch {batch},")
    eager = median_ms(clock(lambda: model(x), device), args.rounds)
    graph = median_ms(clock(recorded(model, x), device), args.rounds) if device == "cuda" else None
    there = there.pin_memory() if device == "cuda" else there
    whole = median_ms(wall(lambda: model(there.to(device, non_blocking=True)).cpu()), args.rounds)
    return {"name": name, "batch": batch, "about": about, "input": list(shape), "eagerMs": eager, "graphMs": graph, "inToOutMs": whole}


def kinemas(files):
    """(name, sizes) -> ms of the network alone, and (name,) -> of a kernel, of Kinema's f32 reports; of kernels in several bodies none."""
    times = {}
    for file in files:
        with open(file, encoding="utf-8") as text:
            report = json.load(text)
        if report.get("weights", "f32") != "f32":
            sys.exit(f"{file} is of {report['weights']} weights; PyTorch is timed in f32")
        for kernel in report["kernels"]:
            if kernel["timing"] and not kernel["about"].endswith(", f32"):
                times[(kernel["name"],)] = kernel["timing"]["ms"]
        for model in report["models"]:
            if model["timing"]:
                timing = model["timing"]
                times[model["name"], model["about"]] = timing.get("networkMs", timing["ms"])
    return times


def table(results, times):
    rows = [["case", "batch", "eager ms", "graph ms", "in to out ms", *(["Kinema ms", "Kinema / PyTorch"] if times else [])]]
    for r in results:
        best = min(ms for ms in (r["eagerMs"], r["graphMs"]) if ms is not None)
        ours = times.get((r["name"],)) or times.get((r["name"], r["about"]))
        against = [f"{ours:.3f}", f"{ours / best:.2f}"] if ours else ["-", "-"]
        cells = ["-" if ms is None else f"{ms:.3f}" for ms in (r["eagerMs"], r["graphMs"], r["inToOutMs"])]
        rows.append([r["name"], str(r["batch"]), *cells, *(against if times else [])])
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def main():
    parser = argparse.ArgumentParser(description="Times PyTorch on the cases of Kinema's bench.")
    parser.add_argument("--case", action="append", choices=list(CASES), help="default: all")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--size", type=int, default=224, help="of a frame; for a try")
    parser.add_argument("--frames", type=int, help="of a clip; default 8, of stam 16")
    parser.add_argument("--json", metavar="F")
    parser.add_argument("--against", nargs="+", metavar="OUT.json", default=[])
    args = parser.parse_args()
    times = kinemas(args.against)  # a wrong file ends it before minutes of work
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    place = torch.cuda.get_device_name() if device == "cuda" else f"processor, {torch.get_num_threads()} threads"
    print(f"PyTorch {torch.__version__}, {place}, f32, TF32 off", flush=True)
    results = []
    for name in args.case or CASES:
        for batch in args.batch:
            result = time_case(name, batch, device, args)
            if result:
                print(f"{name}, batch {batch}: {result['eagerMs']:.3f} ms", file=sys.stderr, flush=True)
                results.append(result)
    print(table(results, times))
    if args.json:
        versions = {"torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
        date = datetime.now(timezone.utc).isoformat(timespec="seconds")
        report = {"format": "torch-bench-1", "date": date, "device": place, **versions, "cases": results}
        with open(args.json, "w", encoding="utf-8") as out:
            json.dump(report, out, indent=1)


if __name__ == "__main__":
    main()
