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
    level: NDArray[Any] = images_NCHW.astype(np.uint16)  # exact for the first sum, with half the memory of float32
    while level.shape[-1] > 1:
        total = level[..., 0::2, 0::2] + level[..., 0::2, 1::2]
        total += level[..., 1::2, 0::2]
        total += level[..., 1::2, 1::2]
        level = total * np.float32(0.25)
        levels.append(np.rint(level).astype(np.uint8))
    return levels
