"""MS-SSIM of many pairs at once on a torch device, in float64; `training.metrics.msssim` is the plain form.

Float64 keeps the variances exact, and is no slower where memory is the limit; TF32 does not touch it.

Suffixes: N image, C channel, H height, W width, P pair.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.metrics.compute import Compute
from training.metrics.msssim import C1, C2, WEIGHTS, combine, window

_PIXELS = 1 << 22
"""Of the first images that are computed at once: some 1.5 GB."""


@torch.no_grad()
def msssim_of_pairs(images_NCHW: NDArray[np.uint8], compute: Compute) -> list[float]:
    """Similarity of images 0 and 1, 2 and 3, … of an even number of square images of 16 pixels or more."""
    at_once = 2 * max(1, _PIXELS // images_NCHW.shape[-1] ** 2)
    similarities: list[float] = []
    for start in range(0, len(images_NCHW), at_once):
        part_NCHW = torch.from_numpy(images_NCHW[start : start + at_once]).to(compute.device).double()
        similarities += _msssim(part_NCHW[::2], part_NCHW[1::2])
    return similarities


def _msssim(a_PCHW: Tensor, b_PCHW: Tensor) -> list[float]:
    contrasts: list[Tensor] = []
    for _ in WEIGHTS[:-1]:
        contrasts.append(_ssim(a_PCHW, b_PCHW)[1])
        a_PCHW, b_PCHW = functional.avg_pool2d(a_PCHW, 2), functional.avg_pool2d(b_PCHW, 2)
    similarities: list[float] = _ssim(a_PCHW, b_PCHW)[0].tolist()
    of_pairs: list[list[float]] = torch.stack(contrasts, dim=1).tolist()
    return [combine(*of_pair) for of_pair in zip(of_pairs, similarities, strict=True)]


def _ssim(a_PCHW: Tensor, b_PCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Mean SSIM of each pair, and the mean of its contrast-structure term."""
    kernel = torch.from_numpy(window(a_PCHW.shape[-1])).to(a_PCHW.device)
    mean_a, mean_b = _blur(a_PCHW, kernel), _blur(b_PCHW, kernel)
    variance_a = _blur(a_PCHW * a_PCHW, kernel) - mean_a * mean_a
    variance_b = _blur(b_PCHW * b_PCHW, kernel) - mean_b * mean_b
    covariance = _blur(a_PCHW * b_PCHW, kernel) - mean_a * mean_b
    contrast = (2 * covariance + C2) / (variance_a + variance_b + C2)
    luminance = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    return (luminance * contrast).mean((1, 2, 3)), contrast.mean((1, 2, 3))


def _blur(images_PCHW: Tensor, kernel: Tensor) -> Tensor:
    """Where the window lies within the image."""
    planes = images_PCHW.flatten(0, 1)[:, None]
    planes = functional.conv2d(functional.conv2d(planes, kernel[None, None, :, None]), kernel[None, None, None, :])
    return planes[:, 0].unflatten(0, images_PCHW.shape[:2])
