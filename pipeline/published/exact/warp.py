"""The last step of the exact recipe: QUAD transform to four times the resolution and Lanczos resize in one pass.

The supersampled image is never made: each of its rows is sampled and resized across at once, and the resized rows are
kept for the resize down. Samples are taken in the order x = 0, 4, 8, ..., 1, 5, 9, ... (four phases), so that every
loop runs over neighbours in memory.

A sample is a double, truncated. It is first computed in float32, which is off by less than `MARGIN`: only where a whole
level is nearer than that, the truncation may differ, and the sample is computed again in the order of Pillow.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.compiled import Bytes, Doubles, Floats, Words, compiled, contracted, level
from pipeline.faces.geometry import Points
from pipeline.faces.lanczos import Taps, sum_rows, taps

F32, F64, I32, U32, U64 = np.float32, np.float64, np.int32, np.uint32, np.uint64
SUPERSAMPLING = 4
BORDER = 3  # outputs at each end of an axis that have fewer taps
TAPS = 24  # of the other outputs
STRIP = 32  # final rows made at a time
BLOCK = 512  # samples computed at a time: their arrays stay in the fastest cache
MARGIN = 1024 / 2**24
"""Bound of the float32 error of a bilinear sample, in levels. With u = 2^-24, numbers below 256 round by up to 128 u,
positions within a pixel by u / 2. A row's value, a + (b - a) dx, is off by up to 127.5 + 128 + 128 = 383.5 u. The mean
of two rows inherits that, and adds 128 u for their difference, 127.5 u for dy, 128 u for the product, 128 u for the
sum: below 896 u. Where an addition is contracted with a multiplication, one of these roundings is left out."""

Pairs = NDArray[np.uint64]
"""Each pixel, as a word of 32 bits, with the next one."""


def warp(image_HWC: NDArray[np.uint8], corners_42: Points, resolution: int) -> NDArray[np.uint8]:
    """A quadrilateral of an image as (3, R, R) uint8 pixels, transformed to 4R x 4R and resized.

    Parameters
    ----------
    image_HWC
        (H, W, 3) uint8 RGB, of fewer than 2³¹ pixels.
    corners_42
        As `Rectangle.transform_corners_42`, at least a pixel inside the image, or a ValueError is raised.
    resolution
        R, at least 8.
    """
    height, width, _ = image_HWC.shape
    if resolution < 2 * BORDER + 2:
        raise ValueError(f"a resolution of at least {2 * BORDER + 2} is needed, not {resolution}")
    low, high = corners_42.min(axis=0), corners_42.max(axis=0)
    if not ((low >= 1).all() and (high <= (width - 1, height - 1)).all()):  # NaN fails here too
        raise ValueError(f"corners {corners_42.tolist()} in an image of {width} x {height} pixels, which needs padding")
    result_CHW = np.empty((3, resolution, resolution), np.uint8)
    size = SUPERSAMPLING * resolution
    left, upper = np.floor(low).astype(int) - 1
    right, lower = np.ceil(high).astype(int) + 1
    part_HWC = image_HWC[upper:lower, left:right]
    packed_HW = np.empty((lower - upper, right - left), np.uint32)
    _pack(part_HWC, packed_HW)
    pixels = packed_HW.reshape(-1)
    pairs = np.ndarray((pixels.size - 1,), U64, pixels, strides=pixels.strides)  # they overlap
    source = Source(pairs, int(right - left), int(left), int(upper))
    words = np.empty(4 * BLOCK, U32)
    block = Block(np.empty(BLOCK, I32), np.empty(2 * BLOCK, F32), words, words.view(U64))
    _render(source, block, quad_coefficients(corners_42, size), taps(size, resolution), result_CHW)
    return result_CHW


def quad_coefficients(corners_42: Points, size: int) -> NDArray[np.float64]:
    """(2, 4): for x and for y the a0...a3 of a0 + a1 x + a2 y + a3 x y, from corners in order NW, SW, SE, NE."""
    inverse = 1.0 / size
    nw, sw, se, ne = corners_42.astype(F32)
    across = (ne - nw).astype(F64) * inverse
    down = (sw - nw).astype(F64) * inverse
    twist = (((se - sw) - ne) + nw).astype(F64) * inverse * inverse
    return np.stack([nw.astype(F64), across, down, twist], axis=1)


class Source(NamedTuple):
    """The part of the image that is read: its pixels, its width, and where it begins."""

    pairs: Pairs
    width: int
    left: int
    upper: int


class Block(NamedTuple):
    """Neighbouring samples of one phase; x and y, upper and lower, follow each other."""

    place: NDArray[np.int32]  # the upper left pixel
    offsets: Floats  # the ways from it in pixels
    words: Words  # the four pixels around
    pairs: Pairs  # the same memory


@compiled
def _pack(image_HWC: Bytes, packed_HW: Words) -> None:
    height, width = packed_HW.shape
    for y in range(height):
        for x in range(width):
            red, green, blue = U32(image_HWC[y, x, 0]), U32(image_HWC[y, x, 1]), U32(image_HWC[y, x, 2])
            packed_HW[y, x] = red | (green << U32(8)) | (blue << U32(16))


@compiled
def _render(source: Source, block: Block, coefficients_24: Doubles, table: Taps, result_CHW: Bytes) -> None:
    """Strip by strip: a strip's resized rows stay in the cache until they are resized down."""
    channels, resolution, _ = result_CHW.shape
    samples_CPN = np.zeros((channels, SUPERSAMPLING, resolution + BORDER), F32)
    total_N = np.empty(channels * resolution, F32)
    rows_HN = np.empty((SUPERSAMPLING * STRIP + TAPS, channels * resolution), np.uint8)
    first, count, weights = table
    base = stop = 0  # the rows that rows_HN holds
    for start in range(0, resolution, STRIP):
        end = min(start + STRIP, resolution)
        moved = first[start] - base
        for i in range(stop - first[start]):
            for j in range(channels * resolution):
                rows_HN[i, j] = rows_HN[moved + i, j]
        base, begin, stop = first[start], stop, first[end - 1] + count[end - 1]
        for y in range(begin, stop):
            _sample(source, coefficients_24, y, block, samples_CPN)
            for channel in range(channels):
                row = rows_HN[y - base, channel * resolution : (channel + 1) * resolution]
                _reduce_across(samples_CPN[channel], table, row)
        for y in range(start, end):
            sum_rows(rows_HN, first[y] - base, count[y], weights[y], total_N)
            for channel in range(channels):
                result, total = result_CHW[channel, y], total_N[channel * resolution : (channel + 1) * resolution]
                for i in range(resolution):
                    result[i] = level(total[i])


