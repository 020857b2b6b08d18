"""Descriptors of the sliced Wasserstein distance: 7x7 patches of Laplacian pyramids, stored on disk.

A full-size set is 2,097,152 patches of 147 values, 1.2 GB, at each of seven levels. So they are written to a file per
level, and read in blocks.

Suffixes: N image, P patch, C channel, H height, W width, X column in the patch, Y row in the patch.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 7
CHANNELS = 3
LENGTH = CHANNELS * SIDE * SIDE
_MARGIN = SIDE // 2
_BLOCK_ROWS = 65536

FloatImage = NDArray[np.float32]


def draw_centres(rng: np.random.RandomState, size: int, count: int) -> NDArray[np.int64]:
    """Centres of `count` patches inside a `size` x `size` image, as [P, 2] = (x, y).

    As in the original, all columns are drawn before all rows, from NumPy's legacy generator.
    """
    columns = rng.randint(_MARGIN, size - _MARGIN, size=count)
    rows = rng.randint(_MARGIN, size - _MARGIN, size=count)
    return np.stack([columns, rows], axis=1).astype(np.int64)


def cut(level_HWC: FloatImage, centres_P2: NDArray[np.int64]) -> NDArray[np.float32]:
    """The patches around `centres_P2` = (x, y), as [P, C, X, Y], columns first as in the original."""
    windows_HWCYX = np.lib.stride_tricks.sliding_window_view(level_HWC, (SIDE, SIDE), axis=(0, 1))
    columns, rows = centres_P2.T - _MARGIN
    return np.ascontiguousarray(windows_HWCYX[rows, columns].swapaxes(2, 3))


def laplacian_pyramid(image_HWC: FloatImage, levels: int) -> list[FloatImage]:
    """Split an image into its detail by scale, each level half the size of the one before (Burt and Adelson 1983).

    The sides are divisible by 2^(levels - 1). Each level is the image minus its blurred self, the last is the low-pass.
    OpenCV's filter is the original's: the outer product of [1 4 6 4 1] / 16, borders mirrored without the edge pixel.
    """
    details: list[FloatImage] = []
    for _ in range(levels - 1):
        smaller = np.asarray(cv2.pyrDown(image_HWC, borderType=cv2.BORDER_REFLECT_101), np.float32)
        details.append(image_HWC - np.asarray(cv2.pyrUp(smaller), np.float32))
        image_HWC = smaller
    return [*details, image_HWC]


class DescriptorFile:
    """Descriptors of one level in a scratch file: appended, normalised once, then read in blocks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._sum_C = np.zeros(CHANNELS)
        self._squares_C = np.zeros(CHANNELS)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")

    def append(self, patches_PCXY: NDArray[np.float32]) -> None:
        """Add patches, in order."""
        for channel in range(CHANNELS):
            values = patches_PCXY[:, channel].astype(np.float64).ravel()
            self._sum_C[channel] += values.sum()
            self._squares_C[channel] += np.square(values, out=values).sum()
        with self.path.open("ab") as file:
            patches_PCXY.tofile(file)
        self.count += len(patches_PCXY)

    def normalise(self) -> None:
        """Normalise each channel to mean 0 and (population) deviation 1 over the set; a constant channel becomes 0."""
        values = self.count * SIDE * SIDE
        mean_C = self._sum_C / values
        variance_C = self._squares_C / values - mean_C**2
        # rounding: the variance of a constant is not exactly 0
        constant_C = variance_C <= 1e-12 * (self._squares_C / values)
        deviation_C = np.sqrt(np.where(constant_C, 1.0, variance_C))
        mean_L, deviation_L = (np.repeat(c.astype(np.float32), SIDE * SIDE) for c in (mean_C, deviation_C))
        for block_PL in self.blocks():
            np.subtract(block_PL, mean_L, out=block_PL)
            np.divide(block_PL, deviation_L, out=block_PL)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """The descriptors as [P, 147], up to 65,536 at a time (38 MB), mapped to the file."""
        descriptors_PL = np.memmap(self.path, np.float32).reshape(-1, LENGTH)
        for start in range(0, self.count, _BLOCK_ROWS):
            yield descriptors_PL[start : start + _BLOCK_ROWS]
