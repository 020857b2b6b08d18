"""The single-file view: all shards of a folder as one file, in the layout of the original implementation.

The datasets of `dataset.h5` are HDF5 virtual datasets, which name the shards without a folder, so the folder may be
moved or linked. In place of a shard that it cannot open (it is absent, or the process has too many files open) HDF5
gives the fill value, without an error. A fill value is one number, so each level is made of three virtual datasets, one
per channel, with the values of magenta. HDF5 decompresses a chunk once per channel unless it fits into its chunk cache
(8 MiB by default in HDF5 2; 1 MiB before, which is too small for 1024²). `reader.DataSet` reads the shards themselves,
keeps few of them open, and gives an error where one is absent.
"""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline import atomic
from pipeline.errors import ShardError
from pipeline.shards import codecs, layout, open_files
from pipeline.shards.layout import Header


@dataclass(frozen=True)
class Shard:
    """What a shard states, apart from its pixels."""

    name: str
    size: int
    header: Header
    index: NDArray[np.int64]
    files: list[str]
    md5s: list[str]
    labels: NDArray[np.float32] | None


def write_view(folder: Path) -> int:
    """Write `dataset.h5` for the shards of `folder` in the order of their names; return the number of images.

    If the images have labels, `dataset-labels.npy` is written as well. `ShardError` if there is no shard, or the shards
    do not belong to one data set.
    """
    shards = [read_shard(path) for path in sorted(folder.glob(layout.SHARDS))]
    if not shards:
        raise ShardError(f"{folder}: holds no shard-*.h5, so there is no data set")
    _check_same(folder, shards)
    verify = partial(_verify, folder=folder, names=[shard.name for shard in shards])
    with atomic.writing(folder / layout.VIEW, verify) as temporary, h5py.File(temporary, "w", locking=False) as file:
        _write(file, shards)
    labels = [shard.labels for shard in shards if shard.labels is not None]
    if labels:
        with atomic.writing(folder / layout.LABELS) as temporary, temporary.open("wb") as stream:
            np.save(stream, np.concatenate(labels))
    return sum(len(shard.index) for shard in shards)


def read_shard(path: Path) -> Shard:
    """What the shard `path` states; errors of HDF5 and `ShardError` where it is damaged."""
    with h5py.File(path, "r", locking=False) as file:
        return Shard(
            name=path.name,
            size=path.stat().st_size,
            header=layout.read_header(file),
            index=layout.read_values(file, layout.IDENTITY_INDEX),
            files=layout.read_texts(file, layout.IDENTITY_FILE),
            md5s=layout.read_texts(file, layout.IDENTITY_MD5),
            labels=layout.read_values(file, layout.IDENTITY_LABELS) if layout.IDENTITY_LABELS in file else None,
        )


def _check_same(folder: Path, shards: list[Shard]) -> None:
    first = shards[0]
    for shard in shards:
        if shard.header != first.header:
            raise ShardError(
                f"{folder}: {shard.name} has {shard.header}, but {first.name} has {first.header}. "
                f"They belong to different data sets: keep one in a folder."
            )
        lengths = [None if labels is None else labels.shape[1] for labels in (first.labels, shard.labels)]
        if lengths[0] != lengths[1]:
            raise ShardError(
                f"{folder}: {first.name} has {lengths[0]} labels per image and {shard.name} {lengths[1]}; "
                f"a data set has the same number everywhere, or none"
            )


def _write(file: h5py.File, shards: list[Shard]) -> None:
    header = shards[0].header
    layout.write_header(file, header)
    counts = [len(shard.index) for shard in shards]
    for resolution in layout.level_resolutions(header.resolution):
        name = layout.level_name(resolution)
        level = _virtual(sum(counts), layout.CHANNELS, resolution)
        for channel, fill in enumerate(layout.ABSENT_RGB):
            plane = _virtual(sum(counts), 1, resolution)
            start = 0
            for shard, count in zip(shards, counts, strict=True):
                source = h5py.VirtualSource(shard.name, name, (count, layout.CHANNELS, resolution, resolution))
                plane[start : start + count] = source[:, channel : channel + 1]
                start += count
            channel_name = layout.channel_name(resolution, channel)
            file.create_virtual_dataset(channel_name, plane, fillvalue=fill)
            level[:, channel : channel + 1] = h5py.VirtualSource(".", channel_name, plane.shape)
        file.create_virtual_dataset(name, level)
    file[layout.IDENTITY_INDEX] = np.concatenate([shard.index for shard in shards])
    layout.write_texts(file, layout.IDENTITY_FILE, [name for shard in shards for name in shard.files])
    layout.write_texts(file, layout.IDENTITY_MD5, [md5 for shard in shards for md5 in shard.md5s])
    layout.write_texts(file, layout.SHARD_FILE, [shard.name for shard in shards])
    labels = [shard.labels for shard in shards if shard.labels is not None]
    if labels:
        file.attrs[layout.LABELS_MD5] = labels_md5(np.concatenate(labels))
    file[layout.SHARD_IMAGES] = np.array(counts, np.int64)
    file[layout.SHARD_BYTES] = np.array([shard.size for shard in shards], np.int64)


def labels_md5(labels: NDArray[np.float32]) -> str:
    """The MD5 of the values of the labels (N, L)."""
    return hashlib.md5(labels.tobytes(), usedforsecurity=False).hexdigest()


def _virtual(images: int, channels: int, resolution: int) -> h5py.VirtualLayout:
    found = h5py.VirtualLayout((images, channels, resolution, resolution), np.uint8)
    # without the time of writing; h5py leaves it out of other datasets by default
    found.dcpl.set_obj_track_times(False)
    return found


def _verify(view: Path, folder: Path, names: list[str]) -> None:
    """Compare the 1x1 level of the view, one pixel of every image, with the shards."""
    open_files.raise_limit(len(names))
    shown, *parts = (_smallest_level(path) for path in (view, *(folder / name for name in names)))
    if not np.array_equal(shown, np.concatenate(parts)):
        raise ShardError(f"{folder / layout.VIEW}: does not show the images of the shards; HDF5 could not link them")


def _smallest_level(path: Path) -> NDArray[np.uint8]:
    with h5py.File(path, "r", locking=False) as file:
        codecs.make_readable(layout.read_header(file).codec)
        return layout.read_values(file, layout.level_name(1))
