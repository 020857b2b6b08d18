"""Laplacian pyramids: an image as details by scale, from fine to coarse (Burt and Adelson 1983).

Filter: the 5x5 outer product of [1 4 6 4 1] / 16, borders mirrored without repeating the edge pixel.
OpenCV's `pyrDown` and `pyrUp` are exactly that, at the borders too; the tests hold them to the plain form.

Suffixes: H height, W width, C channel.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]


def pyramid(image_HWC: FloatImage, levels: int) -> list[FloatImage]:
    """Split an image into `levels` images, each half the side of the one before.

    Parameters
    ----------
    image_HWC
        Float32; both sides divisible by 2^(levels - 1).
    levels
        At least 1.

    Returns
    -------
    list
        Each level is the image minus its blurred self; the last one is the low-pass that remains.
    """
    parts: list[FloatImage] = []
    current = image_HWC
    for _ in range(levels - 1):
        smaller = _down(current)
        parts.append(current - _up(smaller))
        current = smaller
    return [*parts, current]


def reconstruct(parts: Sequence[FloatImage]) -> FloatImage:
    """The image whose pyramid `parts` is."""
    image = parts[-1]
    for detail in reversed(parts[:-1]):
        image = detail + _up(image)
    return image


def _down(image_HWC: FloatImage) -> FloatImage:
    return np.asarray(cv2.pyrDown(image_HWC, borderType=cv2.BORDER_REFLECT_101), np.float32)


def _up(image_HWC: FloatImage) -> FloatImage:
    return np.asarray(cv2.pyrUp(image_HWC), np.float32)
