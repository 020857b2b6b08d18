"""PSNR, SSIM and PSNR-B of restored images, (H, W) or (H, W, C), levels 0...255, as papers report them."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.restoration.protocols.matlab import Pixels

Levels = Pixels | NDArray[np.float64]

WINDOW, SIGMA = 11, 1.5
STABLE = (0.01 * 255) ** 2, (0.03 * 255) ** 2
BLOCK = 8
HIGHEST_DB = 100.0
"""Of equal images, whose PSNR is infinite."""


def psnr(image: Levels, clean: Levels) -> float:
    """Peak signal-to-noise ratio in dB, at most 100."""
    return _decibels(_squared_error(image, clean))


def ssim(image: Levels, clean: Levels) -> float:
    """Structural similarity (Wang et al. 2004): Gaussian window of 11 x 11, inside of the image; mean over channels.

    `ValueError` for an image smaller than the window.
    """
    if min(image.shape[:2]) < WINDOW:
        raise ValueError(f"SSIM needs {WINDOW} x {WINDOW} pixels, not {image.shape[1]} x {image.shape[0]}")
    x, y = (np.asarray(pixels, np.float64) for pixels in (image, clean))
    mean_x, mean_y = _windowed(x), _windowed(y)
    variance_x, variance_y = _windowed(x * x) - mean_x**2, _windowed(y * y) - mean_y**2
    covariance = _windowed(x * y) - mean_x * mean_y
    of_means = (2 * mean_x * mean_y + STABLE[0]) / (mean_x**2 + mean_y**2 + STABLE[0])
    of_variances = (2 * covariance + STABLE[1]) / (variance_x + variance_y + STABLE[1])
    return float((of_means * of_variances).mean())


def psnr_b(image: Levels, clean: Levels) -> float:
    """PSNR with a penalty for what is left of the blocks (Yim and Bovik 2011), in dB, at most 100."""
    planes = np.atleast_3d(np.asarray(image, np.float64))
    blocking = np.mean([blocking_effect(planes[..., channel]) for channel in range(planes.shape[2])])
    return _decibels(_squared_error(image, clean) + float(blocking))


def blocking_effect(image_HW: NDArray[np.float64]) -> float:
    """The blocking effect factor: how much larger squared steps are at block boundaries than elsewhere, 0 if not."""
    at_edges = elsewhere = 0.0
    edge_count = count = 0
    for steps in (np.square(np.diff(image_HW, axis=1)), np.square(np.diff(image_HW, axis=0)).T):
        edges = steps[:, BLOCK - 1 :: BLOCK]
        at_edges, edge_count = at_edges + edges.sum(), edge_count + edges.size
        elsewhere, count = elsewhere + steps.sum() - edges.sum(), count + steps.size - edges.size
    if edge_count == 0 or count == 0:
        return 0.0
    excess = float(at_edges / edge_count - elsewhere / count)
    return max(excess, 0.0) * float(np.log2(BLOCK) / np.log2(min(image_HW.shape)))


def _squared_error(image: Levels, clean: Levels) -> float:
    return float(np.square(np.asarray(image, np.float64) - clean).mean())


def _decibels(squared_error: float) -> float:
    return min(float(10 * np.log10(255**2 / max(squared_error, 1e-12))), HIGHEST_DB)


def _windowed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    kernel = cv2.getGaussianKernel(WINDOW, SIGMA, cv2.CV_64F)
    margin = WINDOW // 2
    means = np.asarray(cv2.sepFilter2D(values, cv2.CV_64F, kernel, kernel), np.float64)
    return means[margin:-margin, margin:-margin]
