"""CIFAR-10 in its binary version: records of one label and 32 x 32 pixels in planes of red, green and blue."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import SourceError
from pipeline.params import Cifar10Source
from pipeline.sources import archive
from pipeline.sources.archive_safety import OWN_LIMITS, Limits
from pipeline.sources.local import link_or_copy, require_file
from pipeline.sources.pictures import Pictures, one_hot
from pipeline.sources.published import Published
from pipeline.sources.source import Arrays, Contents, DataSource

SIDE, CHANNELS, CLASSES = 32, 3, 10
RECORD_BYTES = 1 + CHANNELS * SIDE * SIDE
FOLDER = "cifar-10-batches-bin"
NAMES = f"{FOLDER}/batches.meta.txt"
TRAINING = tuple(f"{FOLDER}/data_batch_{number}.bin" for number in range(1, 6))
TEST = f"{FOLDER}/test_batch.bin"


class Cifar10(DataSource[Cifar10Source]):
    """The published tar."""

    published: ClassVar[Mapping[str, tuple[str, str | None]]] = {"archive": ("cifar10", "cifar-10-binary.tar.gz")}

    def check(self, params: Cifar10Source, known: Published | None) -> None:
        """See `DataSource.check`; images and labels are read."""
        assert known is not None
        require_file(params.archive)
        known.check([params.archive])
        load(params.archive, known.limits or OWN_LIMITS)

    def fill(self, params: Cifar10Source, known: Published | None, folder: Path) -> Contents:
        """See `DataSource.fill`."""
        link_or_copy(params.archive, folder / params.archive.name)
        return Contents(images=params.archive.name, numbering="sorted", arrays=Arrays())


def load(path: Path, limits: Limits) -> Pictures:
    """The training images of the archive, in the order of their batches; the test batch is checked, not used.

    Raises `SourceError` if the archive lacks a batch, or a batch is no whole number of records of labels 0...9.
    """
    needed = (NAMES, *TRAINING, TEST)
    missing = set(needed) - set(archive.list_members(path, limits))
    if missing:
        raise SourceError(
            f"{path}: lacks {', '.join(sorted(missing))}. Give cifar-10-binary.tar.gz, the binary version of CIFAR-10."
        )
    content = dict(archive.read_members(path, needed))
    batches = {name: _records(path, name, content[name]) for name in (*TRAINING, TEST)}
    records_NB = np.concatenate([batches[name] for name in TRAINING])
    names = tuple(content[NAMES].decode("ascii", "replace").split())
    if len(names) != CLASSES:
        raise SourceError(f"{path}: {NAMES} has {len(names)} names, CIFAR-10 has {CLASSES} classes. Fetch it again.")

    def image(index: int) -> NDArray[np.uint8]:
        return records_NB[index, 1:].reshape(CHANNELS, SIDE, SIDE).transpose(1, 2, 0)

    return Pictures(image, names, one_hot(records_NB[:, 0], CLASSES))


def _records(path: Path, name: str, content: bytes) -> NDArray[np.uint8]:
    count, rest = divmod(len(content), RECORD_BYTES)
    if rest or not count:
        raise SourceError(
            f"{path}: {name} has {len(content)} bytes, no multiple of an image's {RECORD_BYTES}. Fetch it again."
        )
    records_NB = np.frombuffer(content, np.uint8).reshape(count, RECORD_BYTES)
    highest = int(records_NB[:, 0].max())
    if highest >= CLASSES:
        raise SourceError(f"{path}: {name} has a label {highest}, CIFAR-10 has 0 to {CLASSES - 1}. Fetch it again.")
    return records_NB
