"""The exact renderer: an enlarged region to the image that the published recipe makes of it."""

import numpy as np
from numpy.typing import NDArray

from pipeline.faces import geometry
from pipeline.faces.geometry import Rectangle
from pipeline.faces.render import Rendered
from pipeline.published.exact.padding import pad
from pipeline.published.exact.warp import warp


def render(region_HWC: NDArray[np.uint8], rectangle: Rectangle, *, border: int, resolution: int) -> Rendered:
    """Pad, transform and reduce one face; parameters as those of `pipeline.faces.render.render`.

    The same bytes as `reference.render`.
    """
    height, width, _ = region_HWC.shape
    padding = geometry.padding(rectangle, width, height, border, resolution)
    if padding is not None:
        region_HWC = pad(region_HWC, padding)
        rectangle = rectangle.moved(padding.left, padding.top)
    image_CHW = warp(region_HWC, rectangle.transform_corners_42, resolution)
    return Rendered(image_CHW.transpose(1, 2, 0), padded=padding is not None)
