"""Pictures of a run: sheets of samples and reals of one size throughout, and the run's progress at a glance.

N = images, C = 3, H, W = height and width.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline import atomic

Pixels = NDArray[np.uint8]


def sheet(images_NCHW: Pixels, columns: int, cell_pixels: int) -> Pixels:
    """Lay N images out row by row, each enlarged to `cell_pixels` by repeating pixels: (H, W, C) uint8.

    Enlarging by repetition shows every resolution as it is, at the same place in every picture of a run.
    N is a multiple of `columns`, `cell_pixels` one of the images' side.
    """
    count, channels, height, _ = images_NCHW.shape
    scale = cell_pixels // height
    cells = images_NCHW.repeat(scale, axis=2).repeat(scale, axis=3)
    rows = cells.reshape(count // columns, columns, channels, cell_pixels, cell_pixels)
    return rows.transpose(0, 3, 1, 4, 2).reshape(-1, columns * cell_pixels, channels)


def write(path: Path, picture_HWC: Pixels) -> None:
    """Write a picture as PNG, whole or not at all."""
    with atomic.writing(path) as partial:
        Image.fromarray(picture_HWC).save(partial, format="png")


def read(path: Path) -> Pixels:
    """A picture written by `write`, (H, W, C) uint8."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def progress(samples: Mapping[int, Path], cell_pixels: int) -> Pixels:
    """One row of samples per resolution, the lowest on top: the first row of each picture in `samples`.

    The latents of a run's sheets never change, so each column is one latent growing up.
    """
    return np.concatenate([read(path)[:cell_pixels] for _, path in sorted(samples.items())])
