"""Completes a folder of shards: the single-file view, and two pictures of the images."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline import atomic
from pipeline.report import sheets
from pipeline.shards import layout
from pipeline.shards.reader import DataSet
from pipeline.shards.view import write_view

GRID = 8  # rows and columns of the samples
TILE = 128  # pixels of one sample
PYRAMID_SIDE = 256  # pixels: a smaller image is enlarged


def finalize_dataset(folder: Path) -> dict[str, int]:
    """Write the view, `samples.png` (the first 64 images) and `pyramid.png` (the first image at all levels).

    Returns
    -------
    dict
        The numbers of `images`, `shards` and their `bytes`.
    """
    images = write_view(folder)
    with DataSet(folder) as data:
        _write_png(folder / "samples.png", _samples(data))
        _write_png(folder / "pyramid.png", _pyramid(data))
    shards = list(folder.glob(layout.SHARDS))
    return {"images": images, "shards": len(shards), "bytes": sum(shard.stat().st_size for shard in shards)}


def _samples(data: DataSet) -> NDArray[np.uint8]:
    images_NCHW = data.read(min(TILE, data.resolution), range(min(len(data), GRID**2)))
    return sheets.tile([_enlarged(image_CHW, TILE) for image_CHW in images_NCHW], GRID)


def _pyramid(data: DataSet) -> NDArray[np.uint8]:
    """The largest level on the left, the others below each other on its right."""
    factor = max(1, PYRAMID_SIDE // data.resolution)
    height = factor * data.resolution
    sheet_HWC = np.full((height, height + height // 2, 3), sheets.BACKGROUND, np.uint8)
    y = x = 0
    for resolution in layout.level_resolutions(data.resolution):
        size = factor * resolution
        sheet_HWC[y : y + size, x : x + size] = _enlarged(data.read(resolution, [0])[0], size)
        x, y = height, y + (size if x else 0)
    return sheet_HWC


def _enlarged(image_CHW: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    return sheets.repeated(image_CHW.transpose(1, 2, 0), side // image_CHW.shape[-1])


def _write_png(path: Path, image_HWC: NDArray[np.uint8]) -> None:
    with atomic.writing(path) as temporary:
        Image.fromarray(image_HWC).save(temporary, format="png")