@compiled
def _sample(source: Source, coefficients_24: Doubles, y: int, block: Block, samples_CPN: Floats) -> None:
    """One row of samples, ordered by phase."""
    a0, a1, a2, a3 = coefficients_24[0]
    b0, b1, b2, b3 = coefficients_24[1]
    y_in, width = F64(y), F64(source.width)
    x_across, y_across = a1 + a3 * y_in, b1 + b3 * y_in
    x_origin, y_origin = a0 + a2 * y_in - 0.5 - source.left, b0 + b2 * y_in - 0.5 - source.upper
    resolution = samples_CPN.shape[2] - BORDER
    x_step, y_step = SUPERSAMPLING * x_across, SUPERSAMPLING * y_across
    for start in range(0, resolution, BLOCK):
        count = min(BLOCK, resolution - start)
        place = block.place[:count]
        for phase in range(SUPERSAMPLING):  # all phases of a block read the same pixels
            x = SUPERSAMPLING * start + phase
            red, green = samples_CPN[0, phase, start : start + count], samples_CPN[1, phase, start : start + count]
            blue = samples_CPN[2, phase, start : start + count]
            _locate(x_origin + x * x_across, x_step, y_origin + x * y_across, y_step, width, place, block.offsets)
            _take(source.pairs, place, block.pairs)
            _take(source.pairs[source.width :], place, block.pairs[BLOCK:])
            if _filter(block.words, block.offsets, red, green, blue):
                _correct(source, coefficients_24, x, y, count, samples_CPN)


@compiled
def _locate(
    x: float, x_step: float, y: float, y_step: float, width: float, place: NDArray[np.int32], offsets: Floats
) -> None:
    """Where samples lie, but for the last bits."""
    for i in range(len(place)):
        px, py = x + x_step * i, y + y_step * i
        column, row = np.floor(px), np.floor(py)
        offsets[i], offsets[i + BLOCK] = F32(px - column), F32(py - row)
        place[i] = I32(row * width + column)


@compiled
def _take(pairs: Pairs, place: NDArray[np.int32], taken: Pairs) -> None:
    for i in range(len(place)):
        taken[i] = pairs[U64(place[i])]


@compiled
def _filter(words: Words, offsets: Floats, red: Floats, green: Floats, blue: Floats) -> bool:
    """Bilinear values of float32, truncated; whether any may have to be truncated otherwise: their blue is -1."""
    doubtful = I32(0)
    for i in range(len(red)):
        a, b = words[2 * i], words[2 * i + 1]
        c, d = words[2 * (i + BLOCK)], words[2 * (i + BLOCK) + 1]
        dx, dy = offsets[i], offsets[i + BLOCK]
        value0 = _bilinear(a, b, c, d, 0, dx, dy)
        value1 = _bilinear(a, b, c, d, 8, dx, dy)
        value2 = _bilinear(a, b, c, d, 16, dx, dy)
        level0, level1, level2 = F32(I32(value0)), F32(I32(value1)), F32(I32(value2))
        slant = U32(U32(a ^ b) | U32(U32(a ^ c) | U32(a ^ d)))  # float32 is exact where four values are equal
        near = _near(value0, level0, slant, 255) | _near(value1, level1, slant, 255 << 8)
        near = I32(near | _near(value2, level2, slant, 255 << 16))
        red[i], green[i], blue[i] = level0, level1, F32(-1) if near else level2
        doubtful = I32(doubtful | near)
    return doubtful != 0


