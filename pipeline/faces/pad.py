"""The fast padding: the region mirrored outwards, blurred toward the border, faded to its median colour.

The formulas are the recipe's (Karras et al. 2018, appendix C): with m = 1 at the padded border, 0 where the region's
own pixels begin and below 0 further inside, a pixel becomes

    v <- v + (gaussian(v) - v) * clip(3 m + 1, 0, 1)      then      v <- v + (median - v) * clip(m, 0, 1).

Two approximations make time and memory independent of the size of the padded image, which is never made as a whole. A
Gaussian of a large sigma is taken from box means of f x f pixels, sigma / f >= 4, and interpolated; the median comes
from one pixel of each such box. Only the part that the transform reads is made at full size.
"""

import math
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.compiled import Bytes, Floats
from pipeline.faces.geometry import Box, Padding

LEAST_REDUCED_SIGMA = 4.0
"""Box means and linear interpolation deviate from a Gaussian by less than 0.1 level at this sigma."""

TRUNCATE = 4.0
BAND_ROWS = 256
TILE_PIXELS = 256


@dataclass(frozen=True, slots=True)
class PaddedAxis:
    """One axis of the padded image: `length` pixels of the region, `before` and `after` pixels of padding."""

    before: int
    length: int
    after: int

    @property
    def padded(self) -> int:
        """Its length with the padding."""
        return self.before + self.length + self.after

    def source(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The region's pixel at each position of the padded image, or of its surroundings that the Gaussian reads.

        The padding mirrors without the edge pixel (numpy's "reflect"), the surroundings with it (scipy's "reflect").
        """
        inside = positions % (2 * self.padded)
        inside = np.minimum(inside, 2 * self.padded - 1 - inside) - self.before
        if self.length == 1:
            return np.zeros_like(inside)
        period = 2 * (self.length - 1)
        folded = inside % period
        return np.minimum(folded, period - folded)

    def depth(self, positions: NDArray[np.int64]) -> Floats:
        """Distance to the nearer end in units of its padding: 0 at the border, 1 where the region begins."""
        x = positions.astype(np.float32)
        return np.minimum(x / np.float32(self.before), (np.float32(self.padded - 1) - x) / np.float32(self.after))


@dataclass(frozen=True, slots=True)
class _Blur:
    """The Gaussian of the whole padded image, one value per `step` x `step` pixels, `margin` pixels beyond it."""

    values: Floats
    step: int
    margin: int

    def window(self, left: int, upper: int, width: int, height: int) -> Floats:
        """The blurred pixels of a part of the padded image."""
        if self.step == 1:
            y, x = upper + self.margin, left + self.margin
            return self.values[y : y + height, x : x + width]
        x, y = ((start + self.margin + 0.5) / self.step - 0.5 for start in (left, upper))
        to_reduced = np.array([[1 / self.step, 0, x], [0, 1 / self.step, y]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (width, height)
        return np.asarray(
            cv2.warpAffine(self.values, to_reduced, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32
        )


def padded_part(region_HWC: Bytes, padding: Padding, part: Box) -> Bytes:
    """The pixels `part` of the padded region, (height, width, 3) uint8 RGB.

    Within 1 level of the formulas, but for the last bits of the median.

    Parameters
    ----------
    padding
        At least 1 pixel on each side, as `geometry.padding` gives it.
    part
        In pixels of the padded image, whose origin lies `left` and `top` before the region's.
    """
    height, width, _ = region_HWC.shape
    rows = PaddedAxis(padding.top, height, padding.bottom)
    columns = PaddedAxis(padding.left, width, padding.right)
    blur = _blurred(region_HWC, rows, columns, padding.blur_sigma)
    median = _median(region_HWC, rows, columns, blur)
    y, x = np.arange(part.upper, part.lower), np.arange(part.left, part.right)
    result = np.take(region_HWC[rows.source(y)], columns.source(x), axis=1)
    depth_y, depth_x = rows.depth(y), columns.depth(x)
    for v, u in product(range(0, len(y), TILE_PIXELS), range(0, len(x), TILE_PIXELS)):
        tile = result[v : v + TILE_PIXELS, u : u + TILE_PIXELS]
        mask = _mask(depth_y[v : v + TILE_PIXELS], depth_x[u : u + TILE_PIXELS])
        if mask.max() <= -1 / 3:
            continue
        blurred = blur.window(part.left + u, part.upper + v, tile.shape[1], tile.shape[0])
        pixels = _lerp(tile.astype(np.float32), blurred, 3 * mask + 1)
        tile[:] = np.rint(_lerp(pixels, median, mask))
    return result


def _mask(depth_y: Floats, depth_x: Floats) -> Floats:
    return np.float32(1) - np.minimum(depth_y[:, None], depth_x)


def _lerp(start: Floats, stop: Floats, weight: Floats) -> Floats:
    return start + (stop - start) * np.clip(weight, 0, 1, dtype=np.float32)[..., None]


def _blurred(region_HWC: Bytes, rows: PaddedAxis, columns: PaddedAxis, sigma: float) -> _Blur:
    step = max(int(sigma / LEAST_REDUCED_SIGMA), 1)
    margin = step * math.ceil(TRUNCATE * sigma / step)
    means_HWC = _box_means(region_HWC, rows, columns, step, margin)
    # the box adds step² / 12 to the variance and the interpolation step² / 6: the kernel gets that much less
    reduced_sigma = math.sqrt(sigma**2 - (step**2 - 1) / 4) / step
    size = 2 * int(TRUNCATE * reduced_sigma + 0.5) + 1
    values = cv2.GaussianBlur(means_HWC, (size, size), reduced_sigma, borderType=cv2.BORDER_REFLECT)
    return _Blur(np.asarray(values, np.float32), step, margin)


def _box_means(region_HWC: Bytes, rows: PaddedAxis, columns: PaddedAxis, step: int, margin: int) -> Floats:
    height, width = (math.ceil((axis.padded + 2 * margin) / step) for axis in (rows, columns))
    x = columns.source(np.arange(width * step) - margin)
    y = rows.source(np.arange(height * step) - margin)
    means_HWC = np.empty((height, width, 3), np.float32)
    per_band = max(BAND_ROWS // step, 1)
    for start in range(0, height, per_band):
        stop = min(start + per_band, height)
        band = np.take(region_HWC[y[start * step : stop * step]], x, axis=1).astype(np.float32)
        means_HWC[start:stop] = cv2.resize(band, (width, stop - start), interpolation=cv2.INTER_AREA)
    return means_HWC


def _median(region_HWC: Bytes, rows: PaddedAxis, columns: PaddedAxis, blur: _Blur) -> Floats:
    """Per channel, of the blurred image, from the middle pixel of each box."""
    y, x = (np.arange(blur.step // 2, axis.padded, blur.step) for axis in (rows, columns))
    pixels = region_HWC[np.ix_(rows.source(y), columns.source(x))].astype(np.float32)
    first = blur.margin // blur.step
    blurred = blur.values[first : first + len(y), first : first + len(x)]
    pixels = _lerp(pixels, blurred, 3 * _mask(rows.depth(y), columns.depth(x)) + 1)
    return np.median(pixels, axis=(0, 1)).astype(np.float32)
