"""HDF5 chunks and their compression.

Chunks are compressed and decompressed here, not by HDF5, which does one at a time under its lock and gzip with zlib: by
ISA-L (package isal) and zstd (in pyarrow). The files are those of HDF5's own filters, which every program reads.

gzip is the default, since every HDF5 reads it. zstd needs a plugin there, is a fifth larger, and is read in a third of
the time; docs/design.md has the measurements. HDF5's shuffle filter has no effect on single bytes.
"""

import importlib
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ShardError

CODECS = ("none", "gzip", "zstd")
GZIP_LEVEL = 2  # of ISA-L's 0 to 3: 1 is 10 % faster and up to 4 % larger, 3 is slower and no smaller
ZSTD_LEVEL = -5  # -1 is 4 to 6 % smaller, and slower to write by half; 1 takes twice as long to read
CHUNK_PIXELS = 64 * 64
GZIP_FILTER, ZSTD_FILTER = 1, 32015  # as registered with HDF5

Compress = Callable[[NDArray[np.uint8]], bytes | memoryview]
"""The bytes of a chunk as HDF5 stores it; of a contiguous array."""

Decompress = Callable[[bytes, int], Any]
"""A buffer of the given number of bytes; `OSError` if the chunk is damaged."""


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


def compressor(codec: str) -> Compress:
    """Makes the chunks of a dataset that was created with `filters(codec)`."""
    if codec == "gzip":
        deflate = _package("isal.isal_zlib", "gzip").compress
        return lambda chunk: deflate(chunk, GZIP_LEVEL)
    if codec == "zstd":
        zstd = _package("pyarrow", "zstd").Codec("zstd", compression_level=ZSTD_LEVEL)
        return lambda chunk: zstd.compress(chunk, asbytes=True)
    return lambda chunk: chunk.data


def decompressor(level: h5py.Dataset) -> Decompress | None:
    """Reads the chunks of a level outside of HDF5.

    None where only HDF5 can, more slowly: the package is not installed, or the chunks are not those of this project.
    """
    if level.chunks is None or level.chunks[1:] != level.shape[1:]:
        return None
    plist = level.id.get_create_plist()
    used = [plist.get_filter(number)[0] for number in range(plist.get_nfilters())]
    try:
        if used == [GZIP_FILTER]:
            isal_zlib = importlib.import_module("isal.isal_zlib")
            return lambda chunk, size: _inflate(isal_zlib, chunk, size)
        if used == [ZSTD_FILTER]:
            zstd = importlib.import_module("pyarrow").Codec("zstd")
            return zstd.decompress
    except ImportError:
        return None
    return None if used else lambda chunk, size: chunk


def stored_chunk(level: h5py.Dataset, start: int) -> tuple[int, bytes]:
    """Which filters were left out of the chunk whose first image is `start` (0: none), and its bytes in the file."""
    return level.id.read_direct_chunk((start, 0, 0, 0))


def make_readable(codec: str) -> None:
    """Load the HDF5 plugin that `codec` needs, if any; `ShardError` if it is not installed."""
    if codec == "zstd":
        _zstd_plugin()


def _inflate(isal_zlib: Any, chunk: bytes, size: int) -> bytes:
    try:
        return isal_zlib.decompress(chunk, bufsize=size)
    except isal_zlib.error as error:
        raise OSError(f"a chunk is no zlib stream: {error}") from error


def _package(name: str, codec: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ShardError(f"codec {codec!r} is written with the package {package}: pip install {package}") from error


def _zstd_plugin() -> Any:
    try:
        # the import registers the filter with HDF5
        return importlib.import_module("hdf5plugin")
    except ModuleNotFoundError as error:
        raise ShardError(
            "codec 'zstd' needs the package hdf5plugin, which is not installed: install it, or make the data set "
            "with shard.codec: gzip, which every HDF5 reads."
        ) from error
