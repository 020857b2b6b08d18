"""A picture that is painted in layers of soft, anti-aliased shapes.

Shapes: points_N2 are (x, y) in pixels; images are float32 RGB HWC in 0...1; coverage masks are HW in 0...1.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

SUPERSAMPLES, SUPERSAMPLES_LARGE = 4, 2
"""Edges are drawn anti-aliased on a grid this many times finer, then averaged."""
LARGE = 20_000
"""Pixels of a box from which on an eighth of a pixel at its edge is not seen any more."""
_FRACTION_BITS = 4


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of whole pixels, inside the canvas; x1 and y1 are exclusive."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def slices(self) -> tuple[slice, slice]:
        """To index an image with."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)


class Canvas:
    """The painting: `image_HWC`, changed in place by each layer."""

    def __init__(self, image_HWC: Floats) -> None:
        self.image_HWC = image_HWC

    def box(self, points_N2: Floats, margin: float = 0.0) -> Box | None:
        """The part of the canvas that the points reach with a margin in pixels; None where they are outside."""
        height, width = self.image_HWC.shape[:2]
        low = np.floor(points_N2.min(axis=0) - margin - 1).astype(int)
        high = np.ceil(points_N2.max(axis=0) + margin + 1).astype(int)
        box = Box(max(int(low[0]), 0), max(int(low[1]), 0), min(int(high[0]), width), min(int(high[1]), height))
        return box if box.x0 < box.x1 and box.y0 < box.y1 else None

    def coverage(self, points_N2: Floats, box: Box, soft: float = 0.0) -> Floats:
        """How much of each pixel of `box` lies in the polygon; `soft` blurs the edge (sigma in pixels)."""
        height, width = box.shape
        shrink = max(int(soft / 2), 1)  # what is blurred that much needs no more pixels
        margin = int(np.ceil(3 * soft))
        rows, columns = -(-(height + 2 * margin) // shrink), -(-(width + 2 * margin) // shrink)
        samples = SUPERSAMPLES if rows * columns < LARGE else SUPERSAMPLES_LARGE
        fine = np.zeros((rows * samples, columns * samples), np.uint8)
        local = (points_N2 - (box.x0 - margin, box.y0 - margin)) * (samples / shrink) - 0.5
        fixed = np.round(np.clip(local, -8000, 30000) * (1 << _FRACTION_BITS)).astype(np.int32)
        cv2.fillPoly(fine, [fixed], 255, cv2.LINE_AA, _FRACTION_BITS)
        mask = cv2.resize(fine, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        if soft > 0:
            mask = cv2.GaussianBlur(mask, (0, 0), soft / shrink).astype(np.float32, copy=False)
        if shrink > 1:
            mask = np.asarray(
                cv2.resize(mask, (columns * shrink, rows * shrink), interpolation=cv2.INTER_LINEAR), np.float32
            )
        return mask[margin : margin + height, margin : margin + width]

    def blend(self, box: Box, mask: Floats, colour: Floats, opacity: float = 1.0) -> None:
        """Lay `colour` (one RGB, or an image of the box) over the box where the mask says."""
        view = self.image_HWC[box.slices]
        view += (mask * np.float32(opacity))[..., None] * (np.asarray(colour, np.float32) - view)

    def shade(self, box: Box, mask: Floats, factor: Floats | float) -> None:
        """Multiply the box by `factor` where the mask says."""
        view = self.image_HWC[box.slices]
        view *= 1 + mask[..., None] * (np.asarray(factor, np.float32) - 1)

    def paint(self, points_N2: Floats, colour: Floats, opacity: float = 1.0, soft: float = 0.0) -> None:
        """Fill a polygon with one colour."""
        box = self.box(points_N2, 3 * soft)
        if box is not None:
            self.blend(box, self.coverage(points_N2, box, soft), colour, opacity)

    def darken(self, points_N2: Floats, factor: Floats | float, soft: float) -> None:
        """Multiply a soft polygon by a factor: a shadow."""
        box = self.box(points_N2, 3 * soft)
        if box is not None:
            self.shade(box, self.coverage(points_N2, box, soft), factor)


def value_noise(rng: np.random.Generator, height: int, width: int, cell: float) -> Floats:
    """Smooth noise of mean 0 and standard deviation near 1, with features of `cell` pixels."""
    rows, columns = int(np.ceil(height / cell)) + 3, int(np.ceil(width / cell)) + 3
    coarse = rng.standard_normal((rows, columns), np.float32)
    fine = np.asarray(cv2.resize(coarse, None, fx=cell, fy=cell, interpolation=cv2.INTER_CUBIC), np.float32)
    top, left = int(cell), int(cell)
    return fine[top : top + height, left : left + width] * np.float32(1.4)


def fractal_noise(rng: np.random.Generator, height: int, width: int, cell: float, octaves: int) -> Floats:
    """Noise at several scales, each half as coarse and half as strong as the one before."""
    layers = [
        value_noise(rng, height, width, max(cell / 2**octave, 1.0)) * np.float32(0.5**octave)
        for octave in range(octaves)
    ]
    return reduce(np.add, layers)
