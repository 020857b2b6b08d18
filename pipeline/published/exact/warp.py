"""The last step of the exact recipe: QUAD transform to four times the resolution and Lanczos resize in one pass.

The supersampled image is never made: each of its rows is sampled and resized across at once, and the resized rows are
kept for the resize down. Samples are taken in the order x = 0, 4, 8, ..., 1, 5, 9, ... (four phases), so that every
loop runs over neighbours in memory.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.compiled import Bytes, Doubles, Floats, Words, compiled, level
from pipeline.faces.geometry import Points
from pipeline.faces.lanczos import Taps, taps

F32, F64 = np.float32, np.float64
SUPERSAMPLING = 4
BORDER = 3  # outputs at each end of an axis that have fewer taps


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
    packed_N = np.empty(height * width, np.uint32)
    _pack(np.ascontiguousarray(image_HWC).reshape(-1, 3), packed_N)
    rows_HCW = np.empty((size, 3, resolution), np.uint8)
    table = taps(size, resolution)
    _sample_and_reduce(packed_N, width, quad_coefficients(corners_42, size), table, rows_HCW)
    _reduce_down(rows_HCW, table, result_CHW)
    return result_CHW


def quad_coefficients(corners_42: Points, size: int) -> NDArray[np.float64]:
    """(2, 4): for x and for y the a0...a3 of a0 + a1 x + a2 y + a3 x y, from corners in order NW, SW, SE, NE."""
    inverse = 1.0 / size
    nw, sw, se, ne = corners_42.astype(F32)
    across = (ne - nw).astype(F64) * inverse
    down = (sw - nw).astype(F64) * inverse
    twist = (((se - sw) - ne) + nw).astype(F64) * inverse * inverse
    return np.stack([nw.astype(F64), across, down, twist], axis=1)


@compiled
def _pack(pixels_N3: Bytes, packed_N: Words) -> None:
    for i in range(len(packed_N)):
        red, green, blue = np.uint32(pixels_N3[i, 0]), np.uint32(pixels_N3[i, 1]), np.uint32(pixels_N3[i, 2])
        packed_N[i] = red | (green << np.uint32(8)) | (blue << np.uint32(16))


@compiled
def _sample_and_reduce(packed_N: Words, width: int, coefficients_24: Doubles, table: Taps, rows_HCW: Bytes) -> None:
    size, _, resolution = rows_HCW.shape
    place_N = np.empty(size, np.int32)
    dx_N, dy_N = np.empty(size, F64), np.empty(size, F64)
    corners_4N = np.empty((4, size), np.uint32)
    samples_CPN = np.empty((3, SUPERSAMPLING, resolution), F32)
    total_N = np.empty(resolution, F32)
    for y in range(size):
        _locate(coefficients_24, y, width, place_N, dx_N, dy_N)
        _gather(packed_N, width, place_N, corners_4N)
        for channel in range(3):
            _filter(corners_4N, np.uint32(8 * channel), dx_N, dy_N, samples_CPN[channel].reshape(size))
            _reduce_across(samples_CPN[channel], table, total_N, rows_HCW[y, channel])


@compiled
def _locate(
    coefficients_24: Doubles, y: int, width: int, place_N: NDArray[np.int32], dx_N: Doubles, dy_N: Doubles
) -> None:
    """Upper left pixel and fractions of each sample of row y, ordered by phase."""
    a0, a1, a2, a3 = coefficients_24[0]
    b0, b1, b2, b3 = coefficients_24[1]
    y_in = F64(y)
    a2y, b2y = a2 * y_in, b2 * y_in
    width_32, resolution = np.int32(width), len(place_N) // SUPERSAMPLING
    for phase in range(SUPERSAMPLING):
        start, stop = phase * resolution, (phase + 1) * resolution
        place, dx, dy = place_N[start:stop], dx_N[start:stop], dy_N[start:stop]
        for i in range(resolution):
            x = F64(np.int32(i * SUPERSAMPLING + phase))
            px = (((a0 + a1 * x) + a2y) + (a3 * x) * y_in) - 0.5
            py = (((b0 + b1 * x) + b2y) + (b3 * x) * y_in) - 0.5
            column, row = np.int32(px), np.int32(py)
            dx[i], dy[i] = px - F64(column), py - F64(row)
            place[i] = row * width_32 + column


@compiled
def _gather(packed_N: Words, width: int, place_N: NDArray[np.int32], corners_4N: Words) -> None:
    below = packed_N[width:]
    nw, ne, sw, se = corners_4N[0], corners_4N[1], corners_4N[2], corners_4N[3]
    for i in range(len(place_N)):
        at = np.uint64(place_N[i])
        nw[i] = packed_N[at]
        ne[i] = packed_N[at + np.uint64(1)]
        sw[i] = below[at]
        se[i] = below[at + np.uint64(1)]


@compiled
def _filter(corners_4N: Words, shift: np.uint32, dx_N: Doubles, dy_N: Doubles, samples_N: Floats) -> None:
    """Bilinear values of one channel, truncated."""
    nw, ne, sw, se = corners_4N[0], corners_4N[1], corners_4N[2], corners_4N[3]
    byte = np.uint32(255)
    for i in range(len(samples_N)):
        a = np.int32((nw[i] >> shift) & byte)
        b = np.int32((ne[i] >> shift) & byte)
        c = np.int32((sw[i] >> shift) & byte)
        d = np.int32((se[i] >> shift) & byte)
        above = F64(a) + F64(b - a) * dx_N[i]
        below = F64(c) + F64(d - c) * dx_N[i]
        samples_N[i] = F32(np.int32(above + (below - above) * dy_N[i]))


@compiled
def _reduce_across(samples_PN: Floats, table: Taps, total_N: Floats, row_N: Bytes) -> None:
    first, count, weights = table
    resolution = len(row_N)
    total_N[:] = F32(0.5)
    inner = resolution - 2 * BORDER
    inside = total_N[BORDER : resolution - BORDER]
    for k in range(count[BORDER]):
        offset = first[BORDER] + k
        start = offset // SUPERSAMPLING
        values = samples_PN[offset % SUPERSAMPLING][start : start + inner]
        weight = weights[BORDER, k]
        for i in range(inner):
            inside[i] += values[i] * weight
    for end in range(2 * BORDER):
        i = end if end < BORDER else resolution - 2 * BORDER + end
        for k in range(count[i]):
            x = first[i] + k
            total_N[i] += samples_PN[x % SUPERSAMPLING, x // SUPERSAMPLING] * weights[i, k]
    for i in range(resolution):
        row_N[i] = level(total_N[i])


@compiled
def _reduce_down(rows_HCW: Bytes, table: Taps, result_CHW: Bytes) -> None:
    first, count, weights = table
    channels, resolution, _ = result_CHW.shape
    total_N = np.empty(resolution, F32)
    for y in range(resolution):
        for channel in range(channels):
            total_N[:] = F32(0.5)
            for k in range(count[y]):
                row, weight = rows_HCW[first[y] + k, channel], weights[y, k]
                for i in range(resolution):
                    total_N[i] += F32(row[i]) * weight
            result = result_CHW[channel, y]
            for i in range(resolution):
                result[i] = level(total_N[i])
