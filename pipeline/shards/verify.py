"""Verifies a shard on disk by the checksums in it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ShardError
from pipeline.shards import codecs, layout
from pipeline.shards.pyramid import pyramid
from pipeline.trust.fault import Fault

READ_BYTES = 4 * 2**20
DIFFERS = "differs from its recorded MD5"


def verify_shard(path: Path) -> list[str]:
    """Compare a shard with the MD5s that it records (`ShardError`); return the MD5 of each level, largest first."""
    digests: list[str] = []
    for fault in faults_of_shard(path, digests):
        where = f"image {fault.image}" if fault.image else f"data{fault.level}" if fault.level else "it"
        raise ShardError(f"{path}: {where} {fault.problem}; {layout.REMEDY}")
    return digests


def faults_of_shard(path: Path, digests: list[str] | None = None) -> Iterator[Fault]:
    """All faults of a shard: levels and images that cannot be read or differ from the recorded MD5s.

    Of a small level the images are named that are not the means of those of the largest, which have MD5s of their own.
    `digests` gets the MD5 of each level that can be read. Errors of HDF5 about the file as a whole are raised.
    """
    digests = [] if digests is None else digests
    with h5py.File(path, "r", rdcc_nbytes=0, locking=False) as file:
        header = layout.read_header(file)
        codecs.make_readable(header.codec)
        names = layout.read_texts(file, layout.IDENTITY_FILE)
        md5s = layout.read_texts(file, layout.IDENTITY_MD5)
        if len(names) != len(md5s):
            raise ShardError(f"{path}: has {len(names)} names and {len(md5s)} MD5s of images; {layout.REMEDY}")
        largest = file.get(layout.level_name(header.resolution))
        for resolution in layout.level_resolutions(header.resolution):
            level = file.get(layout.level_name(resolution))
            name, shape = f"{resolution}x{resolution}", (len(md5s), layout.CHANNELS, resolution, resolution)
            if not isinstance(level, h5py.Dataset):
                yield Fault(path, "is absent", name)
            elif level.shape != shape or level.dtype != np.uint8:
                yield Fault(path, f"has shape {level.shape} and type {level.dtype} for {len(md5s)} images", name)
            else:
                own = md5s if resolution == header.resolution else None
                faults, digest = _check_level(path, level, names, own)
                digests.append(digest)
                yield from faults
                if faults and own is None and isinstance(largest, h5py.Dataset):
                    yield from _unlike_the_largest(path, level, names, largest)


def _check_level(path: Path, level: h5py.Dataset, names: list[str], md5s: list[str] | None) -> tuple[list[Fault], str]:
    """The faults of a level, by the MD5s of its images if it has them; and the MD5 of the level."""
    name, total = _name(level), hashlib.md5(usedforsecurity=False)
    faults: list[Fault] = []
    for start, images_NCHW in _blocks(level):
        if isinstance(images_NCHW, str):
            faults.append(Fault(path, images_NCHW, name, names[start]))
            continue
        total.update(images_NCHW.data)
        for image_CHW, file, md5 in zip(images_NCHW, names[start:], md5s[start:] if md5s else (), strict=False):
            if hashlib.md5(image_CHW.data, usedforsecurity=False).hexdigest() != md5:
                faults.append(Fault(path, f"{DIFFERS} {md5}", name, file))
    if not faults and level.attrs.get(layout.LEVEL_MD5) != total.hexdigest():
        faults.append(Fault(path, DIFFERS, name))
    return faults, total.hexdigest()


def _name(level: h5py.Dataset) -> str:
    return f"{level.shape[-1]}x{level.shape[-1]}"


def _blocks(level: h5py.Dataset) -> Iterator[tuple[int, NDArray[np.uint8] | str]]:
    """Position of the first image, and images, of a few MB; or of one image that HDF5 cannot read, and its error."""
    rows = max(1, READ_BYTES // int(np.prod(level.shape[1:])))
    for start in range(0, len(level), rows):
        try:
            yield start, level[start : start + rows]
        except (OSError, RuntimeError):
            for place in range(start, min(start + rows, len(level))):
                try:
                    yield place, level[place : place + 1]
                except (OSError, RuntimeError) as error:
                    yield place, f"cannot be read ({error})"


def _unlike_the_largest(path: Path, level: h5py.Dataset, names: list[str], largest: h5py.Dataset) -> Iterator[Fault]:
    halvings = (largest.shape[-1] // level.shape[-1]).bit_length() - 1
    for start, images_NCHW in _blocks(largest):
        if isinstance(images_NCHW, str):
            continue
        try:
            found_NCHW = level[start : start + len(images_NCHW)]
        except (OSError, RuntimeError):  # which is reported already
            continue
        different = (found_NCHW != pyramid(images_NCHW)[halvings]).any((1, 2, 3))
        for place in np.flatnonzero(different).tolist():
            yield Fault(path, "is not the mean of its largest level", _name(level), names[start + place])
