"""Writes a shard: images are added one at a time; the file has all levels and identities.

Each chunk is compressed once, outside of HDF5. The written file is verified by the CRC-32 of each of its chunks; the
pixels are verified by `celebahq verify`, from the MD5 of every image.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from pipeline import atomic
from pipeline.errors import ShardError
from pipeline.shards import codecs, layout
from pipeline.shards.image_md5 import LANES, md5s
from pipeline.shards.layout import Header
from pipeline.shards.pyramid import pyramid

PART_BYTES = 3 * 2**20  # images are downsampled and written in parts of this size (one image of 1024²)
BATCH_BYTES = LANES * PART_BYTES  # and hashed in batches of this size


class ShardWriter:
    """Appends images to an open shard; see `writing_shard`.

    Attributes
    ----------
    md5s
        Of the images in order, of their (3, R, R) bytes; complete when the shard is finished.
    """

    def __init__(self, file: h5py.File, header: Header, capacity: int) -> None:
        self._file = file
        compress = codecs.compressor(header.codec)
        self._levels = [
            _Level(file, r, codecs.filters(header.codec), compress, capacity)
            for r in layout.level_resolutions(header.resolution)
        ]
        self._shape = (layout.CHANNELS, header.resolution, header.resolution)
        self._capacity = capacity
        batch = max(1, min(capacity, BATCH_BYTES // int(np.prod(self._shape))))
        self._batch_NCHW = np.empty((batch, *self._shape), np.uint8)
        self._in_batch = 0
        self._indices: list[int] = []
        self._files: list[str] = []
        self.md5s: list[str] = []
        self._labels: list[NDArray[np.float32]] = []

    def __len__(self) -> int:
        return len(self._indices)

    def add(self, image_CHW: NDArray[np.uint8], *, index: int, file: str, labels: NDArray[np.float32] | None) -> None:
        """Append an image (3, R, R) with its `index` and `file` in the tables and its labels (L,).

        `ShardError` if its shape or type does not fit this shard, or the shard is full.
        """
        if image_CHW.shape != self._shape or image_CHW.dtype != np.uint8:
            raise ShardError(
                f"{file}: image is {image_CHW.dtype} {image_CHW.shape}, this shard takes uint8 {self._shape}; "
                f"the renderer and the shard were set to different resolutions"
            )
        if len(self) == self._capacity:
            raise ShardError(f"{file}: the shard {self._file.filename} was opened for {self._capacity} images only")
        place_CHW = self._batch_NCHW[self._in_batch]
        image_HWC = image_CHW.transpose(1, 2, 0)
        if image_HWC.flags.c_contiguous:
            cv2.split(image_HWC, list(place_CHW))  # a quarter of numpy's time
        else:
            place_CHW[:] = image_CHW
        self._in_batch += 1
        if self._in_batch == len(self._batch_NCHW):
            self._flush()
        self._indices.append(index)
        self._files.append(file)
        if labels is not None:
            self._labels.append(labels.astype(np.float32))

    def finish(self) -> None:
        """Write the last batch and the identities."""
        if not len(self):
            raise ShardError(f"{self._file.filename}: no image was added; a shard holds at least one")
        self._flush()
        for level in self._levels:
            level.finish()
        self._file[layout.IDENTITY_INDEX] = np.array(self._indices, np.int64)
        layout.write_texts(self._file, layout.IDENTITY_FILE, self._files)
        layout.write_texts(self._file, layout.IDENTITY_MD5, self.md5s)
        if self._labels:
            self._file[layout.IDENTITY_LABELS] = np.stack(self._labels)

    def verify(self, path: Path) -> None:
        """Compare the closed file `path` with what was written: the bytes of all chunks, and the identities."""
        with h5py.File(path, "r", rdcc_nbytes=0, locking=False) as file:
            layout.read_header(file)
            same = layout.read_texts(file, layout.IDENTITY_MD5) == self.md5s
            if not (same and all(level.is_in(file) for level in self._levels)):
                raise ShardError(f"{path}: read back, it differs from what was written; check the disk and memory")

    def _flush(self) -> None:
        batch_NCHW = self._batch_NCHW[: self._in_batch]
        self.md5s += md5s(batch_NCHW)
        rows = max(1, PART_BYTES // int(np.prod(self._shape)))
        for start in range(0, len(batch_NCHW), rows):
            for level, images_NCHW in zip(self._levels, pyramid(batch_NCHW[start : start + rows]), strict=True):
                level.append(images_NCHW)
        self._in_batch = 0


@contextmanager
def writing_shard(path: Path, header: Header, capacity: int) -> Generator[ShardWriter]:
    """Write a shard of at most `capacity` images to `path` atomically, and verify it.

    Needs memory for one batch of images and one chunk per level. Equal images in equal order give equal bytes on one
    type of processor; ISA-L compresses differently on others. `ShardError` if no image was added, or the file reads
    back differently.
    """
    written: list[ShardWriter] = []

    def verify(temporary: Path) -> None:
        written[0].verify(temporary)

    # chunks are written whole and once, so HDF5's chunk cache would be of no use
    with atomic.writing(path, verify) as temporary, h5py.File(temporary, "w", rdcc_nbytes=0, locking=False) as file:
        layout.write_header(file, header)
        shard = ShardWriter(file, header, capacity)
        yield shard
        shard.finish()
        written.append(shard)


class _Level:
    """The dataset of one resolution, filled chunk by chunk."""

    def __init__(
        self, file: h5py.File, resolution: int, filters: dict[str, Any], compress: codecs.Compress, capacity: int
    ) -> None:
        rows = min(codecs.chunk_rows(resolution), capacity)
        shape = (layout.CHANNELS, resolution, resolution)
        self._name = layout.level_name(resolution)
        # grows with its chunks, since rejected records may leave a shard shorter than planned; to shorten it at the end
        # would make HDF5 compress its last chunk again
        self._dataset = file.create_dataset(
            self._name,
            shape=(0, *shape),
            maxshape=(capacity, *shape),
            chunks=(rows, *shape),
            dtype=np.uint8,
            **filters,
        )
        self._compress = compress
        self._chunk_NCHW = np.zeros((rows, *shape), np.uint8)
        self._in_chunk = 0
        self._written = 0
        self._crcs: list[int] = []

    def append(self, images_NCHW: NDArray[np.uint8]) -> None:
        rows = len(self._chunk_NCHW)
        if rows == 1:
            for place in range(len(images_NCHW)):
                self._write(images_NCHW[place : place + 1], 1)
            return
        while len(images_NCHW):
            part_NCHW, images_NCHW = np.split(images_NCHW, [rows - self._in_chunk])
            self._chunk_NCHW[self._in_chunk : self._in_chunk + len(part_NCHW)] = part_NCHW
            self._in_chunk += len(part_NCHW)
            if self._in_chunk == rows:
                self._write(self._chunk_NCHW, rows)
                self._in_chunk = 0

    def finish(self) -> None:
        if self._in_chunk:
            self._chunk_NCHW[self._in_chunk :] = 0  # HDF5 stores whole chunks
            self._write(self._chunk_NCHW, self._in_chunk)

    def is_in(self, file: h5py.File) -> bool:
        """Whether the chunks of this level in `file` are those that were written."""
        dataset = layout.dataset(file, self._name)
        if len(dataset) != self._written:
            return False
        chunks = (codecs.stored_chunk(dataset, start) for start in range(0, self._written, len(self._chunk_NCHW)))
        return [(left_out, isal_zlib.crc32(chunk)) for left_out, chunk in chunks] == [(0, crc) for crc in self._crcs]

    def _write(self, chunk_NCHW: NDArray[np.uint8], images: int) -> None:
        stored = self._compress(chunk_NCHW)
        self._dataset.id.set_extent((self._written + images, *chunk_NCHW.shape[1:]))
        self._dataset.id.write_direct_chunk((self._written, 0, 0, 0), stored)
        self._crcs.append(isal_zlib.crc32(stored))
        self._written += images
