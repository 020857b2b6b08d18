import sys

import pytest

from pipeline.errors import ShardError
from pipeline.shards import codecs


def test_small_images_share_a_chunk_of_constant_size() -> None:
    assert [codecs.chunk_rows(r) for r in (1024, 128, 64, 32, 4, 1)] == [1, 1, 1, 4, 256, 4096]


def test_unknown_codec_is_named() -> None:
    with pytest.raises(ShardError, match="'lzma': known are none, gzip, zstd"):
        codecs.filters("lzma")


def test_a_package_that_writing_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)
    with pytest.raises(ShardError, match="codec 'gzip' is written with the package isal: pip install isal"):
        codecs.compressor("gzip")


def test_zstd_without_its_plugin_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    with pytest.raises(ShardError, match="hdf5plugin, which is not installed"):
        codecs.make_readable("zstd")
    codecs.make_readable("gzip")
