"""The fast renderer: a face's region to the final image, by OpenCV.

The last steps of the recipe (Karras et al. 2018, appendix C): pad where the square leaves the region, transform it to
four times the resolution with bilinear filtering, average 4 x 4. Where 2 x 2 samples are at most a pixel of the image
apart, as after enlargement, these are taken instead, around the same middle: positions are those of the published
images. Values are on average within half a level of the paper's formulas; dataset_tool.py ends with Lanczos where the
paper names a box filter.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces import geometry
from pipeline.faces.geometry import Rectangle
from pipeline.faces.pad import padded_part
from pipeline.faces.region import Region

SAMPLES, FEWER_SAMPLES = 4, 2
"""Bilinear samples per side of a final pixel: in the paper, and where so many are as good."""

MIDDLE = 0.375
"""The middle of the paper's samples, which lie at 0, 1/4, 1/2 and 3/4 of a final pixel."""

BAND_ROWS = 128
"""Final rows made at once: the supersampled band of a 1024² image takes 1.6 MB at 2 x 2 samples."""


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
        part = geometry.read_box(rectangle, *padding.size(width, height))
        image_HWC = padded_part(image_HWC, padding, part)
        rectangle = rectangle.moved(-part.left, -part.upper)
    return Rendered(transform(image_HWC, rectangle, resolution), padded=padding is not None)


def transform(image_HWC: NDArray[np.uint8], rectangle: Rectangle, resolution: int) -> NDArray[np.uint8]:
    """The square, upright, as (R, R, 3) uint8: the means of bilinear samples.

    Made in bands, so that the supersampled image never exists. A corner at (x, y) takes the pixel whose index is
    (x, y), as in dataset_tool.py, not the one whose upper left corner is there.
    """
    samples = FEWER_SAMPLES if FEWER_SAMPLES * rectangle.zoom >= 1 else SAMPLES
    corners_42 = rectangle.quad_42.astype(np.float64)
    across, down = (corners_42[3] - corners_42[0]) / resolution, (corners_42[1] - corners_42[0]) / resolution
    first = corners_42[0] + (across + down) * (MIDDLE - (1 - 1 / samples) / 2)
    final_HWC = np.empty((resolution, resolution, 3), np.uint8)
    for start in range(0, resolution, BAND_ROWS):
        rows = final_HWC[start : start + BAND_ROWS]
        matrix_23 = np.stack([across / samples, down / samples, first + start * down], axis=1)
        band = cv2.warpAffine(
            image_HWC,
            matrix_23,
            (samples * resolution, samples * len(rows)),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        cv2.resize(band, (resolution, len(rows)), dst=rows, interpolation=cv2.INTER_AREA)
    return final_HWC
