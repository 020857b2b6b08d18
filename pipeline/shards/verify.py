"""Verifies the pixels of a shard on disk, as HDF5 reads them, by the checksums in it."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ShardError
from pipeline.shards import codecs, image_md5, layout
from pipeline.shards.pyramid import pyramid
from pipeline.trust.fault import Fault

READ_BYTES = 24 * 2**20  # as many images as are hashed at once (8 of 1024²)
DIFFERS = "differs from its recorded MD5"
UNLIKE_LARGEST = "is not the mean of its largest level"


def faults_of_shard(path: Path) -> Iterator[Fault]:
    """All faults of a shard: images that cannot be read, or differ from their MD5s or from the means of larger ones.

    The images of the largest level have MD5s; those of the other levels are compared with the means of the largest,
    where that is as it was. Errors of HDF5 about the file as a whole are raised.
    """
    with h5py.File(path, "r", rdcc_nbytes=0, locking=False) as file:
        header = layout.read_header(file)
        codecs.make_readable(header.codec)
        names = layout.read_texts(file, layout.IDENTITY_FILE)
        md5s = layout.read_texts(file, layout.IDENTITY_MD5)
        if len(names) != len(md5s):
            raise ShardError(f"{path}: has {len(names)} names and {len(md5s)} MD5s of images; {layout.REMEDY}")
        means: dict[int, _Means] = {}
        for resolution in layout.level_resolutions(header.resolution):
            level = file.get(layout.level_name(resolution))
            shape = (len(md5s), layout.CHANNELS, resolution, resolution)
            if not isinstance(level, h5py.Dataset):
                yield Fault(path, "is absent", f"{resolution}x{resolution}")
            elif level.shape != shape or level.dtype != np.uint8:
                problem = f"has shape {level.shape} and type {level.dtype} for {len(md5s)} images"
                yield Fault(path, problem, f"{resolution}x{resolution}")
            else:
                means[resolution] = _Means(path, level, names)
        if header.resolution in means:
            largest = means.pop(header.resolution)
            yield from _faults_of_images(path, largest.level, names, md5s, means)


def _faults_of_images(
    path: Path, level: h5py.Dataset, names: list[str], md5s: list[str], means: "dict[int, _Means]"
) -> Iterator[Fault]:
    """The faults of the largest level, then those of the other ones."""
    resolution, rows = level.shape[-1], max(1, READ_BYTES // int(np.prod(level.shape[1:])))
    for start in range(0, len(level), rows):
        for first, images_NCHW in _read(level, start, min(start + rows, len(level))):
            if isinstance(images_NCHW, str):
                yield Fault(path, images_NCHW, _name(level), names[first])
                continue
            found = image_md5.md5s(images_NCHW)
            same_N = np.array([md5 == expected for md5, expected in zip(found, md5s[first:], strict=False)])
            for place in (first + np.flatnonzero(~same_N)).tolist():
                yield Fault(path, f"{DIFFERS} {md5s[place]}", _name(level), names[place])
            levels = dict(zip(layout.level_resolutions(resolution), pyramid(images_NCHW), strict=True))
            for smaller, expected in means.items():
                yield from expected.add(first, levels[smaller][same_N], np.flatnonzero(same_N))
    for expected in means.values():
        yield from expected.compare()


class _Means:
    """A small level, compared with the means of the largest one some chunks at a time."""

    def __init__(self, path: Path, level: h5py.Dataset, names: list[str]) -> None:
        self.level = level
        self._path = path
        self._names = names
        self._rows = codecs.chunk_rows(level.shape[-1])
        self._places: list[NDArray[np.int64]] = []
        self._pending: list[NDArray[np.uint8]] = []
        self._start = 0

    def add(self, first: int, means_NCHW: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Iterator[Fault]:
        """The means of the images `first` + `offsets`; the faults of chunks that are complete."""
        if first // self._rows > self._start // self._rows:
            yield from self.compare()
            self._start = first
        self._places.append(first + offsets)
        self._pending.append(means_NCHW)

    def compare(self) -> Iterator[Fault]:
        """The faults of the images whose means are pending."""
        places = np.concatenate([np.empty(0, np.int64), *self._places])
        if len(places):
            means_NCHW = np.concatenate(self._pending)
            for first, found_NCHW in _read(self.level, int(places[0]), int(places[-1]) + 1):
                if isinstance(found_NCHW, str):
                    yield Fault(self._path, found_NCHW, _name(self.level), self._names[first])
                    continue
                mine = slice(*np.searchsorted(places, [first, first + len(found_NCHW)]).tolist())
                different = (found_NCHW[places[mine] - first] != means_NCHW[mine]).any((1, 2, 3))
                for place in places[mine][different].tolist():
                    yield Fault(self._path, UNLIKE_LARGEST, _name(self.level), self._names[place])
        self._places, self._pending = [], []


def _name(level: h5py.Dataset) -> str:
    return f"{level.shape[-1]}x{level.shape[-1]}"


def _read(level: h5py.Dataset, start: int, stop: int) -> Iterator[tuple[int, NDArray[np.uint8] | str]]:
    """Images and the position of the first; one at a time, or the error, where HDF5 cannot read them all."""
    try:
        images_NCHW = level[start:stop]
    except (OSError, RuntimeError):
        for place in range(start, stop):
            try:
                images_NCHW = level[place : place + 1]
            except (OSError, RuntimeError) as error:
                yield place, f"cannot be read ({error})"
            else:
                yield place, images_NCHW
    else:
        yield start, images_NCHW
