"""Verifies a shard on disk by its checksums."""

import hashlib
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ShardError
from pipeline.shards import codecs, layout

READ_BYTES = 4 * 2**20


def verify_shard(path: Path) -> list[str]:
    """Compare a shard with the MD5s that it records (`ShardError`); return the MD5 of each level, largest first."""
    with h5py.File(path, "r", rdcc_nbytes=0, locking=False) as file:
        header = layout.read_header(file)
        codecs.make_readable(header.codec)
        files = layout.read_texts(file, layout.IDENTITY_FILE)
        md5s = layout.read_texts(file, layout.IDENTITY_MD5)
        digests: list[str] = []
        for resolution in layout.level_resolutions(header.resolution):
            level = layout.dataset(file, layout.level_name(resolution))
            if level.shape != (len(md5s), layout.CHANNELS, resolution, resolution):
                raise ShardError(
                    f"{path}: {level.name} has shape {level.shape} for {len(md5s)} images; {layout.REMEDY}"
                )
            named = list(zip(files, md5s, strict=True)) if resolution == header.resolution else []
            digests.append(_verify_level(path, level, named))
    return digests


def _verify_level(path: Path, level: h5py.Dataset, named: list[tuple[str, str]]) -> str:
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
