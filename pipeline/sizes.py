"""How many bytes results take, before they are made: figures of photographs; drawn images come out smaller."""

from pathlib import Path

import numpy as np

from pipeline import manifest
from pipeline.faces import geometry

PNG_BYTES_PER_PIXEL = 1.4
"""Of a region of a photograph as PNG; measured on nine of CelebA's: 1.0 to 1.9."""
RESTORED_GROWTH = 1.12
"""A restored region as PNG, by the region before."""
SHARD_SHARES = {
    "none": (1.0,) * 7,
    "gzip": (0.66, 0.75, 0.82, 0.86, 0.9, 0.94, 0.97),
    "zstd": (0.78, 0.89, 0.93, 0.95, 0.97, 0.99, 1.0),
}
"""Compressed bytes by bytes of a level, from 1024 pixels a side down to 16: small images have more detail in a pixel.

Measured on photographs enlarged to 1024 pixels (`shards.codecs`), reduced ones, and drawn faces of 64 pixels.
"""
SHARD_IMAGE_BYTES = 500
"""Of an image in shards and view, without its pixels: identity, 40 labels, the places of its chunks."""


def regions(table: Path, resolution: int) -> int:
    """The regions as PNG of the kept rows of align's table, as they are before `denoise` restores them."""
    columns = manifest.read_columns(table, ["width", "height", "quad", "zoom"])
    kept = columns.filter(columns["zoom"].is_valid())
    if not len(kept):
        return 0
    quads_N42 = np.array(kept["quad"].combine_chunks().flatten(), np.float64).reshape(-1, 4, 2)
    zooms_N = np.array(kept["zoom"], np.float64)
    sizes_N2 = np.stack([np.array(kept["width"], np.float64), np.array(kept["height"], np.float64)], axis=1)
    borders_N1 = (resolution * geometry.BORDER / zooms_N)[:, None]
    low_N2 = np.maximum(quads_N42.min(axis=1) - borders_N1, 0)
    high_N2 = np.minimum(quads_N42.max(axis=1) + borders_N1, sizes_N2)
    shrink_N = np.maximum(np.floor(0.5 / zooms_N), 1)
    pixels_N = np.maximum(high_N2 - low_N2, 1).prod(axis=1) / shrink_N**2
    return int(pixels_N.sum() * PNG_BYTES_PER_PIXEL)


def restored(table: Path) -> int:
    """The restored regions that `denoise` will make of the kept rows of crop's table."""
    columns = manifest.read_columns(table, ["crop_width", "crop_height"]).drop_null()
    pixels_N = np.array(columns["crop_width"], np.int64) * np.array(columns["crop_height"], np.int64)
    return int(pixels_N.sum() * PNG_BYTES_PER_PIXEL * RESTORED_GROWTH)


def shards(images: int, resolution: int, codec: str) -> int:
    """The HDF5 shards of a number of images, with all levels."""
    shares = SHARD_SHARES[codec]
    levels = (resolution >> halvings for halvings in range(resolution.bit_length()))
    pixels = sum(3 * side**2 * shares[min(max(11 - side.bit_length(), 0), len(shares) - 1)] for side in levels)
    return int(images * (pixels + SHARD_IMAGE_BYTES))
