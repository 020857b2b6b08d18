"""SWD and MS-SSIM written plainly with NumPy and SciPy, in the way of the original: what ours is compared with.

N = images, C = 3, H = W, P = patches.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from training.metrics.msssim import C1, C2, WEIGHTS, window

Floats = NDArray[np.float32]
BINOMIAL = (np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256).astype(np.float32)[None, None]


def msssim(a_NCHW: NDArray[np.uint8], b_NCHW: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Similarity of each pair: Fourier convolutions with the two-dimensional window, in float64."""
    a, b = (images.transpose(0, 2, 3, 1).astype(np.float64) for images in (a_NCHW, b_NCHW))
    box, result = np.full((1, 2, 2, 1), 0.25), np.ones(len(a))
    for scale, weight in enumerate(WEIGHTS):
        last = scale == len(WEIGHTS) - 1
        similarity, contrast = _ssim(a, b)
        result *= np.maximum(similarity if last else contrast, 0) ** weight
        if not last:
            a, b = (ndimage.convolve(images, box, mode="reflect")[:, ::2, ::2] for images in (a, b))
    return result


def _ssim(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    kernel = window(a.shape[1])
    kernel_NHWC = np.outer(kernel, kernel)[None, :, :, None]
    mean_a, mean_b, squares_a, squares_b, products = (
        signal.fftconvolve(values, kernel_NHWC, mode="valid") for values in (a, b, a * a, b * b, a * b)
    )
    covariance = 2 * (products - mean_a * mean_b) + C2
    spread = squares_a - mean_a * mean_a + squares_b - mean_b * mean_b + C2
    luminance = (2 * mean_a * mean_b + C1) / (mean_a * mean_a + mean_b * mean_b + C1)
    contrast = covariance / spread
    return (luminance * contrast).mean(axis=(1, 2, 3)), contrast.mean(axis=(1, 2, 3))


def patches(images_NCHW: NDArray[np.uint8], levels: int, count: int) -> list[Floats]:
    """`count` random 7x7 patches of each image, from every level of the Laplacian pyramid: (P, C, 7, 7)."""
    pyramid = [images_NCHW.astype(np.float32)]
    for _ in range(levels - 1):
        smaller = ndimage.convolve(pyramid[-1], BINOMIAL, mode="mirror")[:, :, ::2, ::2]
        spread = np.zeros_like(pyramid[-1])
        spread[:, :, ::2, ::2] = smaller
        pyramid[-1] = pyramid[-1] - ndimage.convolve(spread, 4 * BINOMIAL, mode="mirror")
        pyramid.append(smaller)
    return [_patches_of(level, count) for level in pyramid]


def _patches_of(level_NCHW: Floats, count: int) -> Floats:
    total, side = len(level_NCHW) * count, level_NCHW.shape[-1]
    columns, rows = (np.random.default_rng(n).integers(3, side - 3, total)[:, None, None, None] for n in range(2))
    _, channel, x, y = np.ogrid[0:total, 0:3, -3:4, -3:4]
    image = (np.arange(total) // count)[:, None, None, None]
    return level_NCHW.reshape(-1)[((image * 3 + channel) * side + rows + y) * side + columns + x]


def distance(a_PL: Floats, b_PL: Floats, directions_DL: Floats, repeats: int) -> float:
    """Mean absolute difference of sorted projections, repeat by repeat."""
    means: list[float] = []
    for part_DL in np.split(directions_DL, repeats):
        first, second = (np.sort(descriptors @ part_DL.T, axis=0) for descriptors in (a_PL, b_PL))
        means.append(float(np.abs(first - second).mean()))
    return float(np.mean(means))
