"""The fast renderer: a face's region to the final image, by OpenCV.

The last steps of the recipe (Karras et al. 2018, appendix C): pad where the square leaves the region, transform it to
four times the resolution with bilinear filtering, average 4 x 4. Positions are those of the published images to the
pixel; values agree within rounding, except that dataset_tool.py ends with Lanczos where the paper names a box filter.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces import geometry
from pipeline.faces.geometry import Box, Rectangle
from pipeline.faces.pad import padded_part
from pipeline.faces.region import Region

SUPERSAMPLING = 4
"""Bilinear samples per side of a final pixel: 4096 for 1024."""

BAND_ROWS = 32
"""Final rows made at once: the supersampled band of a 1024² image takes 1.6 MB, coordinates included 6 MB."""

SPARE_PIXELS = 2
"""Bilinear filtering reads one pixel beyond the square's corners; one more for rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """A final image, (R, R, 3) uint8 RGB, and whether its region had to be padded."""

    image_HWC: NDArray[np.uint8]
    padded: bool


RegionRenderer = Callable[[Region, int], Rendered]
"""Makes the final image of an enlarged region at a resolution: `render`, or that of `pipeline.published.exact`."""


def render(region: Region, resolution: int) -> Rendered:
    """Pad, transform and average one enlarged region."""
    image_HWC, rectangle = region.image_HWC, region.rectangle
    height, width, _ = image_HWC.shape
    padding = geometry.padding(rectangle, width, height, region.border, resolution)
    if padding is not None:
        rectangle = rectangle.moved(padding.left, padding.top)
        part = _surroundings(rectangle, width + padding.left + padding.right, height + padding.top + padding.bottom)
        image_HWC = padded_part(image_HWC, padding, part)
        rectangle = rectangle.moved(-part.left, -part.upper)
    return Rendered(transform(image_HWC, rectangle, resolution, BAND_ROWS), padded=padding is not None)


def transform(image_HWC: NDArray[np.uint8], rectangle: Rectangle, resolution: int, band_rows: int) -> NDArray[np.uint8]:
    """The square, upright, as (R, R, 3) uint8: bilinear at four times `resolution`, then the mean of each 4 x 4 pixels.

    Made in bands of `band_rows` final rows, so that the supersampled image never exists; their number changes no
    pixel. A corner at (x, y) takes the pixel whose index is (x, y), as in dataset_tool.py, not the one whose upper left
    corner is there.
    """
    corners_42 = rectangle.quad_42.astype(np.float64)
    samples = SUPERSAMPLING * resolution
    across, down = (corners_42[3] - corners_42[0]) / samples, (corners_42[1] - corners_42[0]) / samples
    steps = np.arange(samples)[:, None]
    row_2N = (corners_42[0] + across * steps).astype(np.float32).T
    column_2N = (down * steps).astype(np.float32).T
    final_HWC = np.empty((resolution, resolution, 3), np.uint8)
    for start in range(0, resolution, band_rows):
        stop = min(start + band_rows, resolution)
        y = slice(start * SUPERSAMPLING, stop * SUPERSAMPLING)
        x_map, y_map = (row_2N[axis] + column_2N[axis, y, None] for axis in (0, 1))
        band = cv2.remap(image_HWC, x_map, y_map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        final_HWC[start:stop] = cv2.resize(band, (resolution, stop - start), interpolation=cv2.INTER_AREA)
    return final_HWC


def _surroundings(rectangle: Rectangle, width: int, height: int) -> Box:
    """The part of an image that the transform of a square reads."""
    left, upper = np.floor(rectangle.quad_42.min(axis=0)).astype(int) - SPARE_PIXELS
    right, lower = np.ceil(rectangle.quad_42.max(axis=0)).astype(int) + SPARE_PIXELS + 1
    return Box(max(int(left), 0), max(int(upper), 0), min(int(right), width), min(int(lower), height))
