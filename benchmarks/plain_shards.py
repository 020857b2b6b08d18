"""Writing and reading multi-resolution HDF5 files as others do, to which `benchmarks.shards` compares ours.

`write_original` restates what the original's tool does with an image: every level by a float32 mean, gzip 4, and chunks
of one image, or of 128 bytes where an image is smaller. `write_earlier` is this project's writer before chunks were
compressed outside of HDF5: larger chunks, MD5s of images and levels, and the file read back and hashed again.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline.shards import codecs, layout

Images = Sequence[NDArray[np.uint8]]
GZIP = {"compression": "gzip", "compression_opts": 4}


def write_original(path: Path, images_CHW: Images) -> None:
    """Write images (3, R, R) with all levels; a level is written at once (the original keeps up to 512 MiB of each)."""
    side = images_CHW[0].shape[-1]
    pending: dict[int, list[NDArray[np.uint8]]] = {r: [] for r in layout.level_resolutions(side)}
    for image_CHW in images_CHW:
        mean = image_CHW.astype(np.float32)
        for resolution, level in pending.items():
            level.append(np.clip(np.rint(mean), 0, 255).astype(np.uint8))
            if resolution > 1:
                mean = mean[:, ::2, ::2] + mean[:, ::2, 1::2] + mean[:, 1::2, ::2] + mean[:, 1::2, 1::2]
                mean *= np.float32(0.25)
    with h5py.File(path, "w") as file:
        for resolution, level in pending.items():
            shape = (3, resolution, resolution)
            chunks = (-(-128 // (3 * resolution**2)), *shape)
            name = layout.level_name(resolution)
            dataset = file.create_dataset(name, (0, *shape), np.uint8, maxshape=(None, *shape), chunks=chunks, **GZIP)
            dataset.resize(len(level), axis=0)
            dataset[:] = np.stack(level)


def read_original(file: h5py.File, resolution: int, rows: Sequence[int]) -> NDArray[np.uint8]:
    """The images `rows`, one after the other."""
    level = layout.dataset(file, layout.level_name(resolution))
    return np.stack([level[row] for row in rows])


def write_earlier(path: Path, images_CHW: Images) -> None:
    """Write images (3, R, R) with all levels, and verify them by their MD5s."""
    side = images_CHW[0].shape[-1]
    with h5py.File(path, "w", rdcc_nbytes=0) as file:
        resolutions = layout.level_resolutions(side)
        for resolution in resolutions:
            shape = (3, resolution, resolution)
            rows = min(codecs.chunk_rows(resolution), len(images_CHW))
            name = layout.level_name(resolution)
            file.create_dataset(name, (len(images_CHW), *shape), np.uint8, chunks=(rows, *shape), **GZIP)
        small: dict[int, list[NDArray[np.uint8]]] = {r: [] for r in resolutions if codecs.chunk_rows(r) > 1}
        digests = {resolution: hashlib.md5() for resolution in resolutions}
        md5s: list[str] = []
        for place, image_CHW in enumerate(images_CHW):
            image_CHW = np.ascontiguousarray(image_CHW)  # noqa: PLW2901
            md5s.append(hashlib.md5(image_CHW.data).hexdigest())
            for level_CHW in _earlier_pyramid(image_CHW):
                resolution = level_CHW.shape[-1]
                digests[resolution].update(level_CHW.data)
                if resolution in small:
                    small[resolution].append(level_CHW)
                else:
                    layout.dataset(file, layout.level_name(resolution))[place] = level_CHW
        for resolution, levels_CHW in small.items():
            layout.dataset(file, layout.level_name(resolution))[:] = np.stack(levels_CHW)
    _verify_earlier(path, digests, md5s)


def _earlier_pyramid(image_CHW: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    yield image_CHW
    level = image_CHW.astype(np.uint16)
    while level.shape[-1] > 1:
        total = level[:, 0::2, 0::2] + level[:, 0::2, 1::2]
        total += level[:, 1::2, 0::2]
        total += level[:, 1::2, 1::2]
        level = total * np.float32(0.25)
        yield np.rint(level).astype(np.uint8)


def _verify_earlier(path: Path, digests: dict[int, Any], md5s: list[str]) -> None:
    with h5py.File(path, rdcc_nbytes=0) as file:
        for resolution, written in digests.items():
            level = layout.dataset(file, layout.level_name(resolution))
            digest, largest = hashlib.md5(), resolution == max(digests)
            for start in range(0, len(level), codecs.chunk_rows(resolution)):
                images_NCHW = level[start : start + codecs.chunk_rows(resolution)]
                digest.update(images_NCHW.data)
                assert not largest or hashlib.md5(images_NCHW.data).hexdigest() == md5s[start]
            assert digest.digest() == written.digest()
