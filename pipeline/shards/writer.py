"""Writes a shard: images are added one at a time; the file has all levels, identities and checksums."""

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline import atomic
from pipeline.errors import ShardError
from pipeline.shards import codecs, layout
from pipeline.shards.layout import Header
from pipeline.shards.pyramid import pyramid
from pipeline.shards.verify import verify_shard

BATCH_BYTES = 4 * 2**20  # images are downsampled and written in batches of about this size (one image of 1024²)


class ShardWriter:
    """Appends images to an open shard; see `writing_shard`."""

    def __init__(self, file: h5py.File, header: Header, capacity: int) -> None:
        self._file = file
        self._levels = [_Level(file, r, header.codec, capacity) for r in layout.level_resolutions(header.resolution)]
        self._shape = (layout.CHANNELS, header.resolution, header.resolution)
        self._capacity = capacity
        batch = max(1, min(capacity, BATCH_BYTES // int(np.prod(self._shape))))
        self._batch_NCHW = np.empty((batch, *self._shape), np.uint8)
        self._in_batch = 0
        self._indices: list[int] = []
        self._files: list[str] = []
        self._md5s: list[str] = []
        self._labels: list[NDArray[np.float32]] = []

    def __len__(self) -> int:
        return len(self._indices)

    def add(self, image_CHW: NDArray[np.uint8], *, index: int, file: str, labels: NDArray[np.float32] | None) -> str:
        """Append an image (3, R, R) with its `index` and `file` in the tables and its labels (L,); return its MD5.

        `ShardError` if its shape or type does not fit this shard, or the shard is full.
        """
        if image_CHW.shape != self._shape or image_CHW.dtype != np.uint8:
            raise ShardError(
                f"{file}: image is {image_CHW.dtype} {image_CHW.shape}, this shard takes uint8 {self._shape}; "
                f"the renderer and the shard were set to different resolutions"
            )
        if len(self) == self._capacity:
            raise ShardError(f"{file}: the shard {self._file.filename} was opened for {self._capacity} images only")
        self._batch_NCHW[self._in_batch] = image_CHW
        # of the copy: it is contiguous, and these bytes are written
        digest = hashlib.md5(self._batch_NCHW[self._in_batch].data, usedforsecurity=False).hexdigest()
        self._in_batch += 1
        if self._in_batch == len(self._batch_NCHW):
            self._flush()
        self._indices.append(index)
        self._files.append(file)
        self._md5s.append(digest)
        if labels is not None:
            self._labels.append(labels.astype(np.float32))
        return digest

    def finish(self) -> list[str]:
        """Write the last batch, the identities and the levels' MD5s; return the MD5s, largest level first."""
        if not len(self):
            raise ShardError(f"{self._file.filename}: no image was added; a shard holds at least one")
        self._flush()
        self._file[layout.IDENTITY_INDEX] = np.array(self._indices, np.int64)
        layout.write_texts(self._file, layout.IDENTITY_FILE, self._files)
        layout.write_texts(self._file, layout.IDENTITY_MD5, self._md5s)
        if self._labels:
            self._file[layout.IDENTITY_LABELS] = np.stack(self._labels)
        return [level.finish() for level in self._levels]

    def _flush(self) -> None:
        for level, images_NCHW in zip(self._levels, pyramid(self._batch_NCHW[: self._in_batch]), strict=True):
            level.append(images_NCHW)
        self._in_batch = 0


@contextmanager
def writing_shard(path: Path, header: Header, capacity: int) -> Generator[ShardWriter]:
    """Write a shard of at most `capacity` images to `path` atomically, and verify it.

    Needs memory for one batch of images and one chunk per level. Equal images in equal order give equal bytes.
    `ShardError` if no image was added, or the file reads back differently.
    """
    digests: list[str] = []

    def verify(written: Path) -> None:
        if verify_shard(written) != digests:
            raise ShardError(f"{path}: read back, a level differs from what was written; check the disk and memory")

    # chunks are written whole and once, so HDF5's chunk cache would be of no use
    with atomic.writing(path, verify) as temporary, h5py.File(temporary, "w", rdcc_nbytes=0, locking=False) as file:
        layout.write_header(file, header)
        shard = ShardWriter(file, header, capacity)
        yield shard
        digests += shard.finish()


class _Level:
    """The dataset of one resolution, filled chunk by chunk: each chunk is compressed once."""

    def __init__(self, file: h5py.File, resolution: int, codec: str, capacity: int) -> None:
        self._chunk = min(codecs.chunk_rows(resolution), capacity)
        shape = (layout.CHANNELS, resolution, resolution)
        # rejected records may leave a shard shorter than planned; it is resized at the end
        self._dataset = file.create_dataset(
            layout.level_name(resolution),
            shape=(capacity, *shape),
            maxshape=(capacity, *shape),
            chunks=(self._chunk, *shape),
            dtype=np.uint8,
            **codecs.filters(codec),
        )
        self._pending: list[NDArray[np.uint8]] = []
        self._waiting = 0
        self._written = 0
        self._digest = hashlib.md5(usedforsecurity=False)

    def append(self, images_NCHW: NDArray[np.uint8]) -> None:
        self._pending.append(images_NCHW.copy())
        self._waiting += len(images_NCHW)
        self._write(self._waiting - self._waiting % self._chunk)

    def finish(self) -> str:
        self._write(self._waiting)
        self._dataset.resize(self._written, axis=0)
        self._dataset.attrs[layout.LEVEL_MD5] = self._digest.hexdigest()
        return self._digest.hexdigest()

    def _write(self, count: int) -> None:
        if not count:
            return
        images_NCHW = np.concatenate(self._pending)
        self._dataset[self._written : self._written + count] = images_NCHW[:count]
        self._digest.update(images_NCHW[:count].data)
        self._pending = [images_NCHW[count:]]
        self._waiting -= count
        self._written += count
