"""The padding of the exact recipe: the step "pad" of the published dataset_tool.py.

Nearly all of its time goes into a Gaussian of hundreds of taps. Three shortcuts change no bit:

- Pixels deeper than 4/3 of the margin have weight 0 in the blend: they are not blurred.
- The margin mirrors the image, so down the columns a mirrored column blurs to the values of its original: only the
  image's own columns are summed.
- Pixels are integers, so the two of a pair are added as integers.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.compiled import Bytes, Doubles, Floats, Integers, compiled, level
from pipeline.faces.geometry import Padding
from pipeline.faces.pad import PaddedAxis

F32, F64, I32 = np.float32, np.float64, np.int32
TRUNCATE = 4.0
BLOCK = 512  # values summed at a time: their inputs stay in the fastest cache
BINS_PER_LEVEL = 256


def pad(image_HWC: NDArray[np.uint8], padding: Padding) -> NDArray[np.uint8]:
    """Extend an image by `padding`: (H, W, 3) uint8 RGB to (top + H + bottom, left + W + right, 3).

    Memory: five times the result, which is float32 before it is rounded.
    """
    height, width, _ = image_HWC.shape
    weights = _gaussian(padding.blur_sigma)
    radius = len(weights) - 1
    rows = PaddedAxis(padding.top, height, padding.bottom)
    columns = PaddedAxis(padding.left, width, padding.right)
    row_sources, column_sources = (axis.source(np.arange(-radius, axis.padded + radius)) for axis in (rows, columns))
    depth_y, depth_x = (axis.depth(np.arange(axis.padded)) for axis in (rows, columns))
    values_HN = np.empty((len(depth_y), 3 * len(depth_x)), F32)
    image_HN = np.ascontiguousarray(image_HWC).reshape(height, -1)
    _blur_border(image_HN, row_sources, column_sources, depth_y, depth_x, weights, values_HN)
    result_HN = np.empty(values_HN.shape, np.uint8)
    _fade(values_HN, depth_y, depth_x, _median(values_HN), result_HN)
    return result_HN.reshape(len(depth_y), len(depth_x), 3)


def _gaussian(sigma: float) -> NDArray[np.float64]:
    """Weights of the pixels at distance 0, 1, 2, ...: those of `scipy.ndimage.gaussian_filter`."""
    radius = int(TRUNCATE * sigma + 0.5)
    weights = np.exp(-0.5 / (sigma * sigma) * np.arange(-radius, radius + 1) ** 2)
    return (weights / weights.sum())[radius:]


@compiled
def _blur_weight(depth: np.float32) -> np.float32:
    mask = F32(1) - depth
    return min(max(F32(3) * mask + F32(1), F32(0)), F32(1))


@compiled
def _blur_border(
    image_HN: Bytes,
    row_sources: Integers,
    column_sources: Integers,
    depth_y: Floats,
    depth_x: Floats,
    weights: Doubles,
    values_HN: Floats,
) -> None:
    """The mirrored image, blended with its Gaussian by depth."""
    radius, width, own = len(weights) - 1, len(depth_x), image_HN.shape[1] // 3
    # the columns that are blurred in every row, and the image's columns that their Gaussian reads
    left, right = 0, width
    while left < width and _blur_weight(depth_x[left]) > F32(0):
        left += 1
    while right > left and _blur_weight(depth_x[right - 1]) > F32(0):
        right -= 1
    own_left, own_right = column_sources[: left + 2 * radius].max() + 1, column_sources[right:].min()
    if own_left >= own_right:
        own_left, own_right = own, own
    total = np.empty(BLOCK, F64)
    down = np.empty(3 * own, F32)
    line = np.empty(3 * len(column_sources), F64)
    blurred = np.empty(3 * width, F32)
    for y in range(len(depth_y)):
        rows = row_sources[y : y + 2 * radius + 1]
        source, sources, values = image_HN[rows[radius]], column_sources[radius:], values_HN[y]
        if _blur_weight(depth_y[y]) > F32(0):
            _blur_down(image_HN, rows, weights, total, 0, 3 * own, down)
            _spread(down, column_sources, 0, len(column_sources), line)
            _blur_across(line, weights, total, 0, 3 * width, blurred)
            _blend(source, sources, blurred, depth_y[y], depth_x, 0, width, values)
        else:
            _blur_down(image_HN, rows, weights, total, 0, 3 * own_left, down)
            _blur_down(image_HN, rows, weights, total, 3 * own_right, 3 * own, down)
            _spread(down, column_sources, 0, left + 2 * radius, line)
            _spread(down, column_sources, right, len(column_sources), line)
            _blur_across(line, weights, total, 0, 3 * left, blurred)
            _blur_across(line, weights, total, 3 * right, 3 * width, blurred)
            _blend(source, sources, blurred, depth_y[y], depth_x, 0, left, values)
            _spread(source, sources, left, right, values)
            _blend(source, sources, blurred, depth_y[y], depth_x, right, width, values)


@compiled
def _blur_down(
    image_HN: Bytes, rows: Integers, weights: Doubles, total: Doubles, start: int, stop: int, result_N: Floats
) -> None:
    """The Gaussian of one row's columns `start`...`stop`: the centre, then pairs of rows from the outermost inwards."""
    radius = len(weights) - 1
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        sums, centre = total[:count], image_HN[rows[radius], first : first + count]
        for i in range(count):
            sums[i] = F64(centre[i]) * weights[0]
        for k in range(radius, 0, -1):
            above = image_HN[rows[radius - k], first : first + count]
            below = image_HN[rows[radius + k], first : first + count]
            weight = weights[k]
            for i in range(count):
                sums[i] += F64(I32(above[i]) + I32(below[i])) * weight
        result = result_N[first : first + count]
        for i in range(count):
            result[i] = F32(sums[i])


