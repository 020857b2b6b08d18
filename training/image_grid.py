"""Grids of samples and reals, all of one size throughout a run.

N = images, C = 3, H, W = height and width.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline import atomic

Pixels = NDArray[np.uint8]


def image_grid(images_NCHW: Pixels, columns: int, cell_pixels: int) -> Pixels:
    """N images row by row, each enlarged to `cell_pixels` by repeating pixels: (H, W, C) uint8.

    Enlarged so, images of every resolution have the same place and size in all grids of a run.
    N is a multiple of `columns`, `cell_pixels` one of the images' side.
    """
    count, channels, height, _ = images_NCHW.shape
    scale = cell_pixels // height
    cells = images_NCHW.repeat(scale, axis=2).repeat(scale, axis=3)
    rows = cells.reshape(count // columns, columns, channels, cell_pixels, cell_pixels)
    return rows.transpose(0, 3, 1, 4, 2).reshape(-1, columns * cell_pixels, channels)


def progress(grids: Mapping[int, Path], columns: int, cell_pixels: int) -> Pixels | None:
    """The first row of a grid of samples per resolution, the lowest on top.

    All grids of a run have the same latents, so each column is one latent at all resolutions. Grids that are missing,
    or of another size, since it was changed when the run was resumed, are left out; None if no grid is left.
    """
    rows = [read_png(path)[:cell_pixels] for _, path in sorted(grids.items()) if path.exists()]
    rows = [row for row in rows if row.shape == (cell_pixels, columns * cell_pixels, 3)]
    return np.concatenate(rows) if rows else None


def write_png(path: Path, picture_HWC: Pixels, compress_level: int = 6) -> None:
    """Write a picture as PNG, whole or not at all; at `compress_level` 1 four times as fast, and a third larger."""
    with atomic.writing(path) as partial:
        Image.fromarray(picture_HWC).save(partial, format="png", compress_level=compress_level)


def read_png(path: Path) -> Pixels:
    """An RGB picture, (H, W, C) uint8."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
