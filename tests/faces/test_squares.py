"""Squares of any size to the resolution: exact means of areas, Lanczos, equal to plain versions."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.faces.lanczos import resize
from pipeline.faces.squares import resized


def _noise(side: int) -> NDArray[np.uint8]:
    return np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)


def _plain(image_HWC: NDArray[np.uint8], resolution: int) -> NDArray[np.uint8]:
    """Every pixel as resolution² equal ones, then means of side² of these, in fractions; round goes to even."""
    side = len(image_HWC)
    fine = image_HWC.astype(np.int64).repeat(resolution, 0).repeat(resolution, 1)
    sums = fine.reshape(resolution, side, resolution, side, 3).sum(axis=(1, 3))
    return np.array([round(Fraction(int(total), side * side)) for total in sums.ravel()], np.uint8).reshape(sums.shape)


@pytest.mark.parametrize(("side", "resolution"), [(5, 4), (25, 8), (33, 32), (50, 16), (64, 16), (7, 7), (31, 4)])
def test_areas_are_exact_means(side: int, resolution: int) -> None:
    image_HWC = _noise(side)
    np.testing.assert_array_equal(resized(image_HWC, resolution, "area"), _plain(image_HWC, resolution))


def test_means_halfway_go_to_the_even_level() -> None:
    row = np.array([0, 1, 0, 3], np.uint8)
    square = np.stack([row, row + row % 2, row, row], axis=0)[..., None].repeat(3, 2)
    assert resized(square[:4, :4], 2, "area")[1, :, 0].tolist() == [0, 2]  # 0.5 and 1.5


@pytest.mark.parametrize("side", [178, 418, 500, 1333])
def test_areas_are_those_of_opencv_within_rounding(side: int) -> None:
    image_HWC = _noise(side)
    other = cv2.resize(image_HWC, (128, 128), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(resized(image_HWC, 128, "area") - other).max() <= 1


def test_lanczos_reduces_where_params_say_so_and_always_enlarges() -> None:
    large, small = _noise(50), _noise(20)
    np.testing.assert_array_equal(resized(large, 32, "lanczos"), resize(large, 32, 32))
    np.testing.assert_array_equal(resized(small, 32, "area"), resize(small, 32, 32))
    with pytest.raises(ValueError, match="50 x 40"):
        resized(large[:40], 32, "area")