@compiled
def _blur_across(line_N: Doubles, weights: Doubles, total: Doubles, start: int, stop: int, result_N: Floats) -> None:
    """The same along a line of interleaved channels, which extends by the radius at both ends."""
    radius = len(weights) - 1
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        middle = first + 3 * radius
        sums, centre = total[:count], line_N[middle : middle + count]
        for i in range(count):
            sums[i] = centre[i] * weights[0]
        for k in range(radius, 0, -1):
            before = line_N[middle - 3 * k : middle - 3 * k + count]
            after = line_N[middle + 3 * k : middle + 3 * k + count]
            weight = weights[k]
            for i in range(count):
                sums[i] += (before[i] + after[i]) * weight
        result = result_N[first : first + count]
        for i in range(count):
            result[i] = F32(sums[i])


@compiled
def _spread(own_N: Floats | Bytes, sources: Integers, start: int, stop: int, line_N: Doubles | Floats) -> None:
    """Pixels `start`...`stop` of a mirrored line, from those of the image."""
    for x in range(start, stop):
        pixel, place = own_N[3 * sources[x] : 3 * sources[x] + 3], line_N[3 * x : 3 * x + 3]
        for channel in range(3):
            place[channel] = pixel[channel]


@compiled
def _blend(
    source_N: Bytes,
    sources: Integers,
    blurred_N: Floats,
    depth_y: np.float32,
    depth_x: Floats,
    start: int,
    stop: int,
    values_N: Floats,
) -> None:
    for x in range(start, stop):
        weight = _blur_weight(min(depth_x[x], depth_y))
        pixel, place = source_N[3 * sources[x] : 3 * sources[x] + 3], values_N[3 * x : 3 * x + 3]
        blur = blurred_N[3 * x : 3 * x + 3]
        for channel in range(3):
            value = F32(pixel[channel])
            place[channel] = value + (blur[channel] - value) * weight


@compiled
def _median(values_HN: Floats) -> Floats:
    """The median of each channel, float32: values are counted in fine bins, the one or two middle bins sorted."""
    height, length = values_HN.shape
    counts = np.zeros((3, 256 * BINS_PER_LEVEL), np.int64)
    for y in range(height):
        row = values_HN[y]
        for x in range(0, length, 3):
            for channel in range(3):
                counts[channel, _bin(row[x + channel])] += 1
    middle = height * (length // 3)
    result = np.empty(3, F32)
    for channel in range(3):
        lower = _ranked(values_HN, channel, counts[channel], (middle - 1) // 2)
        upper = _ranked(values_HN, channel, counts[channel], middle // 2)
        result[channel] = (lower + upper) / F32(2)
    return result


@compiled
def _bin(value: np.float32) -> np.int32:
    return min(max(I32(value * F32(BINS_PER_LEVEL)), I32(0)), I32(256 * BINS_PER_LEVEL - 1))


@compiled
def _ranked(values_HN: Floats, channel: int, counts: Integers, rank: int) -> np.float32:
    chosen = 0
    while rank >= counts[chosen]:
        rank -= counts[chosen]
        chosen += 1
    found, count = np.empty(counts[chosen], F32), 0
    for y in range(len(values_HN)):
        row = values_HN[y]
        for x in range(channel, len(row), 3):
            if _bin(row[x]) == chosen:
                found[count] = row[x]
                count += 1
    return np.sort(found)[rank]


@compiled
def _fade(values_HN: Floats, depth_y: Floats, depth_x: Floats, median: Floats, result_HN: Bytes) -> None:
    """Fade to the median by depth, and round to the nearest level."""
    for y in range(len(depth_y)):
        values, result = values_HN[y], result_HN[y]
        for x in range(len(depth_x)):
            weight = min(max(F32(1) - min(depth_x[x], depth_y[y]), F32(0)), F32(1))
            pixel, place = values[3 * x : 3 * x + 3], result[3 * x : 3 * x + 3]
            for channel in range(3):
                value = pixel[channel]
                place[channel] = level(np.rint(value + (median[channel] - value) * weight))
