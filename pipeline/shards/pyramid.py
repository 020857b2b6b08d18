"""The lower resolutions of images: repeated 2x2 means, rounded only when stored."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

EXACT_HALVINGS = 4
"""Sums of so many halvings of 8 bits are exact in 16: 255 x 4**4 < 2**16."""


def pyramid(images_NCHW: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """All levels of square uint8 images: (N, C, R, R), (N, C, R/2, R/2), ..., (N, C, 1, 1).

    Each level is the float32 mean of the *unrounded* level above, rounded to nearest, ties to even. The four pixels are
    added in row-major order: from 1/512 of the side float32 sums are no longer exact, so the order decides bytes.
    """
    levels = [images_NCHW]
    sums: NDArray[Any] = np.ascontiguousarray(images_NCHW)
    halvings = min(EXACT_HALVINGS, images_NCHW.shape[-1].bit_length() - 1)
    for bits in range(2, 2 * halvings + 1, 2):
        sums = _sums_of_four(sums)
        level = sums >> bits  # rounds by half, less one where it is even: ties go to even
        level &= 1
        level += sums
        level += (1 << (bits - 1)) - 1
        level >>= bits
        levels.append(level.astype(np.uint8))
    means = sums * np.float32(0.25**halvings)
    while means.shape[-1] > 1:
        total = means[..., 0::2, 0::2] + means[..., 0::2, 1::2]
        total += means[..., 1::2, 0::2]
        total += means[..., 1::2, 1::2]
        means = total * np.float32(0.25)
        levels.append(np.rint(means).astype(np.uint8))
    return levels


def _sums_of_four(values: NDArray[Any]) -> NDArray[Any]:
    """Of 2x2 pixels, as uint16."""
    if values.dtype == np.uint8:
        pairs = values.view(np.uint16)  # both halves of every second pixel at once, in either byte order
        sums = pairs >> 8
        sums += pairs & 0xFF
        return sums[..., 0::2, :] + sums[..., 1::2, :]
    rows = values[..., 0::2, :] + values[..., 1::2, :]
    return rows[..., 0::2] + rows[..., 1::2]
