"""Lanczos-3 as Pillow 3.1.1's ANTIALIAS computes it, which the published images were made with; compiled.

The same bytes as the plain numpy version in `tests/published/exact/reference.py`: an output is a sum in float32 that
begins with 0.5 and adds one tap after the other. Weights beyond an output's own are 0, so that sums may be longer.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.compiled import Bytes, Floats, Integers, compiled, level
from pipeline.faces.geometry import Box

F32 = np.float32
GROUP = 8
"""Taps that are added between two accesses to the running sums."""


class Taps(NamedTuple):
    """One axis of a resize: output i is the sum of `length[i]` inputs from `first[i]` on, times `weights[i]`."""

    first: Integers
    length: Integers
    weights: Floats

    def part(self, outputs: slice) -> "Taps":
        """Those of some outputs."""
        return Taps(self.first[outputs], self.length[outputs], self.weights[outputs])


def resize(image_HWC: NDArray[np.uint8], width: int, height: int, box: Box | None = None) -> NDArray[np.uint8]:
    """Resize RGB pixels, (H, W, 3) uint8, to (height, width, 3); pixels of that size are returned as they are.

    With `box`, only that part of the result is computed. The other pixels are 0, and take no memory until they are
    read.
    """
    height_in, width_in, _ = image_HWC.shape
    if (height_in, width_in) == (height, width):
        return image_HWC
    part = box or Box(0, 0, width, height)
    columns, rows = slice(part.left, part.right), slice(part.upper, part.lower)
    down = None
    if height != height_in:
        down = taps(height_in, height).part(rows)
        rows = slice(down.first.min(), (down.first + down.length).max())  # of the input, which this resize reads
        down = down._replace(first=down.first - rows.start)
    if width == width_in:
        image_HWC = image_HWC[rows, columns]
    else:
        transposed_WHC = _transposed(image_HWC[rows])
        across_WHC = np.empty((columns.stop - columns.start, *transposed_WHC.shape[1:]), np.uint8)
        _resize_down(transposed_WHC, taps(width_in, width).part(columns), across_WHC, 0, 0)
        image_HWC = _transposed(across_WHC)
    if down is None and box is None:
        return image_HWC
    result_HWC = np.zeros((height, width, 3), np.uint8)
    if down is None:
        result_HWC[part.slices] = image_HWC
    else:
        _resize_down(image_HWC, down, result_HWC, part.upper, part.left)
    return result_HWC


def _resize_down(image_HWC: Bytes, table: Taps, result_HWC: Bytes, upper: int, left: int) -> None:
    """Into the part of the result that begins at `upper` and `left`."""
    rows_HN, result_HN = (np.ascontiguousarray(image).reshape(len(image), -1) for image in (image_HWC, result_HWC))
    _down(rows_HN, table, result_HN[upper:], 3 * left)


def _transposed(image_HWC: Bytes) -> Bytes:
    return np.asarray(cv2.transpose(image_HWC), np.uint8)


def taps(size_in: int, size_out: int) -> Taps:
    """The weights for a resize of one axis."""
    longest = math.ceil(6 * max(size_in / size_out, 1.0)) + 2
    longest = -(-longest // GROUP) * GROUP
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
def _down(rows_HN: Bytes, table: Taps, result_HN: Bytes, left: int) -> None:
    first, count, weights = table
    total = np.empty(rows_HN.shape[1], F32)
    for i in range(len(first)):
        sum_rows(rows_HN, first[i], count[i], weights[i], total)
        result = result_HN[i, left : left + len(total)]
        for j in range(len(total)):
            result[j] = level(total[j])


@compiled
def sum_rows(rows_HN: Bytes, first: int, count: int, weights: Floats, total: Floats) -> None:
    """One output of a resize down, plus 0.5."""
    total[:] = F32(0.5)
    for k in range(0, count, GROUP):
        _add_group(rows_HN, first + k, weights[k : k + GROUP], total)


@compiled
def _add_group(rows_HN: Bytes, first: int, weights: Floats, total: Floats) -> None:
    """Eight taps; unrolled, so that the sum stays in a register. Rows beyond the image have weight 0."""
    last = len(rows_HN) - 1
    row0, row1 = rows_HN[first], rows_HN[min(first + 1, last)]
    row2, row3 = rows_HN[min(first + 2, last)], rows_HN[min(first + 3, last)]
    row4, row5 = rows_HN[min(first + 4, last)], rows_HN[min(first + 5, last)]
    row6, row7 = rows_HN[min(first + 6, last)], rows_HN[min(first + 7, last)]
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    w4, w5, w6, w7 = weights[4], weights[5], weights[6], weights[7]
    for i in range(len(total)):
        value = total[i] + F32(row0[i]) * w0
        value = value + F32(row1[i]) * w1
        value = value + F32(row2[i]) * w2
        value = value + F32(row3[i]) * w3
        value = value + F32(row4[i]) * w4
        value = value + F32(row5[i]) * w5
        value = value + F32(row6[i]) * w6
        total[i] = value + F32(row7[i]) * w7
