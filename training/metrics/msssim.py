"""Multi-scale structural similarity of image pairs (Wang, Simoncelli and Bovik 2003).

Between generated images it measures variation: the lower, the more they vary (Karras et al. 2018, §5).

Suffixes: N image, C channel, H height, W width.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW = 11
SIGMA = 1.5
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2

Plane = NDArray[np.float64]


def measurable(resolution: int) -> bool:
    """Whether images of this resolution can be halved for every scale: from 16 pixels on."""
    return resolution >= 2 ** (len(WEIGHTS) - 1)


def msssim(a_CHW: NDArray[np.uint8], b_CHW: NDArray[np.uint8]) -> float:
    """Similarity of two square images of 16 pixels or more, 0…255: from 0 to 1, which means equal.

    Channels are compared separately; means are over pixels and channels.
    """
    first_HWC, second_HWC = (image.transpose(1, 2, 0).astype(np.float64) for image in (a_CHW, b_CHW))
    result = 1.0
    for weight in WEIGHTS[:-1]:
        _, contrast = ssim(first_HWC, second_HWC)
        result *= max(contrast, 0.0) ** weight
        first_HWC, second_HWC = _half(first_HWC), _half(second_HWC)
    similarity, _ = ssim(first_HWC, second_HWC)
    return result * max(similarity, 0.0) ** WEIGHTS[-1]


def msssim_of_pairs(images_NCHW: NDArray[np.uint8]) -> list[float]:
    """Similarity of images 0 and 1, 2 and 3, … of an even number of images."""
    return [msssim(a_CHW, b_CHW) for a_CHW, b_CHW in zip(images_NCHW[::2], images_NCHW[1::2], strict=True)]


def ssim(a_HWC: Plane, b_HWC: Plane) -> tuple[float, float]:
    """Mean SSIM at one scale, and the mean of its contrast-structure term."""
    kernel = _window(min(a_HWC.shape[:2]))
    mean_a, mean_b = _blur(a_HWC, kernel), _blur(b_HWC, kernel)
    variance_a = _blur(a_HWC * a_HWC, kernel) - mean_a * mean_a
    variance_b = _blur(b_HWC * b_HWC, kernel) - mean_b * mean_b
    covariance = _blur(a_HWC * b_HWC, kernel) - mean_a * mean_b
    contrast = (2 * covariance + _C2) / (variance_a + variance_b + _C2)
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    return float((luminance * contrast).mean()), float(contrast.mean())


def _window(side: int) -> Plane:
    size = min(WINDOW, side)
    offsets = np.arange(size) - (size - 1) / 2
    weights = np.exp(-(offsets**2) / (2 * (SIGMA * size / WINDOW) ** 2))
    return weights / weights.sum()


def _blur(image_HWC: Plane, kernel: Plane) -> Plane:
    before, after = len(kernel) // 2, (len(kernel) - 1) // 2
    blurred_HWC = cv2.sepFilter2D(image_HWC, cv2.CV_64F, kernel, kernel)
    height, width = image_HWC.shape[:2]
    return np.asarray(blurred_HWC[before : height - after, before : width - after], np.float64)


def _half(image_HWC: Plane) -> Plane:
    even_HWC, odd_HWC = image_HWC[::2], image_HWC[1::2]
    return (even_HWC[:, ::2] + even_HWC[:, 1::2] + odd_HWC[:, ::2] + odd_HWC[:, 1::2]) * 0.25
