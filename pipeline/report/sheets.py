"""Sheets of faces for the eye, made from strips that the workers leave beside their tables.

A strip holds one column per face, tiles of one size below each other. One process lays chosen columns of all strips
side by side, so no more than the sheet is ever in memory.
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


def reduced(image_HWC: Picture, side: int) -> Picture:
    """A square image at `side` pixels by area averaging; a smaller one by repeating its pixels."""
    shrinks = image_HWC.shape[0] >= side
    method = cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(image_HWC, (side, side), interpolation=method), np.uint8)


def repeated(image_HWC: Picture, factor: int) -> Picture:
    """Every pixel `factor` times along both sides."""
    return image_HWC.repeat(factor, axis=0).repeat(factor, axis=1)


def detail(image_HWC: Picture, side: int, x: float, y: float) -> Picture:
    """`side` x `side` pixels at their own size around (x, y), which are fractions of the image; a small image whole."""
    size = image_HWC.shape[0]
    if size <= side:
        return reduced(image_HWC, side)
    left, upper = (min(max(round(at * size) - side // 2, 0), size - side) for at in (x, y))
    return image_HWC[upper : upper + side, left : left + side]


def write_picture(path: Path, picture_HWC: Picture) -> None:
    """Write a picture as PNG, whole or not at all."""
    atomic.write_bytes(path, encode_png(picture_HWC, PNG_LEVEL))


def write_strip(path: Path, columns: Sequence[Sequence[Picture]]) -> None:
    """Write a strip of one column of tiles per face; none for no face."""
    if columns:
        write_picture(path, np.concatenate([np.concatenate(tiles, axis=0) for tiles in columns], axis=1))


def read_columns(path: Path, side: int) -> list[Picture]:
    """All columns of a strip whose tiles are `side` wide."""
    strip_HWC = decode_png(path.read_bytes())
    return np.split(strip_HWC, strip_HWC.shape[1] // side, axis=1)


def pick_columns(strips: Sequence[Path], side: int, wanted: Sequence[int]) -> list[Picture]:
    """Columns of strips laid end to end, by their number from 0, in the order of `wanted`."""
    chosen, found = set(wanted), dict[int, Picture]()
    start = 0
    for path in strips:
        columns = read_columns(path, side)
        # copies, or each would keep its whole strip in memory
        found |= {start + i: column.copy() for i, column in enumerate(columns) if start + i in chosen}
        start += len(columns)
    return [found[number] for number in wanted]


def write_sheet(path: Path, columns: Sequence[Picture], per_row: int) -> None:
    """Write pictures of one size side by side, `per_row` to a row, the last one filled up with white; none for none."""
    if not columns:
        return
    height, width, _ = columns[0].shape
    rows = -(-len(columns) // per_row)
    sheet_HWC = np.full((rows * height, min(per_row, len(columns)) * width, 3), BACKGROUND, np.uint8)
    for number, column in enumerate(columns):
        y, x = number // per_row * height, number % per_row * width
        sheet_HWC[y : y + height, x : x + width] = column
    write_picture(path, sheet_HWC)


def spread(count: int, wanted: int) -> list[int]:
    """`wanted` of the numbers 0...`count` - 1, evenly spaced from the first on; all of them where there are no more."""
    chosen = min(count, wanted)
    return [number * count // chosen for number in range(chosen)]
