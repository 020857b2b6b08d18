"""Laplacian pyramids: the detail of an image by scale, from fine to coarse (Burt and Adelson 1983).

Filter: the 5x5 outer product of [1 4 6 4 1] / 16, borders mirrored without repeating the edge pixel.
OpenCV's `pyrDown` and `pyrUp` are exactly this, at the borders too.

Suffixes: H height, W width, C channel.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]


def pyramid(image_HWC: FloatImage, levels: int) -> list[FloatImage]:
    """Split an image into `levels` images, each half the size of the one before.

    The sides are divisible by 2^(levels - 1). Each level is the image minus its blurred self, the last is the low-pass.
    """
    details: list[FloatImage] = []
    for _ in range(levels - 1):
        smaller = np.asarray(cv2.pyrDown(image_HWC, borderType=cv2.BORDER_REFLECT_101), np.float32)
        details.append(image_HWC - np.asarray(cv2.pyrUp(smaller), np.float32))
        image_HWC = smaller
    return [*details, image_HWC]
