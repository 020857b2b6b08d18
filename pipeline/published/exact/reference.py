"""The exact recipe in plain numpy, one operation after the other: slow, and meant to be read.

It says what the fast modules of this package must compute to the bit. Every type is part of the recipe, which was run
with Pillow 3.1.1, numpy 1.13 and scipy 1.0: where float32 is written, the value is rounded to float32 there.
"""

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from pipeline.faces import geometry
from pipeline.faces.geometry import Padding, Points, Rectangle

F32 = np.float32
SUPERSAMPLING = 4
LANCZOS_LOBES = 3


def render(
    region_HWC: NDArray[np.uint8], rectangle: Rectangle, *, border: int, resolution: int
) -> tuple[NDArray[np.uint8], bool]:
    """Pad where needed, transform, reduce an enlarged region: (R, R, 3) uint8, and whether it was padded."""
    height, width, _ = region_HWC.shape
    padding = geometry.padding(rectangle, width, height, border, resolution)
    if padding is not None:
        region_HWC = pad(region_HWC, padding)
        rectangle = rectangle.moved(padding.left, padding.top)
    samples_HWC = transform(region_HWC, rectangle.transform_corners_42, SUPERSAMPLING * resolution)
    return resize(samples_HWC, resolution, resolution), padding is not None


def resize(image_HWC: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Lanczos-3, as Pillow 3.1.1's "antialias": across, rounded to uint8, then down. The same size is left as it is."""
    if image_HWC.shape[:2] == (height, width):
        return image_HWC
    across = _resize_rows(image_HWC.swapaxes(0, 1), width).swapaxes(0, 1)
    return np.ascontiguousarray(_resize_rows(across, height))


def _resize_rows(image_HWC: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    result_HWC = np.empty((size, *image_HWC.shape[1:]), np.uint8)
    for i in range(size):
        first, weights = lanczos_taps(len(image_HWC), size, i)
        total = np.full(image_HWC.shape[1:], 0.5, F32)
        for row, weight in zip(image_HWC[first : first + len(weights)], weights, strict=True):
            total = total + row.astype(F32) * weight
        result_HWC[i] = np.clip(np.trunc(total), 0, 255)
    return result_HWC


def lanczos_taps(size_in: int, size_out: int, i: int) -> tuple[int, NDArray[np.float32]]:
    """Which inputs make output `i` of an axis: the first of them, and the weights of it and those that follow."""
    scale = F32(size_in) / F32(size_out)
    filter_scale = max(scale, F32(1))
    support, inverse = F32(LANCZOS_LOBES) * filter_scale, F32(1) / filter_scale
    centre = F32((i + 0.5) * float(scale))
    first = max(int(np.floor(centre - support)), 0)
    last = min(int(np.ceil(centre + support)), size_in)
    distance = np.arange(first, last).astype(F32) - centre
    weights = _lanczos(((distance.astype(np.float64) + 0.5) * float(inverse)).astype(F32)) * inverse
    total = F32(0)
    for weight in weights:
        total = total + weight
    return first, weights / total


def _lanczos(t: NDArray[np.float32]) -> NDArray[np.float32]:
    lobes = _sinc(t) * _sinc(t / F32(LANCZOS_LOBES))
    return np.where((t >= -LANCZOS_LOBES) & (t < LANCZOS_LOBES), lobes, F32(0))


def _sinc(t: NDArray[np.float32]) -> NDArray[np.float32]:
    u = (t.astype(np.float64) * np.pi).astype(F32).astype(np.float64)
    return np.where(u == 0, 1.0, np.sin(u) / np.where(u == 0, 1.0, u)).astype(F32)


def pad(image_HWC: NDArray[np.uint8], padding: Padding) -> NDArray[np.uint8]:
    """Mirror the image outwards, blur it toward its new border, fade it to its median there."""
    edges = ((padding.top, padding.bottom), (padding.left, padding.right), (0, 0))
    image = np.pad(image_HWC.astype(F32), edges, "reflect")
    height, width, _ = image.shape
    y, x, _ = np.ogrid[:height, :width, :1]
    mask = F32(1) - np.minimum(
        np.minimum(x.astype(F32) / F32(padding.left), y.astype(F32) / F32(padding.top)),
        np.minimum(
            (width - 1 - x).astype(F32) / F32(padding.right), (height - 1 - y).astype(F32) / F32(padding.bottom)
        ),
    )
    blurred = scipy.ndimage.gaussian_filter(image, [padding.blur_sigma, padding.blur_sigma, 0], mode="reflect")
    image += (blurred - image) * np.clip(F32(3) * mask + F32(1), F32(0), F32(1))
    image += (np.median(image, axis=(0, 1)) - image) * np.clip(mask, F32(0), F32(1))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def transform(image_HWC: NDArray[np.uint8], corners_42: Points, size: int) -> NDArray[np.uint8]:
    """A quadrilateral to `size` x `size` pixels, bilinear, as Pillow 3.1.1's QUAD; 0 outside of the image."""
    height, width, _ = image_HWC.shape
    result_HWC = np.zeros((size, size, 3), np.uint8)
    coefficients_24 = quad_coefficients(corners_42, size)
    x = np.arange(size, dtype=np.float64)
    for y in range(size):
        x_in, y_in = (((a0 + a1 * x) + a2 * y) + (a3 * x) * y for a0, a1, a2, a3 in coefficients_24)
        inside = (x_in >= 0) & (x_in < width) & (y_in >= 0) & (y_in < height)
        x_in, y_in = x_in[inside] - 0.5, y_in[inside] - 0.5
        column, row = np.floor(x_in).astype(int), np.floor(y_in).astype(int)
        dx, dy = (x_in - column)[:, None], (y_in - row)[:, None]
        left, right = column.clip(0, width - 1), (column + 1).clip(0, width - 1)
        upper, lower = row.clip(0, height - 1), (row + 1).clip(0, height - 1)
        above = _lerp(image_HWC[upper, left], image_HWC[upper, right], dx)
        below = _lerp(image_HWC[lower, left], image_HWC[lower, right], dx)
        result_HWC[y, inside] = _lerp(above, below, dy)
    return result_HWC


def quad_coefficients(corners_42: Points, size: int) -> NDArray[np.float64]:
    """(2, 4): for x and for y the a0...a3 of a0 + a1 x + a2 y + a3 x y, from corners in order NW, SW, SE, NE."""
    inverse = 1.0 / size
    nw, sw, se, ne = corners_42.astype(F32)
    across = (ne - nw).astype(np.float64) * inverse
    down = (sw - nw).astype(np.float64) * inverse
    twist = (((se - sw) - ne) + nw).astype(np.float64) * inverse * inverse
    return np.stack([nw.astype(np.float64), across, down, twist], axis=1)


def _lerp(start: NDArray, stop: NDArray, part: NDArray[np.float64]) -> NDArray[np.float64]:
    start = start.astype(np.float64)
    return start + (stop.astype(np.float64) - start) * part
