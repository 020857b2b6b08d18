"""TFRecords as the original TensorFlow implementation reads them: a file for each resolution from 4x4 up.

A record is a `tf.train.Example` with the features `shape` (3, r, r) and `data`, the uint8 RGB bytes of an image. Labels
are float32 (N, L) in numpy's form, in a file named `-rxx.labels`. Records of one file have one size, so every process
writes to its own places.
"""

import functools
import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import atomic
from pipeline.errors import ExportError
from pipeline.shards import layout
from pipeline.shards.export.plan import Format, Image, Part, Plan, placing, release, reserve, write_metadata

SMALLEST = 4


class TfRecords(Format):
    """`NAME-r02.tfrecords`... and `NAME-rxx.labels`, where NAME is the name of the folder."""

    names_folder = True
    needs = ("google_crc32c", "tfrecord")

    def levels(self, plan: Plan) -> tuple[int, ...]:
        """R, R/2, ..., 4."""
        if plan.resolution < SMALLEST:
            raise ExportError(f"resolution {plan.resolution}: the reader of TFRecords expects images of 4x4 or larger")
        return tuple(level for level in layout.level_resolutions(plan.resolution) if level >= SMALLEST)

    def size(self, plan: Plan) -> int:
        """Of all levels."""
        return len(plan.items) * (sum(map(record_size, self.levels(plan))) + 2048)

    def begin(self, plan: Plan) -> None:
        """Make the files."""
        for level in self.levels(plan):
            reserve(plan, _file(plan, level), len(plan.items) * record_size(level))

    def write(self, plan: Plan, part: Part, images: Iterator[Image]) -> list[Any]:
        """Write the records of a part, at all levels."""
        with ExitStack() as stack:
            streams = {
                level: stack.enter_context(placing(plan, _file(plan, level), part.start * record_size(level)))
                for level in self.levels(plan)
            }
            for image in images:
                for level, pixels_CHW in image.levels.items():
                    streams[level].write(record(example(level, pixels_CHW.tobytes())))
        return [None] * (part.stop - part.start)

    def finish(self, plan: Plan, md5s: Sequence[str], values: Sequence[Any]) -> None:
        """Name the files; write the labels and the metadata, whose `file_name` is that of the largest level."""
        for level in self.levels(plan):
            release(plan, _file(plan, level))
        if plan.classes:
            with atomic.writing(plan.out / f"{plan.out.name}-rxx.labels") as partial, partial.open("wb") as stream:
                np.save(stream, label_values(plan))
        write_metadata(plan, md5s, [_file(plan, plan.resolution)] * len(plan.items))


def label_values(plan: Plan) -> NDArray[np.float32]:
    """The labels of the images of a plan, which has some, as numbers: float32 (N, L), classes one-hot."""
    labels = np.array([item.label for item in plan.items])
    return labels.astype(np.float32) if labels.ndim == 2 else np.eye(plan.classes or 0, dtype=np.float32)[labels]


def example(resolution: int, data: bytes) -> bytes:
    """A `tf.train.Example` of the pixels of an image, in the protocol buffers' wire format."""
    shape = b"".join(map(_varint, (layout.CHANNELS, resolution, resolution)))
    features = {b"shape": _field(3, _field(1, shape)), b"data": _field(1, _field(1, data))}
    entries = [_field(1, _field(1, name) + _field(2, feature)) for name, feature in features.items()]
    return _field(1, b"".join(entries))


def record(content: bytes) -> bytes:
    """A TFRecord: length, its masked CRC-32C, the content, and its masked CRC-32C."""
    length = len(content).to_bytes(8, "little")
    return length + _masked_crc(length) + content + _masked_crc(content)


@functools.cache
def record_size(resolution: int) -> int:
    """Bytes of the record of an image."""
    return len(example(resolution, bytes(layout.CHANNELS * resolution**2))) + 16


def _file(plan: Plan, level: int) -> str:
    return f"{plan.out.name}-r{level.bit_length() - 1:02d}.tfrecords"


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    content = bytearray()
    while value > 127:
        content.append(value & 127 | 128)
        value >>= 7
    content.append(value)
    return bytes(content)


def _masked_crc(content: bytes) -> bytes:
    crc = _crc32c()(content)
    return (((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


@functools.cache
def _crc32c() -> Callable[[bytes], int]:
    return importlib.import_module("google_crc32c").value
