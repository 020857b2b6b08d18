"""HDF5 chunks and their compression.

Measured on CelebA-HQ images (1024², one core): none 3.15 MB per image, 5 ms to write; gzip 2.04 MB, 76 ms to write,
13 ms to read; zstd 2.09 MB, 26 ms and 5 ms. Every HDF5 build reads gzip; zstd needs a plugin. HDF5's shuffle filter has
no effect on single bytes.
"""

import importlib
from typing import Any

from pipeline.errors import ShardError

CODECS = ("none", "gzip", "zstd")
GZIP_LEVEL = 4  # level 1 saves 6 % of the time for 0.3 % more bytes; above 4 only time grows
ZSTD_LEVEL = 3  # level 9 takes three times as long for 3 % fewer bytes
CHUNK_PIXELS = 64 * 64


def chunk_rows(resolution: int) -> int:
    """Images per chunk: one from 64² up; smaller ones share a chunk of 64² pixels.

    So a random image costs no more than one of 64², and small images share the fixed cost of a chunk.
    """
    return max(1, CHUNK_PIXELS // resolution**2)


def filters(codec: str) -> dict[str, Any]:
    """The arguments of `create_dataset` for `codec`; `ShardError` if it is unknown or its plugin is missing."""
    if codec == "gzip":
        return {"compression": "gzip", "compression_opts": GZIP_LEVEL}
    if codec == "zstd":
        return dict(_zstd_plugin().Zstd(clevel=ZSTD_LEVEL))
    if codec == "none":
        return {}
    raise ShardError(f"codec {codec!r}: known are {', '.join(CODECS)}; set shard.codec (or lsun.codec) to one of them")


def make_readable(codec: str) -> None:
    """Load the HDF5 plugin that `codec` needs, if any; `ShardError` if it is not installed."""
    if codec == "zstd":
        _zstd_plugin()


def _zstd_plugin() -> Any:
    try:
        # the import registers the filter with HDF5
        return importlib.import_module("hdf5plugin")
    except ModuleNotFoundError as error:
        raise ShardError(
            "codec 'zstd' needs the package hdf5plugin, which is not installed: install it, or make the data set "
            "with shard.codec: gzip, which every HDF5 reads."
        ) from error
