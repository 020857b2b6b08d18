"""Pictures inside the page: reduced to a bounded size and encoded as data URIs. Equal pixels give equal text."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from pipeline.container import read_stored
from pipeline.errors import PipelineError, RejectedInputError
from pipeline.faces.open_image import PILLOW_FAULTS, open_image
from pipeline.manifest import Stored
from pipeline.report.page.blocks import Picture

QUALITY = 82
MOST_PIXELS = 400_000_000
"""Larger pictures of the run (grids of many images at 1024²) are named instead of shown."""

MOST_LOSSLESS = 70_000
"""Pixels of a grid of low resolution that is stored without loss."""

Item = TypeVar("Item")
Box = tuple[int, int, int, int]


def of_file(path: Path, side: int, alt: str, caption: str = "") -> Picture | None:
    """The picture of a file, reduced to `side` pixels of its longer side; None where it cannot be read."""
    image = load(path)
    return None if image is None else encode(image, side, alt, caption)


def load(path: Path) -> Image.Image | None:
    """A picture in RGB; None if there is none, or it cannot be read."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(path) as image:
            return None if image.width * image.height > MOST_PIXELS else image.convert("RGB")
    except PILLOW_FAULTS:
        return None
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def encode(image: Image.Image, side: int, alt: str, caption: str = "") -> Picture:
    """A picture of at most `side` pixels; repeated pixels, as in grids of low resolutions, are stored once."""
    image, factor = _without_repeats(image)
    width, height = image.width * factor, image.height * factor
    if max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=None)
        (width, height), factor = image.size, 1
    uri = _uri(image, lossless=factor > 1 and image.width * image.height <= MOST_LOSSLESS)
    return Picture(uri, width, height, alt, caption, pixelated=factor > 1)


def thumbnail(data: Path, stored: Stored, side: int, alt: str, box: Box | None = None) -> Picture | None:
    """A photograph, or the part `box` of it (left, upper, right, lower), at `side` pixels; None if it is undecodable.

    What can be decoded of a truncated file is shown.
    """
    try:
        image = open_image(read_stored(data, stored))
        if box is None:
            image.draft("RGB", (side, side))
        pixels = _decoded(image)
        if box is not None:
            left, upper, right, lower = box
            pixels = pixels.crop((left, upper, min(right, pixels.width), min(lower, pixels.height)))
        return encode(pixels, side, alt)
    except (*PILLOW_FAULTS, PipelineError, RejectedInputError):
        return None


def columns(path: Path, side: int, most: int) -> list[list[NDArray[np.uint8]]]:
    """The columns of tiles of `side` pixels of a sheet whose rows of columns are as high as the sheet allows.

    Used for `before_after.png`: each face is a column of four tiles. White columns, which fill the last row, are left
    out; at most `most` are given, evenly spread.
    """
    image = load(path)
    if image is None or image.width % side or image.height % (4 * side):
        return []
    sheet_HWC = np.asarray(image)
    found = [
        [sheet_HWC[upper + k * side : upper + (k + 1) * side, left : left + side] for k in range(4)]
        for upper in range(0, image.height, 4 * side)
        for left in range(0, image.width, side)
    ]
    found = [tiles for tiles in found if not all((tile_HWC == 255).all() for tile_HWC in tiles)]
    return spread(found, most)


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most `most` of the items, evenly spaced, the first and the last among them."""
    if most <= 0:
        return []
    if len(items) <= most:
        return list(items)
    if most == 1:
        return [items[-1]]
    return [items[round(number * (len(items) - 1) / (most - 1))] for number in range(most)]


def _decoded(image: Image.Image) -> Image.Image:
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
    try:
        return image.convert("RGB")
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _without_repeats(image: Image.Image) -> tuple[Image.Image, int]:
    """The picture without the repetition of its pixels along both sides, and the factor that restores it."""
    pixels_HWC = np.asarray(image)
    for factor in (256, 128, 64, 32, 16, 8, 4, 2):
        if image.width % factor == 0 and image.height % factor == 0 and min(image.size) > factor:
            small_HWC = pixels_HWC[::factor, ::factor]
            if np.array_equal(small_HWC.repeat(factor, axis=0).repeat(factor, axis=1), pixels_HWC):
                return Image.fromarray(small_HWC), factor
    return image, 1


def _uri(image: Image.Image, *, lossless: bool) -> str:
    stream = io.BytesIO()
    image.save(stream, format="webp", lossless=lossless, quality=QUALITY, method=4)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
