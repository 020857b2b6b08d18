"""The part of a photograph that holds one face: reduced where it is far too large, then cut with a border."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.faces import geometry
from pipeline.faces.geometry import Rectangle


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A face's pixels, (height, width, 3) uint8 RGB, and its square in them.

    `shrink` is the factor of the reduction, 1 without one; `border` the margin around the square in pixels.
    """

    image_HWC: NDArray[np.uint8]
    rectangle: Rectangle
    shrink: int
    border: int


def cut_region(image_HWC: NDArray[np.uint8], rectangle: Rectangle, resolution: int) -> Region:
    """Reduce and cut a photograph around a rectangle (Karras et al. 2018, appendix C, before the enlargement).

    Raises
    ------
    RejectedInputError
        OUTSIDE_IMAGE: nothing of the photograph lies within the border of the rectangle.
    """
    shrink = max(geometry.shrink_factor(rectangle.zoom), 1)
    if shrink > 1:
        image_HWC = _reduced(image_HWC, shrink)
        rectangle = rectangle.shrunk(shrink)
    height, width = image_HWC.shape[:2]
    border = geometry.border_pixels(rectangle.zoom, resolution)
    box = geometry.crop_box(rectangle, width, height, border)
    cut_HWC = image_HWC[box.upper : box.lower, box.left : box.right]
    return Region(cut_HWC, rectangle.moved(-box.left, -box.upper), shrink, border)


def cut_square(image_HWC: NDArray[np.uint8], rectangle: Rectangle) -> Region:
    """Cut an upright square of whole pixels that lies within the image, without a border."""
    left, upper = (round(float(at)) for at in rectangle.quad_42[0])
    side = round(float(rectangle.quad_42[2, 0])) - left
    return Region(
        image_HWC[upper : upper + side, left : left + side], rectangle.moved(-left, -upper), shrink=1, border=0
    )


def _reduced(image_HWC: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    height, width = image_HWC.shape[:2]
    size = geometry.shrunk_size(width, height, factor)
    return np.asarray(Image.fromarray(image_HWC).resize(size, Image.Resampling.LANCZOS))
