"""The oriented crop rectangle of a face, and the sizes of every later step (Karras et al. 2018, appendix C).

The mix of float32 and float64 is that of the published dataset_tool.py and decides bytes: corners are float32, `zoom`
and what is derived from it float64, every rounding is to the nearest, ties to even. `resolution` stands for its 1024.

Shapes: landmarks_52 five points (left eye, right eye, nose, left and right mouth corner), quad_42 four corners
(north-west, south-west, south-east, north-east), both x and y in pixels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DropReason, RejectedInputError

BORDER = 0.1
"""The margin kept around the square, in units of its side."""

SPARE_PIXELS = 2
"""Bilinear filtering reads one pixel beyond the square's corners; one more for rounding."""

F32 = np.float32
Points = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Rectangle:
    """The oriented square of one face in an image.

    `quad_42`: its corners, float32, finite, read-only; they may lie outside the image. `zoom`: pixels of the final
    image per pixel of this one, finite and > 0.
    """

    quad_42: Points
    zoom: float

    def __post_init__(self) -> None:
        quad_42 = self.quad_42.copy()
        if quad_42.shape != (4, 2) or quad_42.dtype != F32 or not np.isfinite(quad_42).all():
            raise ValueError(f"a rectangle has four finite float32 corners, not {self.quad_42!r}")
        if not (math.isfinite(self.zoom) and self.zoom > 0):
            raise ValueError(f"the zoom of a rectangle is finite and above 0, not {self.zoom!r}")
        quad_42.flags.writeable = False
        object.__setattr__(self, "quad_42", quad_42)

    @classmethod
    def from_row(cls, quad: Sequence[float], zoom: float) -> Self:
        """The rectangle that a table's columns `quad` (eight numbers) and `zoom` hold."""
        return cls(np.array(quad, F32).reshape(4, 2), zoom)

    @property
    def flat(self) -> tuple[float, ...]:
        """The corners as a table stores them: eight numbers, x then y."""
        return tuple(self.quad_42.ravel().tolist())

    @property
    def transform_corners_42(self) -> Points:
        """The corners as Pillow's QUAD transform takes them: half a pixel further."""
        return self.quad_42 + F32(0.5)

    def side(self, resolution: int) -> float:
        """Length of a side in pixels of this image."""
        return resolution / self.zoom

    def shrunk(self, factor: int) -> Self:
        """The same square in the image reduced by `factor`."""
        return type(self)(self.quad_42 / F32(factor), self.zoom * factor)

    def enlarged(self, factor: int) -> Self:
        """The same square in the image enlarged by `factor`."""
        return type(self)(self.quad_42 * F32(factor), self.zoom / factor)

    def moved(self, x: int, y: int) -> Self:
        """The same square, `x` pixels further right and `y` further down."""
        return type(self)(self.quad_42 + np.array([x, y], F32), self.zoom)

    def meets(self, width: int, height: int) -> bool:
        """Whether square and image overlap (separating axes: those of both)."""
        quad_42 = self.quad_42.astype(np.float64)
        if (quad_42.max(axis=0) <= 0).any() or (quad_42.min(axis=0) >= (width, height)).any():
            return False
        image_42 = np.array([[0, 0], [0, height], [width, height], [width, 0]]) - quad_42.mean(axis=0)
        for axis in (quad_42[3] - quad_42[0], quad_42[1] - quad_42[0]):
            along = image_42 @ axis / (axis @ axis)
            if along.max() <= -0.5 or along.min() >= 0.5:
                return False
        return True


@dataclass(frozen=True, slots=True)
class Box:
    """The pixels `left` <= x < `right`, `upper` <= y < `lower`; never empty."""

    left: int
    upper: int
    right: int
    lower: int

    def __post_init__(self) -> None:
        if not (0 <= self.left < self.right and 0 <= self.upper < self.lower):
            raise ValueError(f"a box holds at least one pixel: {self}")

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of its pixels in an image, (height, width, ...)."""
        return slice(self.upper, self.lower), slice(self.left, self.right)


@dataclass(frozen=True, slots=True)
class Padding:
    """Pixels added on each side of an image, and the sigma of the Gaussian that blurs them."""

    left: int
    top: int
    right: int
    bottom: int
    blur_sigma: float

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of a padded image."""
        return self.left + width + self.right, self.top + height + self.bottom


