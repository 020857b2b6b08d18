import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from training.metrics.swd_patches import laplacian_pyramid

BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32)
FILTER_HWC = (np.outer(BINOMIAL, BINOMIAL) / 256)[:, :, None]


def _plain(image_HWC: NDArray[np.float32], levels: int) -> list[NDArray[np.float32]]:
    parts = []
    for _ in range(levels - 1):
        smaller = ndimage.convolve(image_HWC, FILTER_HWC, mode="mirror")[::2, ::2]
        spread = np.zeros_like(image_HWC)
        spread[::2, ::2] = smaller
        parts.append(image_HWC - ndimage.convolve(spread, FILTER_HWC * 4, mode="mirror"))
        image_HWC = smaller
    return [*parts, image_HWC]


@settings(deadline=None, max_examples=20)
@given(height=st.integers(1, 6), width=st.integers(1, 6), levels=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_the_pyramid_equals_the_plain_one_and_reconstructs_the_image(
    height: int, width: int, levels: int, seed: int
) -> None:
    shape = (height * 8, width * 8, 3)
    image_HWC = np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)
    parts = laplacian_pyramid(image_HWC, levels)
    for part, plain in zip(parts, _plain(image_HWC, levels), strict=True):
        np.testing.assert_allclose(part, plain, atol=1e-4)
    rebuilt_HWC = parts[-1]
    for detail_HWC in reversed(parts[:-1]):
        rebuilt_HWC = detail_HWC + np.asarray(cv2.pyrUp(rebuilt_HWC))
    np.testing.assert_allclose(rebuilt_HWC, image_HWC, atol=1e-4)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_only_the_last_level_contains_the_mean_colour(levels: int) -> None:
    image_HWC = np.full((32, 32, 3), (10, 20, 30), np.float32)
    *details, rest = laplacian_pyramid(image_HWC, levels)
    assert all(np.abs(detail).max() < 1e-5 for detail in details)
    np.testing.assert_allclose(rest, np.broadcast_to([10, 20, 30], rest.shape), atol=1e-5)
