"""The lower resolutions of images: repeated 2x2 means, rounded only when stored."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.compiled import compiled

EXACT_HALVINGS = 4
"""Sums of so many halvings of 8 bits are exact in 16: 255 x 4**4 < 2**16."""


def pyramid(images_NCHW: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """All levels of square uint8 images: (N, C, R, R), (N, C, R/2, R/2), ..., (N, C, 1, 1).

    Each level is the float32 mean of the *unrounded* level above, rounded to nearest, ties to even. The four pixels are
    added in row-major order: from 1/512 of the side float32 sums are no longer exact, so the order decides bytes.
    """
    images, channels, side, _ = images_NCHW.shape
    levels = [images_NCHW]
    sums_PHW: NDArray[Any] = np.ascontiguousarray(images_NCHW).reshape(images * channels, side, side)
    halvings = min(EXACT_HALVINGS, side.bit_length() - 1)
    for halving in range(1, halvings + 1):
        level_NCHW = np.empty((images, channels, side >> halving, side >> halving), np.uint8)
        sums_PHW = _halve(sums_PHW, 2 * halving, level_NCHW.reshape(images * channels, *level_NCHW.shape[2:]))
        levels.append(level_NCHW)
    means = sums_PHW.reshape(levels[-1].shape) * np.float32(0.25**halvings)
    while means.shape[-1] > 1:
        total = means[..., 0::2, 0::2] + means[..., 0::2, 1::2]
        total += means[..., 1::2, 0::2]
        total += means[..., 1::2, 1::2]
        means = total * np.float32(0.25)
        levels.append(np.rint(means).astype(np.uint8))
    return levels


@compiled
def _halve(sums_PHW: NDArray[Any], bits: int, level_PHW: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Sums of 2x2 values, (P, H/2, W/2); `level_PHW` gets them by 2**`bits`, rounded to nearest, ties to even."""
    totals_PHW = np.empty(level_PHW.shape, np.uint16)
    below_half, shift, one = np.uint32((1 << (bits - 1)) - 1), np.uint32(bits), np.uint32(1)
    for plane in range(level_PHW.shape[0]):
        for y in range(level_PHW.shape[1]):
            up, down = sums_PHW[plane, 2 * y], sums_PHW[plane, 2 * y + 1]
            totals, level = totals_PHW[plane, y], level_PHW[plane, y]
            for x in range(level.size):
                left = np.uint32(np.uint32(up[2 * x]) + np.uint32(down[2 * x]))
                right = np.uint32(np.uint32(up[2 * x + 1]) + np.uint32(down[2 * x + 1]))
                total = np.uint32(left + right)
                totals[x] = total
                level[x] = np.uint32(total + below_half + ((total >> shift) & one)) >> shift
    return totals_PHW