def rectangle_of_landmarks(landmarks_52: Points, resolution: int) -> Rectangle:
    """The oriented square of a face (the nose is not used).

    `RejectedInputError` ABSURD_LANDMARKS: a coordinate is not finite, both eyes are one point, or the axes cancel out.
    """
    eyes_22, mouth_22 = landmarks_52[:2], landmarks_52[3:]
    eye_centre = (eyes_22[0] + eyes_22[1]) * F32(0.5) + F32(0.5)
    mouth_centre = (mouth_22[0] + mouth_22[1]) * F32(0.5) + F32(0.5)
    eye_to_eye = eyes_22[1] - eyes_22[0]
    eye_to_mouth = mouth_centre - eye_centre
    x_axis = eye_to_eye - _rotated_90(eye_to_mouth)
    length = _length(x_axis)
    if not math.isfinite(length) or length == 0 or not eye_to_eye.any():
        raise RejectedInputError(
            DropReason.ABSURD_LANDMARKS, f"eyes {eyes_22.tolist()} and mouth {mouth_22.tolist()} span no square"
        )
    x_axis = x_axis / length * F32(max(float(_length(eye_to_eye)) * 2.0, float(_length(eye_to_mouth)) * 1.8))
    y_axis = _rotated_90(x_axis)
    centre = eye_centre + eye_to_mouth * F32(0.1)
    quad_42 = np.stack(
        [centre - x_axis - y_axis, centre - x_axis + y_axis, centre + x_axis + y_axis, centre + x_axis - y_axis]
    )
    return Rectangle(quad_42, resolution / (float(_length(x_axis)) * 2))


def rectangle_of_square(side: int, resolution: int) -> Rectangle:
    """The rectangle that covers a square image of `side` pixels."""
    return Rectangle(np.array([[0, 0], [0, side], [side, side], [side, 0]], F32), resolution / side)


def shrink_factor(zoom: float) -> int:
    """The integer factor by which a photograph is shrunk first; at least 1."""
    return max(math.floor(0.5 / zoom), 1)


def shrunk_size(width: int, height: int, factor: int) -> tuple[int, int]:
    """Width and height of an image shrunk by `factor`, at least 1 pixel each."""
    return max(round(width / factor), 1), max(round(height / factor), 1)


def border_pixels(zoom: float, resolution: int) -> int:
    """The margin kept around the square, in pixels of the image that `zoom` belongs to."""
    return max(round(resolution * BORDER / zoom), 3)


def crop_box(rectangle: Rectangle, width: int, height: int, border: int) -> Box:
    """The part of an image that holds the square and its border; OUTSIDE_IMAGE where that is no pixel."""
    left, upper = (max(int(v) - border, 0) for v in np.floor(rectangle.quad_42.min(axis=0)))
    right, lower = (
        min(int(v) + border, limit)
        for v, limit in zip(np.ceil(rectangle.quad_42.max(axis=0)), (width, height), strict=True)
    )
    if left >= right or upper >= lower:
        raise RejectedInputError(
            DropReason.OUTSIDE_IMAGE, f"the rectangle {rectangle.flat} misses the image of {width} x {height} pixels"
        )
    return Box(left, upper, right, lower)


def enlarge_factor(zoom: float) -> int:
    """The power of two by which a region is enlarged (`superres` in dataset_tool.py); at least 1."""
    return max(int(2.0 ** math.ceil(math.log2(zoom))), 1)


def read_box(rectangle: Rectangle, width: int, height: int) -> Box:
    """The part of an image that the transform of a square reads, with a pixel to spare; it must meet the image."""
    low = np.floor(rectangle.quad_42.min(axis=0)).astype(int) - SPARE_PIXELS
    high = np.ceil(rectangle.quad_42.max(axis=0)).astype(int) + SPARE_PIXELS + 1
    return Box(max(int(low[0]), 0), max(int(low[1]), 0), min(int(high[0]), width), min(int(high[1]), height))


def padding(rectangle: Rectangle, width: int, height: int, border: int, resolution: int) -> Padding | None:
    """The padding that an enlarged region of `width` x `height` pixels needs around the square; None for none.

    `border` is in pixels of the region before it was enlarged, as in dataset_tool.py.
    """
    low, high = np.floor(rectangle.quad_42.min(axis=0)), np.ceil(rectangle.quad_42.max(axis=0))
    needed = (
        max(-int(low[0]) + border, 0),
        max(-int(low[1]) + border, 0),
        max(int(high[0]) - width + border, 0),
        max(int(high[1]) - height + border, 0),
    )
    if max(needed) <= border - 4:
        return None
    least = round(resolution * 0.3 / rectangle.zoom)
    left, top, right, bottom = (max(pixels, least) for pixels in needed)
    return Padding(left, top, right, bottom, resolution * 0.02 / rectangle.zoom)


def _rotated_90(vector: Points) -> Points:
    return np.array([-vector[1], vector[0]], F32)


def _length(vector: Points) -> np.float32:
    x, y = float(vector[0]), float(vector[1])
    return F32(math.sqrt(x * x + y * y))