@contracted
def _bilinear(
    a: np.uint32, b: np.uint32, c: np.uint32, d: np.uint32, shift: int, dx: np.float32, dy: np.float32
) -> np.float32:
    above = F32(_byte(a, shift)) + F32(I32(_byte(b, shift) - _byte(a, shift))) * dx
    below = F32(_byte(c, shift)) + F32(I32(_byte(d, shift) - _byte(c, shift))) * dx
    return above + (below - above) * dy


@compiled
def _near(value: np.float32, truncated: np.float32, slant: np.uint32, byte: int) -> np.int32:
    """1 where a whole level is nearer than `MARGIN`, 0 where not or where the four values are equal."""
    near = I32(abs((value - truncated) - F32(0.5)) > F32(0.5 - MARGIN))
    return I32(near & I32(U32(slant & U32(byte)) != U32(0)))


@compiled
def _byte(word: np.uint32, shift: int) -> np.int32:
    return I32(U32(word >> U32(shift)) & U32(255))


@compiled
def _correct(source: Source, coefficients_24: Doubles, x: int, y: int, count: int, samples_CPN: Floats) -> None:
    """The doubtful ones of the `count` samples of a phase from `x` on, as Pillow computes them."""
    a0, a1, a2, a3 = coefficients_24[0]
    b0, b1, b2, b3 = coefficients_24[1]
    y_in, phase, start = F64(y), x % SUPERSAMPLING, x // SUPERSAMPLING
    for i in range(start, start + count):
        if samples_CPN[2, phase, i] >= 0:
            continue
        x_in = F64(SUPERSAMPLING * i + phase)
        px = (((a0 + a1 * x_in) + a2 * y_in) + (a3 * x_in) * y_in) - 0.5
        py = (((b0 + b1 * x_in) + b2 * y_in) + (b3 * x_in) * y_in) - 0.5
        column, row = I32(px), I32(py)
        dx, dy = px - F64(column), py - F64(row)
        place = U64((row - source.upper) * source.width + (column - source.left))
        upper, lower = source.pairs[place], source.pairs[place + U64(source.width)]
        for channel in range(3):
            shift = U64(8 * channel)
            a, b = I32((upper >> shift) & U64(255)), I32((upper >> (shift + U64(32))) & U64(255))
            c, d = I32((lower >> shift) & U64(255)), I32((lower >> (shift + U64(32))) & U64(255))
            above, below = F64(a) + F64(b - a) * dx, F64(c) + F64(d - c) * dx
            samples_CPN[channel, phase, i] = F32(I32(above + (below - above) * dy))


@compiled
def _reduce_across(samples_PN: Floats, table: Taps, row_N: Bytes) -> None:
    first, _, weights = table
    resolution = len(row_N)
    start = first[BORDER]
    _sum_inner(
        samples_PN[start % SUPERSAMPLING, start // SUPERSAMPLING :],
        samples_PN[(start + 1) % SUPERSAMPLING, (start + 1) // SUPERSAMPLING :],
        samples_PN[(start + 2) % SUPERSAMPLING, (start + 2) // SUPERSAMPLING :],
        samples_PN[(start + 3) % SUPERSAMPLING, (start + 3) // SUPERSAMPLING :],
        weights[BORDER],
        row_N[BORDER : resolution - BORDER],
    )
    for end in range(2 * BORDER):
        i = end if end < BORDER else resolution - 2 * BORDER + end
        total, start = F32(0.5), U64(first[i])
        for k in range(TAPS):  # weights beyond an output's own are 0
            x = start + U64(k)
            total += samples_PN[x % U64(SUPERSAMPLING), x // U64(SUPERSAMPLING)] * weights[i, k]
        row_N[i] = level(total)


@compiled
def _sum_inner(phase0: Floats, phase1: Floats, phase2: Floats, phase3: Floats, weights: Floats, row_N: Bytes) -> None:
    """Outputs of `TAPS` taps, whose weights are the same; unrolled, so that the sum stays in a register."""
    w00, w01, w02, w03, w04, w05 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5]
    w06, w07, w08, w09, w10, w11 = weights[6], weights[7], weights[8], weights[9], weights[10], weights[11]
    for i in range(len(row_N)):
        total = F32(0.5) + phase0[i] * w00
        total = total + phase1[i] * w01
        total = total + phase2[i] * w02
        total = total + phase3[i] * w03
        total = total + phase0[i + 1] * w04
        total = total + phase1[i + 1] * w05
        total = total + phase2[i + 1] * w06
        total = total + phase3[i + 1] * w07
        total = total + phase0[i + 2] * w08
        total = total + phase1[i + 2] * w09
        total = total + phase2[i + 2] * w10
        total = total + phase3[i + 2] * w11
        total = total + phase0[i + 3] * w11
        total = total + phase1[i + 3] * w10
        total = total + phase2[i + 3] * w09
        total = total + phase3[i + 3] * w08
        total = total + phase0[i + 4] * w07
        total = total + phase1[i + 4] * w06
        total = total + phase2[i + 4] * w05
        total = total + phase3[i + 4] * w04
        total = total + phase0[i + 5] * w03
        total = total + phase1[i + 5] * w02
        total = total + phase2[i + 5] * w01
        total = total + phase3[i + 5] * w00
        row_N[i] = level(total)
