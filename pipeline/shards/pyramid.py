"""The lower resolutions of images: repeated 2x2 means, rounded only when stored."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def pyramid(images_NCHW: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """All levels of square uint8 images: (N, C, R, R), (N, C, R/2, R/2), ..., (N, C, 1, 1).

    Each level is the float32 mean of the *unrounded* level above, rounded to nearest, ties to even. The four pixels are
    added in row-major order: from 1/512 of the side float32 sums are no longer exact, so the order decides bytes.
    """
    levels = [images_NCHW]
    if images_NCHW.shape[-1] == 1:
        return levels
    # exact, with half the memory traffic of float32
    level = _sum_of_four(images_NCHW.astype(np.uint16)).astype(np.float32) * np.float32(0.25)
    levels.append(_stored(level))
    while level.shape[-1] > 1:
        level = _sum_of_four(level) * np.float32(0.25)
        levels.append(_stored(level))
    return levels


def _sum_of_four(values_NCHW: NDArray[Any]) -> NDArray[Any]:
    total = values_NCHW[..., 0::2, 0::2] + values_NCHW[..., 0::2, 1::2]
    total += values_NCHW[..., 1::2, 0::2]
    total += values_NCHW[..., 1::2, 1::2]
    return total


def _stored(level_NCHW: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(level_NCHW).astype(np.uint8)
