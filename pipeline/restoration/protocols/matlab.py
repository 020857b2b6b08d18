"""MATLAB's `imresize` (bicubic, antialiased) and `rgb2ycbcr`, by which the field makes and measures its test images.

Neither OpenCV (another kernel, no antialiasing) nor Pillow (other borders and rounding) gives these pixels.
"""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

SUPPORT = 4
"""Width of the cubic kernel, in pixels of the coarser of the two images."""
LUMA = np.array([65.481, 128.553, 24.966]) / 255
"""Weights of R, G and B, 0...255, in Y, 16...235 (ITU-R BT.601 as MATLAB rounds it)."""


def luma(image_HWC: Pixels) -> NDArray[np.float64]:
    """Y of RGB pixels, 16...235, not rounded: (H, W)."""
    return image_HWC @ LUMA + 16


def luma_levels(image_HWC: Pixels) -> Pixels:
    """Y of RGB pixels as rgb2ycbcr gives it for uint8: rounded to levels."""
    return _rounded(luma(image_HWC))


def resize(image: Pixels, scale: Fraction) -> Pixels:
    """`imresize(image, scale)` of uint8 pixels, (H, W) or (H, W, 3), to the next larger whole size.

    Cubic convolution with a = -0.5 (Keys 1981), widened by 1 / scale for a reduction; pixels beyond the border are
    mirrored; columns first, then rows, each rounded to levels.
    """
    down = _weights(image.shape[0], scale)
    across = _weights(image.shape[1], scale)
    columns = _rounded(np.tensordot(down, image, (1, 0)))
    return _rounded(np.swapaxes(np.tensordot(across, columns, (1, 1)), 0, 1))


def _weights(size: int, scale: Fraction) -> NDArray[np.float64]:
    """The matrix (new size, size) that resamples a line."""
    new_size, shrink = -(-size * scale.numerator // scale.denominator), min(float(scale), 1.0)
    width = SUPPORT / shrink
    centres = (np.arange(new_size) + 0.5) / float(scale) - 0.5
    first = np.floor(centres - width / 2).astype(int)
    places = first[:, None] + np.arange(int(np.ceil(width)) + 2)
    weights = _cubic(np.asarray((centres[:, None] - places) * shrink, np.float64))
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = places % (2 * size)
    mirrored = np.where(mirrored < size, mirrored, 2 * size - 1 - mirrored)
    matrix = np.zeros((new_size, size))
    np.add.at(matrix, (np.arange(new_size)[:, None], mirrored), weights)
    return matrix


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    x = np.abs(distance)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= SUPPORT / 2, far, 0.0))


def _rounded(values: NDArray[np.float64]) -> Pixels:
    """To levels, halves up as MATLAB does."""
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)
