"""How images are cut into chunks and compressed inside HDF5.

Measured on the two published CelebA-HQ images (1024², one core of 2): none 3.15 MB per image, written in 5 ms;
gzip 2.04 MB, 76 ms to write and 13 ms to read; zstd 2.09 MB, 26 ms and 5 ms. HDF5's shuffle filter does
nothing to single bytes and is left off. gzip is read by every HDF5 build; zstd needs its plugin.
"""

import importlib
from typing import Any

from pipeline.errors import ShardError

CODECS = ("none", "gzip", "zstd")
GZIP_LEVEL = 4  # level 1 saves 6 % of the time for 0.3 % more bytes; above 4 only time grows
ZSTD_LEVEL = 3  # level 9 takes three times as long for 3 % fewer bytes
CHUNK_PIXELS = 64 * 64


def chunk_rows(resolution: int) -> int:
    """How many images of `resolution` share one chunk: one from 64² up, below as many as fill 64² pixels.

    A chunk is the least that can be read. With 12 KiB at every small level, one image read at random costs no
    more than one of 64², and a chunk's fixed cost (its index entry, its call) is shared by up to 4096 images.
    """
    return max(1, CHUNK_PIXELS // resolution**2)


def filters(codec: str) -> dict[str, Any]:
    """The arguments of `h5py.Group.create_dataset` that compress with `codec`.

    Raises
    ------
    ShardError
        No such codec, or the plugin for it is not installed.
    """
    if codec == "gzip":
        return {"compression": "gzip", "compression_opts": GZIP_LEVEL}
    if codec == "zstd":
        return dict(_zstd_plugin().Zstd(clevel=ZSTD_LEVEL))
    if codec == "none":
        return {}
    raise ShardError(f"codec {codec!r}: known are {', '.join(CODECS)}; set shard.codec (or lsun.codec) to one of them")


def make_readable(codec: str) -> None:
    """Let HDF5 read chunks of `codec` in this process.

    Raises
    ------
    ShardError
        The plugin that it needs is not installed.
    """
    if codec == "zstd":
        _zstd_plugin()


def _zstd_plugin() -> Any:
    try:
        # importing it registers the filter with HDF5; machines that never meet zstd need not have it
        return importlib.import_module("hdf5plugin")
    except ModuleNotFoundError as error:
        raise ShardError(
            "codec 'zstd' needs the package hdf5plugin, which is not installed: install it, or make the data set "
            "with shard.codec: gzip, which every HDF5 reads."
        ) from error
