"""The region of a photograph around one face: shrunk where the face is far too large, then cropped with a border.

Bit for bit the published recipe (Karras et al. 2018, appendix C), whichever renderer follows.
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.faces import geometry
from pipeline.faces.geometry import Rectangle
from pipeline.faces.lanczos import resize
from pipeline.manifest import Cropped


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A face's pixels, (height, width, 3) uint8 RGB, and its square in them.

    `shrink` is the factor by which the photograph was shrunk, 1 for none; `border` the margin around the square, in
    pixels of the region before it was enlarged. The region began at (`left`, `upper`) of the shrunk photograph.
    """

    image_HWC: NDArray[np.uint8]
    rectangle: Rectangle
    shrink: int
    border: int
    left: int = 0
    upper: int = 0


def crop_region(image_HWC: NDArray[np.uint8], rectangle: Rectangle, resolution: int) -> Region:
    """Shrink and crop a photograph around a rectangle.

    `RejectedInputError` OUTSIDE_IMAGE: nothing of the photograph lies within the border of the rectangle.
    """
    return crop(shrink(image_HWC, rectangle, resolution))


def shrink(image_HWC: NDArray[np.uint8], rectangle: Rectangle, resolution: int) -> Region:
    """The whole photograph, shrunk by an integer where the face has more than twice the pixels of the final image."""
    factor = geometry.shrink_factor(rectangle.zoom)
    if factor > 1:
        rectangle = rectangle.shrunk(factor)
    return Region(_shrunk(image_HWC, factor), rectangle, factor, geometry.border_pixels(rectangle.zoom, resolution))


def crop(region: Region) -> Region:
    """The square with its border, as far as the photograph goes; errors as `crop_region`."""
    height, width = region.image_HWC.shape[:2]
    box = geometry.crop_box(region.rectangle, width, height, region.border)
    return replace(
        region,
        image_HWC=region.image_HWC[box.upper : box.lower, box.left : box.right],
        rectangle=region.rectangle.moved(-box.left, -box.upper),
        left=region.left + box.left,
        upper=region.upper + box.upper,
    )


def crop_square(image_HWC: NDArray[np.uint8], rectangle: Rectangle) -> Region:
    """Crop an upright square of whole pixels that lies within the image, without a border."""
    left, upper = (round(float(at)) for at in rectangle.quad_42[0])
    side = round(float(rectangle.quad_42[2, 0])) - left
    cropped_HWC = image_HWC[upper : upper + side, left : left + side]
    return Region(cropped_HWC, rectangle.moved(-left, -upper), shrink=1, border=0, left=left, upper=upper)


def crop_again(image_HWC: NDArray[np.uint8], row: Cropped) -> Region:
    """The region of a row of `crop`, from its decoded photograph."""
    region_HWC = _shrunk(image_HWC, row.shrink)[
        row.upper : row.upper + row.crop_height, row.left : row.left + row.crop_width
    ]
    rectangle = Rectangle.from_row(row.quad, row.zoom)
    return Region(region_HWC, rectangle, row.shrink, row.border, row.left, row.upper)


def md5_of(region: Region) -> str:
    """MD5 of the pixels of a region."""
    return hashlib.md5(np.ascontiguousarray(region.image_HWC).tobytes(), usedforsecurity=False).hexdigest()


def enlarge(region: Region) -> Region:
    """The region enlarged by Lanczos to at least the final image's pixel density; as it is where it has that."""
    factor = geometry.enlarge_factor(region.rectangle.zoom)
    height, width = region.image_HWC.shape[:2]
    image_HWC = resize(region.image_HWC, width * factor, height * factor)
    return replace(region, image_HWC=image_HWC, rectangle=region.rectangle.enlarged(factor))


def enlarge_square(region: Region, resolution: int) -> Region:
    """As `enlarge`, but pixels that the final image does not depend on may be 0; they take no time and no memory."""
    factor = geometry.enlarge_factor(region.rectangle.zoom)
    height, width = (factor * side for side in region.image_HWC.shape[:2])
    rectangle = region.rectangle.enlarged(factor)
    padding = geometry.padding(rectangle, width, height, region.border, resolution)
    box = geometry.read_box(rectangle, width, height) if padding is None else None
    return replace(region, image_HWC=resize(region.image_HWC, width, height, box), rectangle=rectangle)


def _shrunk(image_HWC: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    if factor == 1:
        return image_HWC
    height, width = image_HWC.shape[:2]
    return resize(image_HWC, *geometry.shrunk_size(width, height, factor))
