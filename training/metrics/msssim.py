"""Multi-scale structural similarity of image pairs (Wang, Simoncelli and Bovik 2003).

Between generated images it measures variation: the lower, the more they vary (Karras et al. 2018, §5).

`msssim` is the plain form, in float64. `msssim_of_pairs` is faster and agrees with it within 1e-7: float32
around 0, four blurs instead of five (of the sum and the difference of the images and of their squares), and strips of
rows that stay in the processor's cache. `msssim_gpu` is the form for a GPU.

Suffixes: N image, C channel, H height, W width.
"""

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from training.metrics.compute import ONE_THREAD, Compute

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW = 11
SIGMA = 1.5
C1 = (0.01 * 255) ** 2
C2 = (0.03 * 255) ** 2

_MIDDLE = np.float32(127.5)
_STRIP_ROWS = 64

Plane = NDArray[np.float64]
Image = NDArray[np.float32]
AnyImage = TypeVar("AnyImage", Plane, Image)


def measurable(resolution: int) -> bool:
    """Whether images of this resolution can be halved for every scale: from 16 pixels on."""
    return resolution >= 2 ** (len(WEIGHTS) - 1)


def msssim(a_CHW: NDArray[np.uint8], b_CHW: NDArray[np.uint8]) -> float:
    """Similarity of two square images of 16 pixels or more, 0…255: from 0 to 1, which means equal.

    Channels are compared separately; means are over pixels and channels.
    """
    first_HWC, second_HWC = (image.transpose(1, 2, 0).astype(np.float64) for image in (a_CHW, b_CHW))
    contrasts: list[float] = []
    for _ in WEIGHTS[:-1]:
        contrasts.append(ssim(first_HWC, second_HWC)[1])
        first_HWC, second_HWC = _half(first_HWC), _half(second_HWC)
    return combine(contrasts, ssim(first_HWC, second_HWC)[0])


def msssim_of_pairs(images_NCHW: NDArray[np.uint8], compute: Compute = ONE_THREAD) -> list[float]:
    """Similarity of images 0 and 1, 2 and 3, … of an even number of images."""
    return compute.map(_msssim_of_pair, images_NCHW[::2], images_NCHW[1::2])


def combine(contrasts: Sequence[float], similarity: float) -> float:
    """The similarity over all scales from the contrast of all scales but the last, and the SSIM of the last."""
    result = max(similarity, 0.0) ** WEIGHTS[-1]
    for weight, contrast in zip(WEIGHTS[:-1], contrasts, strict=True):
        result *= max(contrast, 0.0) ** weight
    return result


def ssim(a_HWC: Plane, b_HWC: Plane) -> tuple[float, float]:
    """Mean SSIM at one scale, and the mean of its contrast-structure term."""
    kernel = window(min(a_HWC.shape[:2]))
    mean_a, mean_b = _blur(a_HWC, kernel), _blur(b_HWC, kernel)
    variance_a = _blur(a_HWC * a_HWC, kernel) - mean_a * mean_a
    variance_b = _blur(b_HWC * b_HWC, kernel) - mean_b * mean_b
    covariance = _blur(a_HWC * b_HWC, kernel) - mean_a * mean_b
    contrast = (2 * covariance + C2) / (variance_a + variance_b + C2)
    luminance = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    return float((luminance * contrast).mean()), float(contrast.mean())


def _msssim_of_pair(a_CHW: NDArray[np.uint8], b_CHW: NDArray[np.uint8]) -> float:
    first_HWC, second_HWC = (image.transpose(1, 2, 0).astype(np.float32) - _MIDDLE for image in (a_CHW, b_CHW))
    contrasts: list[float] = []
    for _ in WEIGHTS[:-1]:
        contrasts.append(_ssim_in_strips(first_HWC, second_HWC)[1])
        height, width = first_HWC.shape[:2]
        first_HWC, second_HWC = (
            np.asarray(cv2.resize(image_HWC, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.float32)
            for image_HWC in (first_HWC, second_HWC)
        )
    return combine(contrasts, _ssim_in_strips(first_HWC, second_HWC)[0])


def _ssim_in_strips(a_HWC: Image, b_HWC: Image) -> tuple[float, float]:
    """As `ssim`, of images around 0."""
    height, width = a_HWC.shape[:2]
    kernel = window(min(height, width)).astype(np.float32)
    rows, columns = height - len(kernel) + 1, width - len(kernel) + 1
    similarity = contrast = 0.0
    for top in range(0, rows, _STRIP_ROWS):
        strip = slice(top, min(top + _STRIP_ROWS, rows) + len(kernel) - 1)
        total, difference = a_HWC[strip] + b_HWC[strip], a_HWC[strip] - b_HWC[strip]
        mean_t, mean_d = _blur(total, kernel), _blur(difference, kernel)
        np.square(total, out=total)
        np.square(difference, out=difference)
        square_d = np.square(mean_d)
        variance_t = _blur(total, kernel) - np.square(mean_t)
        variance_d = _blur(difference, kernel) - square_d
        contrast_HWC = (variance_t - variance_d + 2 * C2) / (variance_t + variance_d + 2 * C2)
        square_t = np.square(mean_t + 2 * _MIDDLE)
        luminance_HWC = (square_t - square_d + 2 * C1) / (square_t + square_d + 2 * C1)
        contrast += float(contrast_HWC.sum(dtype=np.float64))
        similarity += float((luminance_HWC * contrast_HWC).sum(dtype=np.float64))
    values = rows * columns * a_HWC.shape[2]
    return similarity / values, contrast / values


def window(side: int) -> Plane:
    """The Gaussian weights of the pixels of a window, in one dimension; narrower than 11 in images of fewer pixels."""
    size = min(WINDOW, side)
    offsets = np.arange(size) - (size - 1) / 2
    weights = np.exp(-(offsets**2) / (2 * (SIGMA * size / WINDOW) ** 2))
    return weights / weights.sum()


def _blur(image_HWC: AnyImage, kernel: AnyImage) -> AnyImage:
    before, after = len(kernel) // 2, (len(kernel) - 1) // 2
    blurred_HWC = cv2.sepFilter2D(image_HWC, -1, kernel, kernel)
    height, width = image_HWC.shape[:2]
    inner_HWC: AnyImage = np.asarray(blurred_HWC, image_HWC.dtype)  # pyright: ignore[reportAssignmentType]
    return inner_HWC[before : height - after, before : width - after]


def _half(image_HWC: Plane) -> Plane:
    even_HWC, odd_HWC = image_HWC[::2], image_HWC[1::2]
    return (even_HWC[:, ::2] + even_HWC[:, 1::2] + odd_HWC[:, ::2] + odd_HWC[:, 1::2]) * 0.25
