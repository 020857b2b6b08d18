"""The names and the header of a shard.

A shard holds, for each resolution r = R, R/2, ..., 2, 1, a dataset `data{r}x{r}` of shape (N, 3, r, r), uint8 RGB, the
group `identity` with one value per image, and the header as attributes of the file. The view `dataset.h5` shows all
shards of a folder in the same form, and names them in the group `shards`; its group `channels` holds the red, green and
blue of each level.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ShardError

FORMAT_VERSION = 1
REMEDY = "the file was changed or damaged: remove it and run the stage that made it again (dvc repro shard, or lsun)"
CHANNELS = 3
SHARDS = "shard-*.h5"
VIEW = "dataset.h5"
LABELS = "dataset-labels.npy"
ABSENT_RGB = (255, 0, 255)
"""The view shows the images of a shard that HDF5 cannot open in this colour, magenta."""

IDENTITY_INDEX = "identity/index"
IDENTITY_FILE = "identity/file"
IDENTITY_MD5 = "identity/md5"
IDENTITY_LABELS = "identity/labels"
"""(N, L) float32, if the images have labels; `dataset-labels.npy` holds those of all shards."""

SHARD_FILE = "shards/file"
SHARD_IMAGES = "shards/images"
SHARD_BYTES = "shards/bytes"
"""In the view: name, number of images and size of each shard, in order."""

LABELS_MD5 = "labels_md5"
"""Attribute of the view, if the images have labels: the MD5 of their values. So the view stands for the data set."""


def shard_name(number: int) -> str:
    """The file name of shard `number`."""
    return f"{shard_stem(number)}.h5"


def shard_stem(number: int) -> str:
    """The name of shard `number` and of its chunk."""
    return f"shard-{number:05d}"


def level_name(resolution: int) -> str:
    """The name of the dataset that holds the images at `resolution`."""
    return f"data{resolution}x{resolution}"


def channel_name(resolution: int, channel: int) -> str:
    """In the view: the name of the dataset (N, 1, r, r) of one channel at `resolution`."""
    return f"channels/{level_name(resolution)}/{('red', 'green', 'blue')[channel]}"


def level_resolutions(resolution: int) -> tuple[int, ...]:
    """R, R/2, ..., 2, 1; `ShardError` if `resolution` is not a power of two."""
    if resolution < 1 or resolution & (resolution - 1):
        raise ShardError(f"resolution {resolution}: a data set's side in pixels is a power of two, as in 64 or 1024")
    return tuple(resolution >> halvings for halvings in range(resolution.bit_length()))


@dataclass(frozen=True, slots=True)
class Header:
    """The attributes of a shard, equal in all shards of a data set."""

    resolution: int  # R, in pixels
    codec: str  # see `codecs`
    params_digest: str  # SHA-256 of the params that decide the images
    decoder: str  # of JPEG
    renderer: str
    libraries: str  # JSON: versions of the libraries that decide bytes


def write_header(file: h5py.File, header: Header) -> None:
    """Write the header and the format version as attributes of `file`."""
    file.attrs["format_version"] = FORMAT_VERSION
    for name, value in asdict(header).items():
        file.attrs[name] = value


def read_header(file: h5py.File) -> Header:
    """The header of an open shard or view; `ShardError` for other files and other format versions."""
    version = file.attrs.get("format_version")
    if version is None:
        raise ShardError(
            f"{file.filename}: has no attribute format_version, so it is not a shard or view of this project. "
            f"Name the folder that the stage shard or lsun published."
        )
    if version != FORMAT_VERSION:
        raise ShardError(
            f"{file.filename}: format version {version}, but this code reads {FORMAT_VERSION}. "
            f"Make the data set again: dvc repro shard (or lsun)."
        )
    missing = [field.name for field in fields(Header) if field.name not in file.attrs]
    if missing:
        raise ShardError(f"{file.filename}: attribute {', '.join(missing)} is missing; {REMEDY}")
    values: dict[str, Any] = {field.name: file.attrs[field.name] for field in fields(Header)}
    values["resolution"] = int(values["resolution"])
    return Header(**values)


def dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """The dataset `name` of an open shard or view; `ShardError` if it is absent."""
    found = file.get(name)
    if not isinstance(found, h5py.Dataset):
        raise ShardError(f"{file.filename}: dataset {name} is absent; {REMEDY}")
    return found


def read_values(file: h5py.File, name: str) -> NDArray[Any]:
    """All values of the dataset `name`."""
    return dataset(file, name)[:]


def write_texts(file: h5py.File, name: str, texts: list[str]) -> None:
    """Write strings as fixed-length UTF-8, whose bytes, unlike those of HDF5's heap, depend on the strings alone."""
    encoded = [text.encode() for text in texts]
    longest = max((len(text) for text in encoded), default=1)
    file.create_dataset(name, data=np.array(encoded, dtype=h5py.string_dtype("utf-8", max(longest, 1))))


def read_texts(file: h5py.File, name: str) -> list[str]:
    """The strings of a dataset that `write_texts` wrote."""
    values: list[bytes] = read_values(file, name).tolist()
    return [value.decode() for value in values]
