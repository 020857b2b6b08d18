"""Contact sheets: tiles, strips, and the columns picked from them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.faces.png import decode_png
from pipeline.report import sheets

SIDE = 4


def tile(level: int) -> NDArray[np.uint8]:
    return np.full((SIDE, SIDE, 3), level, np.uint8)


@pytest.fixture
def strips(tmp_path: Path) -> list[Path]:
    """Faces 0...4 in strips of 2, 0 (no file), 1 and 2; each column is two tiles high."""
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path, levels in zip(paths, ([0, 1], [], [2], [3, 4]), strict=True):
        sheets.write_strip(path, [[tile(10 * level), tile(10 * level + 1)] for level in levels])
    return [path for path in paths if path.exists()]


def test_the_columns_of_a_strip_are_its_faces(strips: list[Path]) -> None:
    columns = [column for path in strips for column in sheets.read_columns(path, SIDE)]
    assert [column.shape for column in columns] == [(2 * SIDE, SIDE, 3)] * 5
    assert [(int(column[0, 0, 0]), int(column[-1, -1, 0])) for column in columns[2:4]] == [(20, 21), (30, 31)]


def test_no_face_makes_no_strip_and_no_sheet(strips: list[Path], tmp_path: Path) -> None:
    assert len(strips) == 3
    sheets.write_sheet(tmp_path / "sheet.png", [], 8)
    assert not (tmp_path / "sheet.png").exists()


def test_a_sheet_is_filled_up_with_white(tmp_path: Path) -> None:
    sheets.write_sheet(tmp_path / "sheet.png", [tile(level) for level in (1, 2, 3)], 2)
    sheet_HWC = decode_png((tmp_path / "sheet.png").read_bytes())
    assert sheet_HWC[::SIDE, ::SIDE, 0].tolist() == [[1, 2], [3, 255]]


@pytest.mark.parametrize(("side", "expected"), [(2, [[5, 5], [5, 5]]), (8, [[0, 10], [0, 10]])])
def test_an_image_is_averaged_down_or_repeated_up(side: int, expected: list[list[int]]) -> None:
    image_HWC = np.tile(np.array([0, 10], np.uint8)[None, :, None], (4, 2, 3))
    resized = sheets.resized(image_HWC, side)
    assert resized.shape == (side, side, 3)
    assert resized[:: side // 2, :: side // 2 if side == 2 else 2, 0][:2, :2].tolist() == expected


@given(x=st.floats(0, 1), y=st.floats(0, 1))
def test_a_detail_lies_in_the_image_wherever_its_centre_is(x: float, y: float) -> None:
    image_HWC = np.arange(32 * 32 * 3, dtype=np.int64).reshape(32, 32, 3).astype(np.uint8)
    assert sheets.detail(image_HWC, 8, x, y).shape == (8, 8, 3)


def test_a_detail_is_cut_around_its_place() -> None:
    image_HWC = np.zeros((32, 32, 3), np.uint8)
    image_HWC[12:20, 20:28] = 200
    assert (sheets.detail(image_HWC, 8, 0.75, 0.5) == 200).all()


@given(count=st.integers(1, 200), chosen=st.integers(0, 50))
def test_spread_numbers_are_distinct_and_in_range(count: int, chosen: int) -> None:
    numbers = sheets.spread(count, chosen)
    assert len(set(numbers)) == len(numbers) == min(count, chosen)
    assert numbers == sorted(numbers)
    assert all(0 <= number < count for number in numbers)
