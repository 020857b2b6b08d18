"""The last shards in parts, which several workers make: a worker that makes a whole one alone keeps the others waiting.

A part is a shard with some of the images of another one. The task that joins the parts writes their images as if it
rendered them, so the file has the bytes of one that was made at once, whatever the number of workers.
"""

import hashlib
import math
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline import atomic, chunks, manifest, sizes
from pipeline.chunks import Chunk
from pipeline.errors import RejectedInputError, ShardError
from pipeline.manifest import Selected, Sharded
from pipeline.params import Params
from pipeline.shards import codecs, layout

PIXELS = 16 * 1024**2
"""Of the images of a part: half a minute with the x4 network on a processor."""
FEW, SHARE = 2000, 8
"""At most the shards of so many images, or this part of all, are in parts, which are on the disk twice for a while."""


def count_in_parts(shards: int, images_per_shard: int, resolution: int, workers: int) -> int:
    """How many of the last shards are made in parts: as many as there are workers, within the limits of `FEW`."""
    if workers == 1 or images_per_shard * resolution**2 <= PIXELS:
        return 0
    return min(workers, shards, max(FEW // images_per_shard, math.ceil(shards / SHARE)))


def parts_of(shards: Sequence[Chunk], finished: Set[str], resolution: int, workers: int) -> dict[Chunk, list[Chunk]]:
    """The parts of the last shards; not of those whose names are `finished`."""
    images, longest = max(1, PIXELS // resolution**2), max((shard.stop - shard.start for shard in shards), default=0)
    count = count_in_parts(len(shards), longest, resolution, workers)
    return {
        shard: [
            Chunk(f"{shard.name}-{start:06d}", start, min(start + images, shard.stop))
            for start in range(shard.start, shard.stop, images)
        ]
        for shard in shards[len(shards) - count :]
        if shard.name not in finished and shard.stop - shard.start > images
    }


def extra_bytes(images: int, params: Params) -> int:
    """About how many bytes the parts take at most, which are removed when their shards are joined."""
    shards = math.ceil(images / params.shard.images_per_shard)
    workers = params.cluster.workers if params.cluster.scheduler is None else max(shards, 2)  # it is not known yet
    each, resolution = min(params.shard.images_per_shard, images), params.align.resolution
    whole = shards - count_in_parts(shards, each, resolution, workers)
    return sizes.shards(max(images - whole * each, 0), resolution, params.shard.codec)


def remove_parts(folder: Path, shards: Sequence[Chunk]) -> None:
    """Remove all chunks but the `shards`."""
    for name in {*chunks.finished_chunks(folder)} - {shard.name for shard in shards}:
        atomic.remove_folder(folder / name)


@dataclass(frozen=True)
class Parts:
    """Opens a renderer that reads the images of parts, by their tables, and rejects the rows that they rejected."""

    tables: Sequence[Path]

    def __call__(self) -> "_Reader":
        """The renderer; called in a worker."""
        return _Reader(self.tables)


class _Reader:
    def __init__(self, tables: Sequence[Path]) -> None:
        self._stored = {
            row.key: (table.with_name(row.shard), row.row, row.image_md5)
            for table in tables
            for row in manifest.iterate_kept(table, Sharded)
        }
        self._dropped = {(drop.index, drop.face): drop for table in tables for drop in manifest.iterate_dropped(table)}
        self._path: Path | None = None
        self._first, self._block_NCHW = 0, np.empty((0, 0, 0, 0), np.uint8)

    def __call__(self, row: Selected) -> NDArray[np.uint8]:
        if (drop := self._dropped.get(row.key)) is not None:
            raise RejectedInputError(drop.reason, drop.detail)
        path, place, md5 = self._stored[row.key]
        if path != self._path or not 0 <= place - self._first < len(self._block_NCHW):
            self._read(path, place)
        image_CHW = self._block_NCHW[place - self._first]
        if hashlib.md5(image_CHW.data, usedforsecurity=False).hexdigest() != md5:  # it may have lain there for days
            raise ShardError(f"{path}, image {place}: differs from what was written. Remove {path.parent}; run again.")
        return image_CHW.transpose(1, 2, 0)

    def _read(self, path: Path, place: int) -> None:
        """Read the block with the image at `place`, as it is compressed."""
        with h5py.File(path, "r", locking=False) as file:
            header = layout.read_header(file)
            codecs.make_readable(header.codec)
            images = layout.dataset(file, layout.level_name(header.resolution))
            rows = (images.chunks or (1,))[0]
            self._path, self._first = path, place // rows * rows
            self._block_NCHW = images[self._first : self._first + rows]
