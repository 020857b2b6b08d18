"""Sheets of a data set's images, for the eye."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline import atomic
from pipeline.shards.layout import level_resolutions
from pipeline.shards.reader import DataSet

BACKGROUND = 255


def write_samples(path: Path, data: DataSet, *, columns: int, tile: int) -> None:
    """Write the first `columns`² images, as far as there are, side by side at `tile` pixels each."""
    resolution = min(tile, data.resolution)
    images_NCHW = data.read(resolution, range(min(len(data), columns**2)))
    rows = -(-len(images_NCHW) // columns)
    sheet_HWC = np.full((rows * tile, columns * tile, 3), BACKGROUND, np.uint8)
    for number, image_CHW in enumerate(images_NCHW):
        y, x = number // columns * tile, number % columns * tile
        sheet_HWC[y : y + tile, x : x + tile] = _enlarged(image_CHW, tile)
    write_png(path, sheet_HWC)


def write_pyramid(path: Path, data: DataSet, *, position: int, side: int) -> None:
    """Write one image at all its levels: the largest to the left, from there down to 1x1 to its right.

    `side` is the least height of the picture; a smaller data set is shown with larger pixels.
    """
    factor = max(1, side // data.resolution)
    height = factor * data.resolution
    sheet_HWC = np.full((height, height + height // 2, 3), BACKGROUND, np.uint8)
    y = x = 0
    for resolution in level_resolutions(data.resolution):
        size = factor * resolution
        sheet_HWC[y : y + size, x : x + size] = _enlarged(data.read(resolution, [position])[0], size)
        x, y = height, y + (size if x else 0)
    write_png(path, sheet_HWC)


def write_png(path: Path, image_HWC: NDArray[np.uint8]) -> None:
    """Write an RGB picture as PNG, whole or not at all."""
    with atomic.writing(path) as beside:
        Image.fromarray(image_HWC).save(beside, format="png")


def _enlarged(image_CHW: NDArray[np.uint8], tile: int) -> NDArray[np.uint8]:
    factor = tile // image_CHW.shape[-1]
    return image_CHW.transpose(1, 2, 0).repeat(factor, axis=0).repeat(factor, axis=1)
