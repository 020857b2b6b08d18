"""Holds a shard on disk to the checksums that it carries."""

import hashlib
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ShardError
from pipeline.shards import codecs, layout

READ_BYTES = 4 * 2**20


def verify_shard(path: Path) -> list[str]:
    """Read a shard whole and hold it to its own checksums; return the MD5 of each level, largest first.

    Memory is a few MiB, whatever the shard's size.

    Raises
    ------
    ShardError
        A level is absent or of another length, or bytes differ from the MD5s that the shard records.
    """
    with h5py.File(path, "r", rdcc_nbytes=0, locking=False) as file:
        header = layout.read_header(file)
        codecs.make_readable(header.codec)
        files = layout.read_texts(file, layout.IDENTITY_FILE)
        md5s = layout.read_texts(file, layout.IDENTITY_MD5)
        digests: list[str] = []
        for resolution in layout.level_resolutions(header.resolution):
            level = _level(file, resolution, len(md5s))
            named = list(zip(files, md5s, strict=True)) if resolution == header.resolution else []
            digests.append(_check(path, level, named))
    return digests


def _level(file: h5py.File, resolution: int, images: int) -> h5py.Dataset:
    level = layout.dataset(file, layout.level_name(resolution))
    if level.shape != (images, layout.CHANNELS, resolution, resolution):
        raise ShardError(f"{file.filename}: {level.name} has shape {level.shape} for {images} images; {layout.REMEDY}")
    return level


def _check(path: Path, level: h5py.Dataset, named: list[tuple[str, str]]) -> str:
    total = hashlib.md5(usedforsecurity=False)
    rows = max(1, READ_BYTES // int(np.prod(level.shape[1:])))
    for start in range(0, len(level), rows):
        images_NCHW: NDArray[np.uint8] = level[start : start + rows]
        total.update(images_NCHW.data)
        for image_CHW, (file, md5) in zip(images_NCHW, named[start : start + rows], strict=bool(named)):
            if hashlib.md5(image_CHW.data, usedforsecurity=False).hexdigest() != md5:
                raise ShardError(f"{path}: image {file} differs from its recorded MD5 {md5}; {layout.REMEDY}")
    if level.attrs[layout.LEVEL_MD5] != total.hexdigest():
        raise ShardError(f"{path}: {level.name} differs from its recorded MD5; {layout.REMEDY}")
    return total.hexdigest()
