"""JPEG's blocks and the noise of an image, at about the sampling of its photograph. The formulas: docs/quality.md.

An enlarged photograph is smooth from pixel to pixel, so an image is looked at in steps of a pixel of its photograph.
"""

import math
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.faces.geometry import Rectangle

BLOCK = 8
"""Side of JPEG's blocks, and of the windows in which noise is measured, in pixels of a photograph."""
HARMONICS = 4
"""Of the grid: the fourth has a period of two pixels."""
UNSEEN = 0.02
"""The blocks of a photograph of high quality."""
SMOOTHEST = 0.1
"""The share of the windows that hold nothing but noise."""
SMOOTHED = 2
"""By how much interpolation lowers the rise at block edges."""
LEAST_SIDE = 2 * BLOCK
CROSS = np.outer([1, -2, 1], [1, -2, 1]).astype(np.float32) / 6
"""Second difference in both directions, with squares that sum to 1: edges and shading vanish (Immerkaer 1996)."""
HANN_NOISE = 1.5
"""Of a Hann window of sum 1 and n values: n times the sum of their squares."""


@dataclass(frozen=True, slots=True)
class BlockGrid:
    """How JPEG's blocks of 8 x 8 pixels lie in an image: the side of a block in pixels, > 0, and its angle in radians.

    The default is a photograph at its own size. Where the first block begins does not matter.
    """

    side: float = BLOCK
    angle: float = 0.0

    @classmethod
    def in_final_image(cls, rectangle: Rectangle, shrink: int) -> Self:
        """The grid of a photograph that was shrunk by `shrink`, in the final image of a `rectangle` of it."""
        x, y = (rectangle.quad_42[3] - rectangle.quad_42[0]).tolist()
        return cls(BLOCK * rectangle.zoom / shrink, -math.atan2(y, x))

    @property
    def zoom(self) -> float:
        """Pixels of the image per pixel of the photograph, at least 1."""
        return max(1.0, self.side / BLOCK)

    @property
    def resampled(self) -> bool:
        """Whether the image is not the photograph at its own size."""
        return (self.side, self.angle) != (BLOCK, 0.0)


@dataclass(frozen=True, slots=True)
class Artefacts:
    """`blocks`: by how much the log of the local contrast varies with the grid, above what is not seen; 0 for none.

    `noise`: the power of the noise in the image's spectrum, as if it were white up to the photograph's frequencies.
    """

    blocks: float
    noise: float


def artefacts(luminance_HW: NDArray[np.float32], grid: BlockGrid) -> Artefacts:
    """Measure a square image, float32 0...255; nothing is found below 16 pixels of the photograph."""
    step = int(grid.zoom)
    # more than a pixel of the photograph: between two of them interpolation leaves no noise to be measured
    noise_step = step + grid.resampled
    for_blocks, for_noise = _sampled(luminance_HW, step), _sampled(luminance_HW, noise_step)
    if len(for_noise) < LEAST_SIDE:
        return Artefacts(0.0, 0.0)
    rise = _blocks(for_blocks, grid.side / step, grid.angle) * (SMOOTHED if grid.resampled else 1)
    return Artefacts(max(rise - UNSEEN, 0.0), grid.zoom**2 * _noise(for_noise))


def _sampled(image_HW: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(image_HW[step // 2 :: step, step // 2 :: step])


def _blocks(sampled_HW: NDArray[np.float32], side: float, angle: float) -> float:
    frequencies = np.arange(1, HARMONICS + 1) / side
    frequencies = frequencies[frequencies <= 0.5]
    if len(frequencies) == 0:
        return 0.0
    contrast_NN = np.log(np.abs(cv2.Laplacian(sampled_HW, cv2.CV_32F, ksize=1)[1:-1, 1:-1]) + np.float32(1))
    mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(contrast_NN))
    # in float64, since a rank must not depend on the order in which a processor adds
    contrast_NN = np.subtract(contrast_NN, mean, dtype=np.float64)
    size, count = len(contrast_NN), 2 * len(frequencies)
    across, down = frequencies * math.cos(angle), frequencies * math.sin(angle)
    x_KN, y_KN = (_waves(np.concatenate(pair), size) for pair in ((across, -down), (down, across)))
    lines_KN = np.concatenate([y_KN.real, y_KN.imag]) @ contrast_NN
    amplitudes = ((lines_KN[:count] + 1j * lines_KN[count:]) * x_KN).sum(axis=1)
    power = float(np.square(np.abs(amplitudes)).mean())
    by_chance = (deviation * HANN_NOISE / size) ** 2
    return math.sqrt(max(power - by_chance, 0.0))


def _waves(frequencies: NDArray[np.float64], size: int) -> NDArray[np.complex128]:
    """Sine waves through a Hann window of sum 1: one per frequency, in cycles per pixel."""
    window = np.hanning(size + 1)[:-1]
    return np.exp(-2j * np.pi * np.outer(frequencies, np.arange(size))) * (window / window.sum())


def _noise(sampled_HW: NDArray[np.float32]) -> float:
    rough_HW = np.square(cv2.filter2D(sampled_HW, cv2.CV_32F, CROSS, borderType=cv2.BORDER_REFLECT_101))
    windows = len(sampled_HW) // BLOCK
    whole = rough_HW[: windows * BLOCK, : windows * BLOCK]
    means = cv2.resize(whole, (windows, windows), interpolation=cv2.INTER_AREA)
    return float(np.quantile(means, SMOOTHEST))
