"""Random access to the images of a data set of shards, at any resolution.

Needs only numpy and h5py (and hdf5plugin for the codec zstd). Where isal (for gzip) or pyarrow (for zstd) is installed,
chunks are read and decompressed by these instead of HDF5, in a fraction of the time and several at once.
"""

import math
import multiprocessing
import os
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline.cores import cores
from pipeline.errors import ShardError
from pipeline.shards import codecs, layout, open_files

OPEN_SHARDS = 256
"""The most shards that a reader keeps open; fewer where the process may open few files."""

THREADED_BYTES = 2**20
"""Of pixels in a request: fewer are read without threads."""


class DataSet:
    """The images of a folder that the stage `shard` or `lsun` published.

    Each process opens the shards for itself when it first reads them, so the object may be pickled or used after a
    fork. Within a process it may be used by one thread at a time. For itself it uses a thread for each core of the
    process to read many pixels, but none in a child process, since its siblings use the other cores.

    Parameters
    ----------
    folder
        Holds `dataset.h5` and the shards.

    Attributes
    ----------
    header
        Resolution, codec, decoder... of the data set.
    resolution
        R, in pixels.
    index, files, md5s
        Per image: its number and name in the source, and the MD5 of its full-resolution (3, R, R) bytes.
    labels
        (N, L) float32, or None.

    Raises
    ------
    ShardError
        The folder holds no data set, an incomplete one, or one of another format version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        view = folder / layout.VIEW
        if not view.is_file():
            raise ShardError(f"{view}: no such file, so {folder} is no data set. Run dvc repro shard (or lsun).")
        try:
            with h5py.File(view, "r", locking=False) as file:
                self.header = layout.read_header(file)
                self.index: NDArray[np.int64] = layout.read_values(file, layout.IDENTITY_INDEX)
                self.files = layout.read_texts(file, layout.IDENTITY_FILE)
                self.md5s = layout.read_texts(file, layout.IDENTITY_MD5)
                self._names = layout.read_texts(file, layout.SHARD_FILE)
                counts: NDArray[np.int64] = layout.read_values(file, layout.SHARD_IMAGES)
                sizes: list[int] = layout.read_values(file, layout.SHARD_BYTES).tolist()
        except OSError as error:
            raise ShardError(f"{view}: HDF5 cannot open it ({error}). Make it again: dvc repro shard.") from error
        self.resolution = self.header.resolution
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        self._check_complete(sizes)
        self.labels = self._read_labels()
        codecs.make_readable(self.header.codec)
        self._open: OrderedDict[int, _Shard] = OrderedDict()
        self._inherited: OrderedDict[int, _Shard] = OrderedDict()
        self._process = os.getpid()

    def __len__(self) -> int:
        return len(self.index)

    def read(self, resolution: int, indices: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """Read the images at positions `indices`, in that order, with repeats: uint8 RGB (n, 3, r, r).

        `ShardError` if the data set has no such resolution or position, or a shard is damaged.
        """
        requested = np.asarray(indices, np.int64).reshape(-1)
        self._check_request(resolution, requested)
        images_NCHW = np.empty((len(requested), layout.CHANNELS, resolution, resolution), np.uint8)
        order = np.argsort(requested, kind="stable")  # a chunk is read once
        shard_of = np.searchsorted(self._starts, requested[order], side="right") - 1
        pool = _threads(os.getpid(), cores()) if _is_large(images_NCHW) else None
        reading: list[tuple[int, Future[None]]] = []
        try:
            for shard in np.unique(shard_of).tolist():
                places = order[shard_of == shard]
                if shard not in self._open and len(self._open) >= _most_open():
                    self._finish(reading, resolution)  # another shard will be closed
                with self._naming(shard, resolution):
                    rows = requested[places] - self._starts[shard]
                    for chunk in self._shard(shard).chunks(resolution, rows, places, images_NCHW):
                        if pool is None:
                            chunk()
                        else:
                            reading.append((shard, pool.submit(chunk)))
            self._finish(reading, resolution)
        finally:
            wait([future for _, future in reading])  # of a file that stays open
        return images_NCHW

    def close(self) -> None:
        """Close the shards that this process opened; reading opens them again."""
        if self._process == os.getpid():
            for file in self._open.values():
                file.close()
        self._open.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": OrderedDict(), "_inherited": OrderedDict()}

    def _shard(self, shard: int) -> "_Shard":
        if self._process != os.getpid():
            # the handles of the parent of a fork are its own: they are kept unused, since to drop them would close them
            self._inherited = self._open
            self._open, self._process = OrderedDict(), os.getpid()
        if shard not in self._open:
            if len(self._open) >= _most_open():
                self._open.popitem(last=False)[1].close()
            codecs.make_readable(self.header.codec)
            self._open[shard] = _Shard(self.folder / self._names[shard])
        self._open.move_to_end(shard)
        return self._open[shard]

    def _finish(self, reading: list[tuple[int, Future[None]]], resolution: int) -> None:
        for shard, future in reading:
            with self._naming(shard, resolution):
                future.result()
        reading.clear()

    @contextmanager
    def _naming(self, shard: int, resolution: int) -> Generator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:
            raise ShardError(
                f"{self.folder / self._names[shard]}: HDF5 cannot read images of {resolution}x{resolution} from it "
                f"({error}). Copy the shard again, or run dvc repro shard."
            ) from error

    def _check_complete(self, sizes: list[int]) -> None:
        for name, size in zip(self._names, sizes, strict=True):
            path = self.folder / name
            found = path.stat().st_size if path.is_file() else None
            if found != size:
                fault = "is missing" if found is None else f"has {found} bytes instead of {size}"
                raise ShardError(
                    f"{path}: {fault}; the data set has {len(self._names)} shards and needs them all. "
                    f"Copy the folder again, or run dvc repro shard."
                )

    def _read_labels(self) -> NDArray[np.float32] | None:
        path = self.folder / layout.LABELS
        if not path.is_file():
            return None
        labels: NDArray[np.float32] = np.load(path, allow_pickle=False)
        if labels.ndim != 2 or len(labels) != len(self):
            raise ShardError(f"{path}: has shape {labels.shape}, but the data set has {len(self)} images")
        return labels.astype(np.float32)

    def _check_request(self, resolution: int, requested: NDArray[np.int64]) -> None:
        levels = layout.level_resolutions(self.resolution)
        if resolution not in levels:
            raise ShardError(f"{self.folder}: has no resolution {resolution}; there are {', '.join(map(str, levels))}")
        if len(requested) and not 0 <= requested.min() <= requested.max() < len(self):
            raise ShardError(
                f"{self.folder}: no position {requested.min()} or {requested.max()}; there are 0 to {len(self) - 1}"
            )


class _Shard:
    """An open shard."""

    def __init__(self, path: Path) -> None:
        # chunks are read whole and once, so HDF5's chunk cache (MiB per level) would be of no use
        self._file = h5py.File(path, "r", rdcc_nbytes=0, locking=False)
        self._levels: dict[int, tuple[h5py.Dataset, codecs.Decompress | None]] = {}

    def close(self) -> None:
        self._levels.clear()
        self._file.close()

    def chunks(
        self, resolution: int, rows: NDArray[np.int64], places: NDArray[np.int64], out_NCHW: NDArray[np.uint8]
    ) -> Generator[Callable[[], None]]:
        """Find the chunks of the sorted `rows`; each call reads one to its `places` of `out_NCHW`, in any thread.

        Until all calls have returned, the shard must not be closed.
        """
        if resolution not in self._levels:
            level = layout.dataset(self._file, layout.level_name(resolution))
            self._levels[resolution] = level, codecs.decompressor(level)
        level, decompress = self._levels[resolution]
        size = level.chunks[0] if level.chunks else 1
        cuts = np.flatnonzero(np.diff(rows // size)) + 1
        for start, stop in pairwise([0, *cuts.tolist(), len(rows)]):
            first = int(rows[start]) // size * size
            wanted = rows[start:stop] - first, places[start:stop]
            stored = None if decompress is None else level.id.get_chunk_info_by_coord((first, 0, 0, 0))
            if decompress is None or stored is None or stored.filter_mask:  # HDF5 may store a chunk without its filter
                yield partial(_copy, level[first : first + size], wanted, out_NCHW)
            else:
                place = self._file.id.get_vfd_handle(), stored.byte_offset, stored.size
                yield partial(_decompress, decompress, place, level.chunks or (), wanted, out_NCHW)


def _decompress(
    decompress: codecs.Decompress,
    file_start_size: tuple[int, int, int],
    shape: tuple[int, ...],
    rows_and_places: tuple[NDArray[np.int64], NDArray[np.int64]],
    out_NCHW: NDArray[np.uint8],
) -> None:
    file, start, size = file_start_size
    pixels = np.frombuffer(decompress(os.pread(file, size, start), math.prod(shape)), np.uint8)
    if pixels.size != math.prod(shape):
        raise OSError(f"a chunk has {pixels.size} bytes instead of {math.prod(shape)}")
    _copy(pixels.reshape(shape), rows_and_places, out_NCHW)


def _copy(
    chunk_NCHW: NDArray[np.uint8],
    rows_and_places: tuple[NDArray[np.int64], NDArray[np.int64]],
    out_NCHW: NDArray[np.uint8],
) -> None:
    for row, place in zip(*(numbers.tolist() for numbers in rows_and_places), strict=True):
        out_NCHW[place] = chunk_NCHW[row]


def _most_open() -> int:
    """The most shards that are open at once."""
    return min(OPEN_SHARDS, open_files.few())


def _is_large(images_NCHW: NDArray[np.uint8]) -> bool:
    """Whether threads are worth their cost; a child process has none, since its siblings use the other cores."""
    return images_NCHW.nbytes >= THREADED_BYTES and len(images_NCHW) > 1 and multiprocessing.parent_process() is None


@cache
def _threads(process: int, count: int) -> ThreadPoolExecutor:
    """`count` threads of this process, whose number is `process`: those of its parent are not there after a fork.

    They stay, since memory that was used in a thread is freed when it ends.
    """
    return ThreadPoolExecutor(count, f"shards-{process}")
