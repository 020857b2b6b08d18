"""Contact sheets: pictures laid out in a grid and written as PNG.

A strip is a picture that a worker leaves in the folder of its part table: one column per face, tiles of one size below
each other. Strips hold only the faces that a sheet may show.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline import atomic
from pipeline.faces.png import decode_png, encode_png

PNG_LEVEL = 3
BACKGROUND = 255

Picture = NDArray[np.uint8]


def tile(pictures: Sequence[Picture], per_row: int) -> Picture:
    """Pictures of one size (H, W, 3), at least one, `per_row` side by side; the rest of the last row is white."""
    height, width, channels = pictures[0].shape
    rows, columns = -(-len(pictures) // per_row), min(per_row, len(pictures))
    sheet_HWC = np.full((rows * height, columns * width, channels), BACKGROUND, np.uint8)
    for number, picture_HWC in enumerate(pictures):
        y, x = number // per_row * height, number % per_row * width
        sheet_HWC[y : y + height, x : x + width] = picture_HWC
    return sheet_HWC


def write_picture(path: Path, picture_HWC: Picture) -> None:
    """Write a picture as PNG, whole or not at all."""
    atomic.write_bytes(path, encode_png(picture_HWC, PNG_LEVEL))


def write_sheet(path: Path, pictures: Sequence[Picture], per_row: int) -> None:
    """Write pictures of one size as a sheet, `per_row` to a row; no file for no picture."""
    if pictures:
        write_picture(path, tile(pictures, per_row))


def write_strip(path: Path, columns: Sequence[Sequence[Picture]]) -> None:
    """Write a strip of one column of tiles per face; no file for no face."""
    if columns:
        write_picture(path, tile([np.concatenate(tiles) for tiles in columns], len(columns)))


def read_columns(path: Path, side: int) -> list[Picture]:
    """All columns of a strip whose tiles are `side` wide."""
    strip_HWC = decode_png(path.read_bytes())
    return np.split(strip_HWC, strip_HWC.shape[1] // side, axis=1)


def resized(image_HWC: Picture, side: int) -> Picture:
    """A square image at `side` pixels: averaged over areas to shrink, with repeated pixels to enlarge."""
    method = cv2.INTER_AREA if image_HWC.shape[0] >= side else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(image_HWC, (side, side), interpolation=method), np.uint8)


def repeated(image_HWC: Picture, factor: int) -> Picture:
    """Every pixel `factor` times along both sides."""
    return image_HWC.repeat(factor, axis=0).repeat(factor, axis=1)


def detail(image_HWC: Picture, side: int, x: float, y: float) -> Picture:
    """The `side` x `side` pixels around (x, y), which are fractions of the image; a smaller image whole."""
    size = image_HWC.shape[0]
    if size <= side:
        return resized(image_HWC, side)
    left, upper = (min(max(round(at * size) - side // 2, 0), size - side) for at in (x, y))
    return image_HWC[upper : upper + side, left : left + side]


def spread(count: int, chosen: int) -> list[int]:
    """`chosen` of the numbers 0...`count` - 1, evenly spaced from 0 on; all of them where there are no more."""
    chosen = min(count, chosen)
    return [number * count // chosen for number in range(chosen)]
