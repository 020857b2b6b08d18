"""What an extraction holds in memory: nothing by the archive's bytes, and little by its members."""

import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import packing
import pytest

from pipeline.sources import extraction
from pipeline.sources.source import Contents

BYTES_PER_MEMBER = 900
"""Most of it is the index that zipfile makes of an archive; names and places of photographs are the rest."""

Pack = Callable[[Path, int, int], None]


def _members(count: int, size: int) -> Iterator[tuple[str, bytes]]:
    random = np.random.default_rng(1)
    for number in range(1, count + 1):
        yield f"img_celeba/{number:06d}.jpg", b"\xff\xd8\xff" + random.bytes(size)


def _zip(path: Path, count: int, size: int) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in _members(count, size):
            archive.writestr(name, content)


def _sevenzip(path: Path, count: int, size: int) -> None:
    packing.sevenzip(path.parent, dict(_members(count, size)), "-mx=0").rename(path)


def _peak(folder: Path, pack: Pack, count: int, size: int) -> int:
    """Bytes of Python objects at the worst moment."""
    folder.mkdir()
    pack(folder / "images", count, size)
    contents = Contents(images="images", numbering="celeba", landmarks=None, partition=None, attributes=None)
    tracemalloc.start()
    try:
        extraction.extract(folder, contents, 500, folder / "out", max_dropped=1.0)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("pack", [_zip, _sevenzip])
def test_memory_does_not_grow_with_the_bytes(pack: Pack, tmp_path: Path) -> None:
    _peak(tmp_path / "warm", pack, 10, 100)  # what is imported and cached by the first run
    small, large = (_peak(tmp_path / str(size), pack, 400, size) for size in (20_000, 200_000))
    assert large - small < 8 << 20, f"{(large - small) / 1e6:.1f} MB more for 72 MB more of an archive"


@pytest.mark.parametrize("pack", [_zip, _sevenzip])
def test_a_member_costs_little_memory(pack: Pack, tmp_path: Path) -> None:
    _peak(tmp_path / "warm", pack, 10, 100)
    few, many = (_peak(tmp_path / str(count), pack, count, 50) for count in (2_000, 7_000))
    assert (many - few) / 5_000 < BYTES_PER_MEMBER
