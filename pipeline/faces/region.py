"""The part of a photograph that holds one face: reduced where it is far too large, then cut with a border.

Bit for bit the published recipe, whichever renderer comes after.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.faces import geometry
from pipeline.faces.geometry import Rectangle
from pipeline.faces.lanczos import resize


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A face's pixels, (height, width, 3) uint8 RGB, and its square in them.

    `shrink` is the factor of the reduction, 1 without one; `border` the margin around the square in pixels, of the
    region before it was enlarged.
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
    return cut(reduce(image_HWC, rectangle, resolution))


def reduce(image_HWC: NDArray[np.uint8], rectangle: Rectangle, resolution: int) -> Region:
    """The whole photograph, made smaller by an integer where the face has more than twice the pixels wanted."""
    shrink = max(geometry.shrink_factor(rectangle.zoom), 1)
    if shrink > 1:
        height, width = image_HWC.shape[:2]
        image_HWC = resize(image_HWC, *geometry.shrunk_size(width, height, shrink))
        rectangle = rectangle.shrunk(shrink)
    return Region(image_HWC, rectangle, shrink, geometry.border_pixels(rectangle.zoom, resolution))


def cut(region: Region) -> Region:
    """The square with its border, as far as the photograph goes; errors as `cut_region`."""
    height, width = region.image_HWC.shape[:2]
    box = geometry.crop_box(region.rectangle, width, height, region.border)
    cut_HWC = region.image_HWC[box.upper : box.lower, box.left : box.right]
    return Region(cut_HWC, region.rectangle.moved(-box.left, -box.upper), region.shrink, region.border)


def cut_square(image_HWC: NDArray[np.uint8], rectangle: Rectangle) -> Region:
    """Cut an upright square of whole pixels that lies within the image, without a border."""
    left, upper = (round(float(at)) for at in rectangle.quad_42[0])
    side = round(float(rectangle.quad_42[2, 0])) - left
    return Region(
        image_HWC[upper : upper + side, left : left + side], rectangle.moved(-left, -upper), shrink=1, border=0
    )


def enlarge(region: Region, factor: int) -> Region:
    """The region made larger by an integer, by Lanczos; as it is for a factor of 1."""
    height, width = region.image_HWC.shape[:2]
    image_HWC = resize(region.image_HWC, width * factor, height * factor)
    return Region(image_HWC, region.rectangle.enlarged(factor), region.shrink, region.border)
