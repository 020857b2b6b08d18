"""Squares of any size to the resolution of a data set: exact means of areas, or Lanczos. Equal on any machine."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.lanczos import resize

Reduction = Literal["area", "lanczos"]


def resized(image_HWC: NDArray[np.uint8], resolution: int, reduction: Reduction) -> NDArray[np.uint8]:
    """A square image, (S, S, 3) uint8, as (resolution, resolution, 3); enlarged by Lanczos where it is smaller.

    `ValueError`: the image is not square.
    """
    height, width, _ = image_HWC.shape
    if height != width:
        raise ValueError(f"an image of {width} x {height} pixels is no square")
    if width == resolution:
        return image_HWC
    if width < resolution or reduction == "lanczos":
        return resize(image_HWC, resolution, resolution)
    return _area(image_HWC, resolution)


def _area(image_HWC: NDArray[np.uint8], resolution: int) -> NDArray[np.uint8]:
    """Each pixel is the mean of the area that it covers, computed in integers and rounded to nearest, ties to even."""
    side = image_HWC.shape[0]
    result_HWC = np.empty((resolution, resolution, 3), np.uint8)
    edges = np.arange(resolution + 1) * side  # in units of 1 / resolution of a pixel
    whole, rest = np.divmod(edges, resolution)
    for row in range(resolution):
        first, last = int(whole[row]), min(int(whole[row + 1]) + 1, side)
        weights = np.minimum(edges[row + 1], np.arange(first + 1, last + 1) * resolution)
        weights -= np.maximum(edges[row], np.arange(first, last) * resolution)
        line_WC = np.tensordot(np.maximum(weights, 0), image_HWC[first:last].astype(np.int64), 1)
        sums_WC = np.concatenate([np.zeros((1, 3), np.int64), np.cumsum(line_WC, axis=0)])
        ends_WC = np.concatenate([line_WC, np.zeros((1, 3), np.int64)])
        until_WC = sums_WC[whole] * resolution + ends_WC[whole] * rest[:, None]
        result_HWC[row] = _divided(np.diff(until_WC, axis=0), side * side)
    return result_HWC


def _divided(sums: NDArray[np.int64], by: int) -> NDArray[np.int64]:
    quotient, rest = np.divmod(sums, by)
    return quotient + ((2 * rest > by) | ((2 * rest == by) & (quotient % 2 == 1)))
