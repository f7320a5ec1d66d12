"""Writes test/golden/models/<model>.<container>.{gz,json}: PyTorch checkpoints with the tensor data punched out.

    python3 tools/reference/export_skeleton.py [MODEL ...]

torch.save writes the whole checkpoint of each TSM model with synthetic weights, in both containers, under the official key
names. The .gz keeps every byte of that file that is not tensor data; the .json says where which tensor goes, and the size
and SHA-256 of the whole. test/assemble.ts puts the file together again from the weight recipe, byte for byte, without Python.

Legacy files name their storages by memory address: a new run gives other addresses, another order and another SHA-256.
"""
import gzip
import hashlib
import io
import json
import os
import pickle
import sys
import tempfile
import zipfile
from collections import OrderedDict

import torch

import models
import names
import synthetic
from checkpoint import checkpoint_object

FOLDER = os.path.join(os.path.dirname(__file__), "../../test/golden/models")
CONTAINERS = ("legacy", "zip")


class KeyReader(pickle.Unpickler):
    """Reads a checkpoint's pickle with a storage key in the place of each tensor; resolves no global but the harmless."""

    def persistent_load(self, saved_id):
        return saved_id[2]

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if name == "_rebuild_tensor_v2":
            return lambda storage, *rest: storage
        return type(name, (), {})


def keys_by_storage(saved):
    """{storage key: checkpoint key} of the object a KeyReader returned."""
    state_dict = saved.get("state_dict", saved)
    return {storage: key for key, storage in state_dict.items()}


def legacy_storages(data):
    """[(offset of the data, checkpoint key)] in file order."""
    stream = io.BytesIO(data)
    for _ in range(3):
        pickle.load(stream)
    key_of = keys_by_storage(KeyReader(stream).load())
    order, position, found = pickle.load(stream), stream.tell(), []
    for storage in order:
        found.append((position + 8, key_of[storage]))
        count = int.from_bytes(data[position : position + 8], "little")
        position += 8 + count * (8 if key_of[storage].endswith("num_batches_tracked") else 4)
    assert position == len(data)
    return found


def zip_storages(data):
    archive = zipfile.ZipFile(io.BytesIO(data))
    top = archive.namelist()[0].split("/")[0]
    key_of = keys_by_storage(KeyReader(archive.open(f"{top}/data.pkl")).load())
    found = []
    for storage, key in key_of.items():
        start = archive.getinfo(f"{top}/data/{storage}").header_offset
        lengths = [int.from_bytes(data[start + at : start + at + 2], "little") for at in (26, 28)]
        found.append((start + 30 + sum(lengths), key))
    return sorted(found)


def export(name, container):
    model = synthetic.fill(models.build(name))
    saved = checkpoint_object(name, model)
    shapes = {key: list(value.shape) for key, value in saved.get("state_dict", saved).items()}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"{name}.pth")
        torch.save(saved, path, _use_new_zipfile_serialization=container == "zip")
        with open(path, "rb") as file:
            data = file.read()
    storages, frame, position = [], bytearray(), 0
    for offset, key in legacy_storages(data) if container == "legacy" else zip_storages(data):
        frame += data[position:offset]
        elements = model.state_dict()[plain_key(key)].numel()
        position = offset + elements * (8 if key.endswith("num_batches_tracked") else 4)
        storages.append([offset, names.canonical(key) or "num_batches_tracked", shapes[key]])
    frame += data[position:]
    layout = {
        "script": "tools/reference/export_skeleton.py",
        "torch": torch.__version__,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "storages": storages,
    }
    write(name, container, bytes(frame), layout)


def plain_key(key):
    return key[len("module.") :] if key.startswith("module.") else key


def write(name, container, frame, layout):
    stem = os.path.join(FOLDER, f"{name}.{container}")
    with open(f"{stem}.gz", "wb") as file:
        file.write(gzip.compress(frame, 9, mtime=0))
    rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in layout.pop("storages"))
    head = json.dumps(layout, indent=1)[:-2]
    with open(f"{stem}.json", "w") as file:
        file.write(f'{head},\n "storages": [\n{rows}\n]}}\n')
    print(f"{name} {container}: {layout['bytes']} bytes, skeleton {len(frame)} (gzip {os.path.getsize(stem + '.gz')})")


if __name__ == "__main__":
    for name in sys.argv[1:] or [name for name in models.CLASSES if name.startswith("tsm-")]:
        for container in CONTAINERS:
            export(name, container)
