"""Lanczos-3 as Pillow 3.1.1's ANTIALIAS computes it, which the published images were made with; compiled.

The same bytes as the plain numpy version in `tests/published/exact/reference.py`.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.compiled import Bytes, Floats, Integers, compiled, level

F32 = np.float32


class Taps(NamedTuple):
    """One axis of a resize: output i is the sum of `length[i]` inputs from `first[i]` on, times `weights[i]`."""

    first: Integers
    length: Integers
    weights: Floats


def resize(image_HWC: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Resize RGB pixels, (H, W, 3) uint8, to (height, width, 3); pixels of that size are returned as they are."""
    height_in, width_in, _ = image_HWC.shape
    if (height_in, width_in) == (height, width):
        return image_HWC
    across_HWC = image_HWC
    if width != width_in:
        across_HWC = np.empty((height_in, width, 3), np.uint8)
        _across(np.ascontiguousarray(image_HWC), taps(width_in, width), across_HWC)
    if height == height_in:
        return across_HWC
    result_HWC = np.empty((height, width, 3), np.uint8)
    rows_HN = np.ascontiguousarray(across_HWC).reshape(height_in, -1)
    _down(rows_HN, taps(height_in, height), result_HWC.reshape(height, -1))
    return result_HWC


def taps(size_in: int, size_out: int) -> Taps:
    """The weights for a resize of one axis."""
    longest = math.ceil(6 * max(size_in / size_out, 1.0)) + 2
    table = Taps(np.empty(size_out, np.int64), np.empty(size_out, np.int64), np.zeros((size_out, longest), np.float32))
    _fill(size_in, size_out, table)
    return table


@compiled
def _fill(size_in: int, size_out: int, table: Taps) -> None:
    first, count, weights = table
    scale = F32(size_in) / F32(size_out)
    filter_scale = max(scale, F32(1))
    support, inverse = F32(3) * filter_scale, F32(1) / filter_scale
    for i in range(size_out):
        centre = F32((i + 0.5) * np.float64(scale))
        start = max(math.floor(centre - support), 0)
        stop = min(math.ceil(centre + support), size_in)
        total = F32(0)
        for x in range(start, stop):
            t = F32((np.float64(F32(x) - centre) + 0.5) * np.float64(inverse))
            weight = F32(0)
            if F32(-3) <= t < F32(3):
                weight = (_sinc(t) * _sinc(t / F32(3))) * inverse
            weights[i, x - start] = weight
            total += weight
        for k in range(stop - start):
            weights[i, k] /= total
        first[i], count[i] = start, stop - start


@compiled
def _sinc(t: np.float32) -> np.float32:
    u = np.float64(F32(np.float64(t) * math.pi))
    return F32(1) if u == 0 else F32(math.sin(u) / u)


@compiled
def _across(image_HWC: Bytes, table: Taps, result_HWC: Bytes) -> None:
    first, count, weights = table
    height, width = result_HWC.shape[:2]
    for i in range(width):
        start, length = first[i], count[i]
        for y in range(height):
            pixels = image_HWC[y, start : start + length]
            red = green = blue = F32(0.5)
            for k in range(length):
                weight = weights[i, k]
                red += F32(pixels[k, 0]) * weight
                green += F32(pixels[k, 1]) * weight
                blue += F32(pixels[k, 2]) * weight
            result_HWC[y, i, 0] = level(red)
            result_HWC[y, i, 1] = level(green)
            result_HWC[y, i, 2] = level(blue)


@compiled
def _down(rows_HN: Bytes, table: Taps, result_HN: Bytes) -> None:
    first, count, weights = table
    height, length = result_HN.shape
    total = np.empty(length, F32)
    for i in range(height):
        total[:] = F32(0.5)
        for k in range(count[i]):
            row, weight = rows_HN[first[i] + k], weights[i, k]
            for j in range(length):
                total[j] += F32(row[j]) * weight
        result = result_HN[i]
        for j in range(length):
            result[j] = level(total[j])
