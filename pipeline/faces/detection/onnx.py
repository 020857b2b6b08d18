"""The weights in an ONNX file, by name, without the graph: a reader of the few protobuf fields that hold them.

Field numbers: onnx.proto of ONNX. Only for files of known hash; of others nothing is checked.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

GRAPH = 7  # of ModelProto
INITIALIZER = 5  # of GraphProto
DIMS, FLOAT_DATA, NAME, RAW_DATA = 1, 4, 8, 9  # of TensorProto


def read_weights(content: bytes) -> dict[str, NDArray[np.float32]]:
    """The float32 tensors of an ONNX file, by name and in their shapes."""
    tensors: dict[str, NDArray[np.float32]] = {}
    for graph in _fields(content, GRAPH):
        for tensor in _fields(graph, INITIALIZER):
            name = b"".join(_fields(tensor, NAME)).decode()
            values = np.frombuffer(b"".join([*_fields(tensor, FLOAT_DATA), *_fields(tensor, RAW_DATA)]), "<f4")
            shape = [int.from_bytes(dim, "little") for dim in _fields(tensor, DIMS)]
            if values.size == np.prod(shape):  # others hold integers
                tensors[name] = values.reshape(shape)
    return tensors


def _fields(message: bytes, wanted: int) -> Iterator[bytes]:
    """The values of one field: contents of length-delimited ones, other numbers as 8 bytes, little endian."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        field, wire = key >> 3, key & 7
        if wire == 0:
            number, at = _varint(message, at)
            value = number.to_bytes(8, "little")
        else:
            size, at = _varint(message, at) if wire == 2 else (8 if wire == 1 else 4, at)
            value, at = message[at : at + size], at + size
        if field == wanted:
            yield value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at
