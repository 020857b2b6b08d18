"""MNIST from its idx files: the digits as they are, or three of them drawn into red, green and blue."""

import gzip
import math
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import SourceError
from pipeline.params import MnistRgbSource, MnistSource
from pipeline.sources.archive_safety import OWN_LIMITS, Limits, too_large
from pipeline.sources.local import link_or_copy, require_file
from pipeline.sources.pictures import Pictures, one_hot
from pipeline.sources.published import Published
from pipeline.sources.source import Arrays, Contents, DataSource

BORDER = 2
"""Black pixels around the 28 x 28 of a digit, which make them 32 x 32 (Karras et al. 2018, appendix E)."""

SIDE = 28
CLASSES = 10
GREY_NAMES = tuple(f"digit_{digit}" for digit in range(CLASSES))
RGB_NAMES = tuple(f"{channel}_{digit}" for channel in ("red", "green", "blue") for digit in range(CLASSES))
UNSIGNED_BYTES = 8
"""The idx format's code for the type of its values."""


class Mnist(DataSource[MnistSource | MnistRgbSource]):
    """The two published files of the training images."""

    published: ClassVar[Mapping[str, tuple[str, str | None]]] = {
        "labels": ("mnist", "train-labels-idx1-ubyte.gz"),
        "images": ("mnist", "train-images-idx3-ubyte.gz"),
    }

    def check(self, params: MnistSource | MnistRgbSource, known: Published | None) -> None:
        """See `DataSource.check`; images and labels are read."""
        assert known is not None
        files = params.images, params.labels
        for file in files:
            require_file(file)
        known.check(files)
        load(*files, None, 0, known.limits or OWN_LIMITS)

    def fill(self, params: MnistSource | MnistRgbSource, known: Published | None, folder: Path) -> Contents:
        """See `DataSource.fill`."""
        for path in (params.images, params.labels):
            link_or_copy(path, folder / path.name)
        draw, seed = (params.count, params.seed) if isinstance(params, MnistRgbSource) else (None, 0)
        arrays = Arrays(labels=params.labels.name, draw=draw, seed=seed)
        return Contents(images=params.images.name, numbering="sorted", arrays=arrays)


def load(images: Path, labels: Path, draw: int | None, seed: int, limits: Limits) -> Pictures:
    """The digits in all three channels, or `draw` images of three digits each.

    The three of every image come from `numpy.random.RandomState(seed)`, whose sequence numpy keeps for good; a larger
    `draw` begins with the same images. Labels are the digit, or those in red, green and blue; the mode is
    100 red + 10 green + blue.

    Raises `SourceError` if a file is no idx file of 28 x 28 images, or of as many labels 0...9.
    """
    digits_NHW = read_idx(images, limits)
    classes_N = read_idx(labels, limits)
    if digits_NHW.ndim != 3 or digits_NHW.shape[1:] != (SIDE, SIDE) or not len(digits_NHW):
        raise SourceError(f"{images}: an array of {digits_NHW.shape}, expected N images of {SIDE} x {SIDE} pixels.")
    if classes_N.shape != digits_NHW.shape[:1] or classes_N.max() >= CLASSES:
        raise SourceError(
            f"{labels}: an array of {classes_N.shape} up to {classes_N.max()}, expected a label from 0 to "
            f"{CLASSES - 1} for each of the {len(digits_NHW)} images of {images.name}."
        )
    padded_NHW = np.pad(digits_NHW, ((0, 0), (BORDER, BORDER), (BORDER, BORDER)))
    if draw is None:
        return Pictures(lambda index: np.stack([padded_NHW[index]] * 3, -1), GREY_NAMES, one_hot(classes_N, CLASSES))
    drawn_N3 = np.random.RandomState(seed).randint(0, len(digits_NHW), (draw, 3))
    labels_NL = np.concatenate([one_hot(classes_N[drawn_N3[:, channel]], CLASSES) for channel in range(3)], axis=1)
    return Pictures(lambda index: padded_NHW[drawn_N3[index]].transpose(1, 2, 0), RGB_NAMES, labels_NL)


def read_idx(path: Path, limits: Limits) -> NDArray[np.uint8]:
    """The array of an idx file of unsigned bytes, gzipped or not.

    Raises `SourceError` if it is none, is damaged, or has more or fewer values than its header says.
    """
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        most = int(min(limits.member_bytes, limits.ratio * len(content)))
        try:
            with gzip.open(path) as file:
                content = file.read(most + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(f"{path}: damaged ({error}). Fetch it again.") from error
        if len(content) > most:
            raise too_large(path, "", most, "member_bytes or limits.ratio")
    zero, kind, dimensions = struct.unpack(">HBB", content[:4]) if len(content) >= 4 else (0, 0, 0)
    start = 4 + 4 * dimensions
    if zero != 0 or kind != UNSIGNED_BYTES or not dimensions or len(content) < start:
        raise SourceError(f"{path}: no idx file of unsigned bytes (it starts {content[:4].hex(' ')}). Fetch it again.")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    if len(content) != start + math.prod(shape):
        raise SourceError(
            f"{path}: {len(content)} bytes, but its header describes an array of {shape}. Fetch it again, whole."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
