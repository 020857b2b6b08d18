"""The padding of the exact recipe: the step "pad" of the published dataset_tool.py.

Nearly all of its time goes into a Gaussian of hundreds of taps. Shortcuts that change no bit:

- Pixels deeper than 4/3 of the margin have weight 0 in the blend: they are not blurred.
- The margin mirrors the image. Where the Gaussian reads nothing beyond the padded image, a mirrored row, or column,
  blurs to the values of its original, because the two of a pair are added first: one of both is summed.
- Pixels are integers, so the two of a pair are added in float32 without rounding.
- Of the result, only the part that is read is faded and rounded. The median needs all values.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.compiled import Bytes, Doubles, Floats, Integers, compiled, level
from pipeline.faces.geometry import Box, Padding
from pipeline.faces.pad import PaddedAxis

F32, F64, I32 = np.float32, np.float64, np.int32
TRUNCATE = 4.0
BINS_PER_LEVEL = 64
GROUP = 8  # pairs of taps that are added between two accesses to the running sums
STRIP = 256  # values of a row that are blurred down together; the strip stays in the second cache
BAND = 64  # rows that are blurred down together
BLOCK = 512  # values of a line that are blurred across together
CHUNK = 384  # values that are compared with the bounds of the median together
Flags = NDArray[np.bool_]
Counts = NDArray[np.int32]


def pad(image_HWC: NDArray[np.uint8], padding: Padding, part: Box) -> NDArray[np.uint8]:
    """Extend an image by `padding`: (H, W, 3) uint8 RGB to (top + H + bottom, left + W + right, 3).

    Only `part` of the result is computed. The other pixels are 0, and take no memory until they are read.

    Memory: four times the padded image, as float32.
    """
    height, width, _ = image_HWC.shape
    weights = _gaussian(padding.blur_sigma)
    rows = PaddedAxis(padding.top, height, padding.bottom)
    columns = PaddedAxis(padding.left, width, padding.right)
    plan = _plan(rows, columns, radius=len(weights) - 1)
    values_HN = np.empty((rows.padded, 3 * columns.padded), F32)
    counts = np.zeros((2, 3, 256 * BINS_PER_LEVEL), np.int32)
    _blur_border(np.ascontiguousarray(image_HWC).reshape(height, -1), plan, weights, values_HN, counts)
    median = _median(values_HN, counts.sum(axis=0))
    result_HWC = np.zeros((rows.padded, columns.padded, 3), np.uint8)
    _fade(values_HN, plan.depth_y, plan.depth_x, median, part.upper, part.left, result_HWC[part.slices])
    return result_HWC


def _gaussian(sigma: float) -> NDArray[np.float64]:
    """Weights of the pixels at distance 0, 1, 2, ...: those of `scipy.ndimage.gaussian_filter`."""
    radius = int(TRUNCATE * sigma + 0.5)
    weights = np.exp(-0.5 / (sigma * sigma) * np.arange(-radius, radius + 1) ** 2)
    return (weights / weights.sum())[radius:]


class Plan(NamedTuple):
    """What is summed of the Gaussian of a padded image.

    `left` and `right` bound the columns that are not blurred in rows as deep as they; those rows need only the image's
    columns below `own_left` and from `own_right` on.
    """

    row_sources: Integers
    column_sources: Integers
    depth_y: Floats
    depth_x: Floats
    left: int
    right: int
    own_left: int
    own_right: int
    blurred_y: Flags  # rows that are blurred as a whole
    column_twins: Integers
    summed: Flags  # (2, width): columns that are summed in a row that is not blurred as a whole, and in one that is
    twins_2H: Integers  # the rows that have the same Gaussian as a summed one; -1 for none
    bands_N3: Integers  # first and last summed row; 1 where a row or its twin is blurred as a whole


def _plan(rows: PaddedAxis, columns: PaddedAxis, radius: int) -> Plan:
    row_sources, column_sources = (axis.source(np.arange(-radius, axis.padded + radius)) for axis in (rows, columns))
    depth_y, depth_x = (axis.depth(np.arange(axis.padded)) for axis in (rows, columns))
    blurred_y, blurred_x = _blur_weights(depth_y) > 0, _blur_weights(depth_x) > 0
    inner = np.flatnonzero(~blurred_x)
    left, right = (int(inner[0]), int(inner[-1]) + 1) if len(inner) else (columns.padded, columns.padded)
    own_left = int(column_sources[: left + 2 * radius].max()) + 1
    own_right = int(column_sources[right:].min())
    if own_left >= own_right:
        own_left = own_right = columns.length
    row_twins, column_twins = _twins(row_sources, rows, radius), _twins(column_sources, columns, radius)
    own = column_twins == np.arange(columns.padded)
    summed = np.stack([blurred_x & (own | ~blurred_x[column_twins]), own])
    whole = blurred_y.copy()
    twins_2H = np.full((2, rows.padded), -1)
    for row in np.flatnonzero(row_twins != np.arange(rows.padded)):
        twins_2H[int(row_twins[row] < row), row_twins[row]] = row
        whole[row_twins[row]] |= blurred_y[row]
    bands: list[list[int]] = []
    for row in np.flatnonzero(row_twins == np.arange(rows.padded)).tolist():
        if bands and bands[-1][1:] == [row, int(whole[row])] and row - bands[-1][0] < BAND:
            bands[-1][1] = row + 1
        else:
            bands.append([row, row + 1, int(whole[row])])
    return Plan(
        row_sources,
        column_sources,
        depth_y,
        depth_x,
        left,
        right,
        own_left,
        own_right,
        blurred_y,
        column_twins,
        summed,
        twins_2H,
        np.array(bands),
    )


def _twins(sources: NDArray[np.int64], axis: PaddedAxis, radius: int) -> NDArray[np.int64]:
    """For each position the one whose Gaussian has the same value: its mirror image in the image, or itself."""
    twins = np.arange(axis.padded)
    windows = np.lib.stride_tricks.sliding_window_view(sources, 2 * radius + 1)
    first, last = axis.before, axis.before + axis.length - 1
    for position in (*range(first), *range(last + 1, axis.padded)):
        mirrored = 2 * (first if position < first else last) - position
        if first <= mirrored <= last and np.array_equal(windows[position], windows[mirrored][::-1]):
            twins[position] = mirrored
    return twins


def _median(values_HN: Floats, counts_CN: Counts) -> Floats:
    """The median of each channel, float32: of the one or two middle bins, the values are partitioned."""
    middle, last = values_HN.size // 3, 256 * BINS_PER_LEVEL - 1
    ranks = np.array([(middle - 1) // 2, middle // 2])
    low, high, sizes, within = np.empty(3, F32), np.empty(3, F32), np.empty(3, int), np.empty((3, 2), int)
    for channel, counts in enumerate(counts_CN):
        ends = counts.cumsum(dtype=np.int64)
        first, second = np.searchsorted(ends, ranks, side="right")
        sizes[channel], within[channel] = counts[first : second + 1].sum(), ranks - (ends[first] - counts[first])
        low[channel] = first / BINS_PER_LEVEL if first > 0 else -np.inf
        high[channel] = (second + 1) / BINS_PER_LEVEL if second < last else np.inf
    found_CN = np.empty((3, sizes.max()), F32)
    _collect(values_HN, np.tile(low, CHUNK // 3), np.tile(high, CHUNK // 3), found_CN)
    middles_C2 = [
        np.partition(found[:size], kth)[kth] for found, size, kth in zip(found_CN, sizes, within, strict=True)
    ]
    return np.array([(lower + upper) / F32(2) for lower, upper in middles_C2], F32)


def _blur_weights(depth: Floats) -> Floats:
    return np.clip(F32(3) * (F32(1) - depth) + F32(1), F32(0), F32(1))


@compiled
def _blur_border(image_HN: Bytes, plan: Plan, weights: Doubles, values_HN: Floats, counts: Counts) -> None:
    """The mirrored image, blended with its Gaussian by depth; how many of its values are in each bin."""
    radius, width, own = len(weights) - 1, len(plan.depth_x), image_HN.shape[1] // 3
    left, right, sources = plan.left, plan.right, plan.column_sources
    depths = np.empty(3 * width, F32)
    for i in range(3 * width):
        depths[i] = plan.depth_x[i // 3]
    strip, sums = np.empty((BAND + 2 * radius) * STRIP, F32), np.empty(max(STRIP, BLOCK), F64)
    down, line = np.empty((BAND, 3 * own), F32), np.empty(3 * len(sources), F64)
    blurred = np.empty(3 * width, F32)
    for band in range(len(plan.bands_N3)):
        start, stop, whole = plan.bands_N3[band]
        rows = plan.row_sources[start : stop + 2 * radius]
        edges = (own, own) if whole else (plan.own_left, plan.own_right)
        for side in range(2):
            first, last = (edges[1], own) if side else (0, edges[0])
            _blur_down(image_HN, rows, weights, strip, sums, 3 * first, 3 * last, down)
        for y in range(start, stop):
            _spread(down[y - start], sources, 0, len(sources) if whole else left + 2 * radius, line)
            _spread(down[y - start], sources, len(sources) if whole else right, len(sources), line)
            _blur_across(line, weights, sums, plan.summed[whole], plan.column_twins, blurred)
            for row in (y, plan.twins_2H[0, y], plan.twins_2H[1, y]):
                if row < 0:
                    continue
                depth, values = plan.depth_y[row], values_HN[row]
                _spread(image_HN[plan.row_sources[row + radius]], sources[radius:], 0, width, values)
                edge = (3 * width, 3 * width) if plan.blurred_y[row] else (3 * left, 3 * right)
                _blend(values[: edge[0]], blurred, depth, depths)
                _blend(values[edge[1] :], blurred[edge[1] :], depth, depths[edge[1] :])
                _count(values, counts)


@compiled
def _blur_down(
    image_HN: Bytes,
    rows: Integers,
    weights: Doubles,
    strip: Floats,
    sums: Doubles,
    start: int,
    stop: int,
    down_HN: Floats,
) -> None:
    """The Gaussian of a band of rows, columns `start`...`stop`, strip by strip.

    The order of additions is scipy's: the centre, then pairs of rows from the outermost inwards.
    """
    radius = len(weights) - 1
    for first in range(start, stop, STRIP):
        count = min(STRIP, stop - first)
        for i in range(len(rows)):
            pixels, place = image_HN[rows[i], first : first + count], strip[i * STRIP : i * STRIP + count]
            for j in range(count):
                place[j] = F32(pixels[j])
        for y in range(len(rows) - 2 * radius):
            middle = (y + radius) * STRIP
            total, centre = sums[:count], strip[middle : middle + count]
            for j in range(count):
                total[j] = F64(centre[j]) * weights[0]
            k = radius
            while k % GROUP:
                before, after = strip[middle - k * STRIP :], strip[middle + k * STRIP :]
                weight = weights[k]
                for j in range(count):
                    total[j] += F64(before[j] + after[j]) * weight
                k -= 1
            while k:
                _add_rows(strip[middle - k * STRIP :], strip[middle + (k - 7) * STRIP :], weights[k - 7 : k + 1], total)
                k -= GROUP
            result = down_HN[y, first : first + count]
            for j in range(count):
                result[j] = F32(total[j])


@compiled
def _add_rows(before: Floats, after: Floats, weights: Doubles, total: Doubles) -> None:
    """Eight pairs; unrolled, so that the sum stays in a register."""
    w0, w1, w2, w3 = weights[7], weights[6], weights[5], weights[4]
    w4, w5, w6, w7 = weights[3], weights[2], weights[1], weights[0]
    for j in range(len(total)):
        value = total[j] + F64(before[j] + after[j + 7 * STRIP]) * w0
        value = value + F64(before[j + STRIP] + after[j + 6 * STRIP]) * w1
        value = value + F64(before[j + 2 * STRIP] + after[j + 5 * STRIP]) * w2
        value = value + F64(before[j + 3 * STRIP] + after[j + 4 * STRIP]) * w3
        value = value + F64(before[j + 4 * STRIP] + after[j + 3 * STRIP]) * w4
        value = value + F64(before[j + 5 * STRIP] + after[j + 2 * STRIP]) * w5
        value = value + F64(before[j + 6 * STRIP] + after[j + STRIP]) * w6
        total[j] = value + F64(before[j + 7 * STRIP] + after[j]) * w7


@compiled
def _blur_across(
    line_N: Doubles, weights: Doubles, sums: Doubles, summed: Flags, twins: Integers, blurred_N: Floats
) -> None:
    """The same along a line of interleaved channels, which extends by the radius at both ends."""
    width, stop = len(summed), 0
    while stop < width:
        start = stop
        while start < width and not summed[start]:
            start += 1
        stop = start
        while stop < width and summed[stop]:
            stop += 1
        for first in range(3 * start, 3 * stop, BLOCK):
            _blur_block(line_N[first:], weights, sums, blurred_N[first : min(first + BLOCK, 3 * stop)])
    for x in range(width):
        if not summed[x]:
            for channel in range(3):
                blurred_N[3 * x + channel] = blurred_N[3 * twins[x] + channel]


@compiled
def _blur_block(line_N: Doubles, weights: Doubles, sums: Doubles, result_N: Floats) -> None:
    radius, count = len(weights) - 1, len(result_N)
    middle, total = 3 * radius, sums[: len(result_N)]
    centre = line_N[middle:]
    for i in range(count):
        total[i] = centre[i] * weights[0]
    k = radius
    while k % GROUP:
        before, after = line_N[middle - 3 * k :], line_N[middle + 3 * k :]
        weight = weights[k]
        for i in range(count):
            total[i] += (before[i] + after[i]) * weight
        k -= 1
    while k:
        _add_neighbours(line_N[middle - 3 * k :], line_N[middle + 3 * (k - 7) :], weights[k - 7 : k + 1], total)
        k -= GROUP
    for i in range(count):
        result_N[i] = F32(total[i])


@compiled
def _add_neighbours(before: Doubles, after: Doubles, weights: Doubles, total: Doubles) -> None:
    """As `_add_rows`."""
    w0, w1, w2, w3 = weights[7], weights[6], weights[5], weights[4]
    w4, w5, w6, w7 = weights[3], weights[2], weights[1], weights[0]
    for i in range(len(total)):
        value = total[i] + (before[i] + after[i + 21]) * w0
        value = value + (before[i + 3] + after[i + 18]) * w1
        value = value + (before[i + 6] + after[i + 15]) * w2
        value = value + (before[i + 9] + after[i + 12]) * w3
        value = value + (before[i + 12] + after[i + 9]) * w4
        value = value + (before[i + 15] + after[i + 6]) * w5
        value = value + (before[i + 18] + after[i + 3]) * w6
        total[i] = value + (before[i + 21] + after[i]) * w7


@compiled
def _spread(own_N: Floats | Bytes, sources: Integers, start: int, stop: int, line_N: Doubles | Floats) -> None:
    """Pixels `start`...`stop` of a mirrored line, from those of the image."""
    for x in range(start, stop):
        at = np.uint64(3 * sources[x])
        line_N[3 * x] = own_N[at]
        line_N[3 * x + 1] = own_N[at + np.uint64(1)]
        line_N[3 * x + 2] = own_N[at + np.uint64(2)]


@compiled
def _blend(values_N: Floats, blurred_N: Floats, depth_y: np.float32, depths: Floats) -> None:
    for i in range(len(values_N)):
        mask = F32(1) - min(depths[i], depth_y)
        weight = min(max(F32(3) * mask + F32(1), F32(0)), F32(1))
        values_N[i] += (blurred_N[i] - values_N[i]) * weight


@compiled
def _count(values_N: Floats, counts: Counts) -> None:
    """Neighbours, whose values are often equal, are counted apart: an increment need not wait for the last one."""
    for x in range(len(values_N) // 3):
        for channel in range(3):
            counts[x % 2, channel, _bin(values_N[3 * x + channel])] += 1


@compiled
def _bin(value: np.float32) -> np.int32:
    return min(max(I32(value * F32(BINS_PER_LEVEL)), I32(0)), I32(256 * BINS_PER_LEVEL - 1))


@compiled
def _collect(values_HN: Floats, low: Floats, high: Floats, found_CN: Floats) -> None:
    """The values between two bounds of each channel, which `low` and `high` repeat."""
    sizes = np.zeros(3, np.int64)
    for y in range(len(values_HN)):
        for first in range(0, values_HN.shape[1], CHUNK):
            values, hits = values_HN[y, first : first + CHUNK], I32(0)
            for i in range(len(values)):
                hits = I32(hits + I32((values[i] >= low[i]) & (values[i] < high[i])))
            for i in range(len(values) if hits > 0 else 0):
                if low[i] <= values[i] < high[i]:
                    channel = i % 3
                    found_CN[channel, sizes[channel]] = values[i]
                    sizes[channel] += 1


@compiled
def _fade(
    values_HN: Floats, depth_y: Floats, depth_x: Floats, median: Floats, upper: int, left: int, result_HWC: Bytes
) -> None:
    """Fade to the median by depth, and round to the nearest level; the part that begins at `upper` and `left`."""
    height, width, _ = result_HWC.shape
    for y in range(height):
        values = values_HN[upper + y]
        for x in range(width):
            weight = min(max(F32(1) - min(depth_x[left + x], depth_y[upper + y]), F32(0)), F32(1))
            for channel in range(3):
                value = values[3 * (left + x) + channel]
                result_HWC[y, x, channel] = level(np.rint(value + (median[channel] - value) * weight))
