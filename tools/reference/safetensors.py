"""A minimal reader and writer of the safetensors format (8-byte header length, JSON header, raw little-endian data)."""
import json

import numpy as np

DTYPES = {"float32": "F32", "int64": "I64"}
TO_F32 = {
    "F32": lambda data: np.frombuffer(data, np.float32),
    "F16": lambda data: np.frombuffer(data, np.float16).astype(np.float32),
    "BF16": lambda data: (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32),
}


def write(path, tensors, metadata):
    """Writes {name: array} (f32 or int64) with {str: str} metadata; the header is padded with blanks to 8 bytes."""
    header, offset, chunks = {"__metadata__": metadata}, 0, []
    for name, array in tensors.items():
        data = np.ascontiguousarray(array).tobytes()
        dtype = DTYPES[str(array.dtype)]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
        chunks.append(data)
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        file.writelines(chunks)


def read(path):
    """({name: f32 array}, metadata) of a file whose tensors are F32, F16 or BF16."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensors[name] = TO_F32[entry["dtype"]](data[begin:end]).reshape(entry["shape"])
    return tensors, metadata
