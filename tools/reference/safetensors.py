"""A minimal writer of the safetensors format (8-byte header length, JSON header, raw little-endian data)."""
import json

import numpy as np

DTYPES = {"float32": "F32", "int64": "I64"}


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
