#!/usr/bin/env python3
"""Writes small torch.save files and what they hold to test/golden/torch/.

Usage: /usr/bin/python3 tools/make_torch_fixtures.py   (any Python with torch >= 1.6)
The files in the repository were written by the torch named in expected.json.
"""

import argparse
import collections
import json
import pathlib
import pickle
import pickletools
import struct

import numpy as np
import torch

OUT = pathlib.Path(__file__).resolve().parent.parent / "test" / "golden" / "torch"
EXPECTED: dict = {"torch": torch.__version__, "numpy": np.__version__, "files": {}}
NAMES = {
    torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}


def ramp(*shape, dtype=torch.float32, start=0.0):
    """Values that differ in every element and are exact in each dtype that is used."""
    count = int(np.prod(shape)) if shape else 1
    return (torch.arange(count, dtype=torch.float64) * 0.25 + start).reshape(shape).to(dtype)


def expect(file, tensors, metadata=None):
    EXPECTED["files"][file] = {
        "metadata": metadata or {},
        "tensors": {
            name: {
                "dtype": NAMES[tensor.dtype],
                "shape": list(tensor.shape),
                "values": tensor.detach().to(torch.float64).contiguous().reshape(-1).tolist(),
            }
            for name, tensor in tensors.items()
        },
    }


def save(stem, value, tensors, metadata=None, **options):
    for kind, zipped in (("legacy", False), ("zip", True)):
        file = f"{stem}.{kind}.pt"
        torch.save(value, OUT / file, _use_new_zipfile_serialization=zipped, **options)
        expect(file, tensors, metadata)


def dtypes():
    state = collections.OrderedDict()
    for dtype, name in NAMES.items():
        state[f"a.{name}"] = ramp(3, 5, dtype=dtype) if dtype != torch.bool else torch.tensor([True, False, True])
    state["scalar"] = torch.tensor(108680)
    state["empty"] = torch.zeros(0, 3)
    state["halves"] = torch.tensor([1.0, -2.5, 65504.0, 6e-8, 0.0, -6.1e-5], dtype=torch.float16)
    save("dtypes", state, state)


def views():
    """Everything that shares or strides a storage."""
    base = ramp(6, 7)
    column = ramp(5, 1)
    state = {
        "base": base,
        "rows": base[2:5],
        "transposed": base.t(),
        "every_other": base[1::2, ::3],
        "element": base[3, 4],
        "permuted": ramp(2, 3, 4, start=100.0).permute(2, 0, 1),
        "expanded": column.expand(5, 3)[:2],
        "window": base.as_strided((2, 3), (8, 2), 5),
    }
    save("views", state, state)


def module():
    """A module's own state dict: OrderedDict with _metadata, scalar counters."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))
    save("module", net.state_dict(), net.state_dict())


def wrapper():
    """What a training script of 2019 saves."""
    state = collections.OrderedDict(
        [("module.conv.weight", ramp(4, 2, 1, 1)), ("module.conv.bias", ramp(4, start=9.0))]
    )
    parameter = torch.nn.Parameter(ramp(3))
    momentum = {"state": {0: {"momentum_buffer": ramp(3)}}, "param_groups": [{"lr": 0.01, "params": [0]}]}
    value = {
        "epoch": 50,
        "arch": "resnet50",
        "state_dict": state,
        "optimizer": momentum,
        "best_prec1": np.float64(71.25),
        "args": argparse.Namespace(lr=0.01, gpus=[0, 1]),
        "loss_type": "nll",
        "history": collections.defaultdict(list, {"loss": [1.5, 0.5]}),
        "extra": parameter,
    }
    save("wrapper", value, state, {"epoch": "50", "arch": "resnet50", "loss_type": "nll"})
    nested = {"model": {"state_dict": {"p": parameter}}}
    save("nested", nested, {"p": parameter})


def protocol_4():
    state = collections.OrderedDict([("a.weight", ramp(2, 3)), ("a.bias", ramp(2))])
    save("protocol4", state, state, pickle_protocol=4)


class Python2:
    """A pickle as Python 2 wrote it: protocol 2, str as (SHORT_)BINSTRING, OrderedDict as REDUCE of a list of lists."""

    def __init__(self):
        self.out = bytearray(b"\x80\x02")

    def text(self, value):
        raw = value.encode()
        self.out += b"U" + bytes([len(raw)]) + raw if len(raw) < 256 else b"T" + struct.pack("<i", len(raw)) + raw

    def number(self, value):
        self.out += b"K" + bytes([value]) if value < 256 else b"J" + struct.pack("<i", value)

    def tensor(self, key, count, offset, shape, strides):
        self.out += b"ctorch._utils\n_rebuild_tensor\n((" if offset else b"ctorch._utils\n_rebuild_tensor_v2\n(("
        self.text("storage")
        self.out += b"ctorch\nFloatStorage\n"
        self.text(key)
        self.text("cuda:0")
        self.number(count)
        self.out += b"NtQ"
        self.number(offset)
        for items in (shape, strides):
            self.out += b"("
            for item in items:
                self.number(item)
            self.out += b"t"
        self.out += b"tR" if offset else b"\x89ccollections\nOrderedDict\n)RtR"


def python2():
    """Legacy container around such a pickle; torch reads it back as a proof."""
    base = ramp(4, 5)
    long_name = "layer." + "x" * 300 + ".weight"
    tensors = {"w": base, long_name: base[1:3]}
    p = Python2()
    p.out += b"}q\x00("
    p.text("state_dict")
    p.out += b"ccollections\nOrderedDict\n](" + b"]("
    p.text("w")
    p.tensor("94032", 20, 0, (4, 5), (5, 1))
    p.out += b"e]("
    p.text(long_name)
    p.tensor("94032", 20, 5, (2, 5), (5, 1))
    p.out += b"ee\x85R"
    p.text("epoch")
    p.out += b"I12\n"
    p.text("best_prec1")
    p.out += b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n("
    p.text("f8")
    p.out += b"K\x00K\x01tR(K\x03"
    p.text("<")
    p.out += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    p.out += b"U\x08" + struct.pack("<d", 70.5) + b"tR"
    p.text("seed")
    p.out += b"L99999999999L\n"
    p.out += b"u."
    pickletools.dis(bytes(p.out), out=open("/dev/null", "w"))
    file = OUT / "python2.legacy.pt"
    with open(file, "wb") as f:
        pickle.dump(0x1950A86A20F9469CFC6C, f, protocol=2)
        pickle.dump(1001, f, protocol=2)
        sizes = {"short": 2, "int": 4, "long": 4}
        pickle.dump({"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}, f, protocol=2)
        f.write(p.out)
        pickle.dump(["94032"], f, protocol=2)
        f.write(struct.pack("<q", 20) + base.numpy().tobytes())
    back = torch.load(file, map_location="cpu", encoding="latin1")["state_dict"]
    assert list(back) == list(tensors) and all(torch.equal(back[k], v) for k, v in tensors.items())
    expect(file.name, tensors, {"epoch": "12", "seed": "99999999999"})


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for build in (dtypes, views, module, wrapper, protocol_4, python2):
        build()
    (OUT / "expected.json").write_text(json.dumps(EXPECTED, separators=(",", ":")) + "\n")
    print(f"{sum(f.stat().st_size for f in OUT.iterdir())} bytes in {OUT.name}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
