"""The exact recipe in plain numpy, one operation after the other: slow, and meant to be read.

The compiled modules of `pipeline.published.exact` must give the same bytes. Every type is part of the recipe, which was
run with Pillow 3.1.1, numpy 1.13 and scipy 1.0: where float32 is written, the value is rounded to float32 there.
"""

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from pipeline.faces import geometry
from pipeline.faces.geometry import Padding
from pipeline.faces.region import Region
from pipeline.faces.render import Rendered
from pipeline.published.exact.steps import transform

F32 = np.float32
LANCZOS_LOBES = 3


def render(region: Region, resolution: int) -> Rendered:
    """Pad where needed, transform and resize an enlarged region."""
    image_HWC, rectangle = region.image_HWC, region.rectangle
    height, width, _ = image_HWC.shape
    padding = geometry.padding(rectangle, width, height, region.border, resolution)
    if padding is not None:
        image_HWC, rectangle = pad(image_HWC, padding), rectangle.moved(padding.left, padding.top)
    samples_HWC = transform(image_HWC, rectangle.transform_corners_42, 4 * resolution)
    return Rendered(resize(samples_HWC, resolution, resolution), padding is not None)


def resize(image_HWC: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Lanczos-3, as Pillow 3.1.1's ANTIALIAS: across, rounded to uint8, then down. The same size is left as it is."""
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
