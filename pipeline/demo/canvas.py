"""A picture that is painted in layers of soft, anti-aliased shapes; the outlines of the shapes; noise.

points_N2 are (x, y); images are float32 RGB HWC in 0...1; masks are HW in 0...1.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
Rng = np.random.Generator


@dataclass(slots=True)
class Canvas:
    """A picture, or a rectangle of it with its upper left corner, that is painted in place.

    Points are in pixels of the whole picture. `unit` is half the head's width in pixels: every `soft`, the sigma by
    which an edge is blurred, is in that unit.
    """

    image_HWC: Array
    unit: float = 1.0
    x0: int = 0
    y0: int = 0

    def part(self, points_N2: Array, margin: float = 0.0) -> "Canvas":
        """The rectangle that the points reach with a margin in pixels; an empty one if they are outside."""
        low, high = points_N2.min(axis=0) - margin - 1, points_N2.max(axis=0) + margin + 1
        x0, y0 = np.maximum(np.floor(low).astype(int), (self.x0, self.y0))
        right, bottom = np.maximum(np.ceil(high).astype(int) - (self.x0, self.y0), 0)
        return Canvas(self.image_HWC[y0 - self.y0 : bottom, x0 - self.x0 : right], self.unit, int(x0), int(y0))

    def coverage(self, points_N2: Array, soft: float = 0.0) -> Array:
        """How much of each pixel lies in the polygon."""
        height, width = self.image_HWC.shape[:2]
        if not self.image_HWC.size:
            return np.zeros((height, width), np.float32)
        sigma = soft * self.unit
        shrink = max(int(sigma / 2), 1)  # a strong blur needs no more pixels
        margin = int(np.ceil(3 * sigma))
        rows, columns = -(-(height + 2 * margin) // shrink), -(-(width + 2 * margin) // shrink)
        samples = 4 if rows * columns < 20_000 else 2  # edges are drawn on a finer grid, then averaged
        fine = np.zeros((rows * samples, columns * samples), np.uint8)
        local = (points_N2 - (self.x0 - margin, self.y0 - margin)) * (samples / shrink) - 0.5
        fixed = np.round(np.clip(local, -8000, 30000) * 16).astype(np.int32)
        cv2.fillPoly(fine, [fixed], 255, cv2.LINE_AA, shift=4)
        mask: Array = cv2.resize(fine, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        if sigma > 0:
            mask = cv2.GaussianBlur(mask, (0, 0), sigma / shrink)
        if shrink > 1:
            mask = cv2.resize(mask, (columns * shrink, rows * shrink), interpolation=cv2.INTER_LINEAR)
        return mask[margin : margin + height, margin : margin + width]

    def blend(self, mask: Array, colour: ArrayLike, opacity: float = 1.0) -> None:
        """Lay `colour` (one RGB, or an image of this size) over the picture where the mask says."""
        self.image_HWC += (mask * opacity)[..., None] * (np.asarray(colour, np.float32) - self.image_HWC)

    def shade(self, mask: Array, factor: ArrayLike) -> None:
        """Multiply the picture by `factor` where the mask says."""
        self.image_HWC *= 1 + mask[..., None] * (np.asarray(factor, np.float32) - 1)

    def paint(self, points_N2: Array, colour: ArrayLike, opacity: float = 1.0, soft: float = 0.0) -> None:
        """Fill a polygon with one colour."""
        part = self.part(points_N2, 3 * (soft * self.unit))
        part.blend(part.coverage(points_N2, soft), colour, opacity)

    def darken(self, points_N2: Array, factor: ArrayLike, soft: float) -> None:
        """Multiply a polygon by a factor: a shadow."""
        part = self.part(points_N2, 3 * (soft * self.unit))
        part.shade(part.coverage(points_N2, soft), factor)


def curve(control_N2: ArrayLike, steps: int = 10, *, closed: bool = False) -> Array:
    """A Catmull-Rom curve through the control points, `steps` points for each."""
    control = np.asarray(control_N2, np.float64)
    if closed:
        padded = np.concatenate([control[-1:], control, control[:2]])
    else:
        padded = np.concatenate([2 * control[:1] - control[1:2], control, 2 * control[-1:] - control[-2:-1]])
    p0, p1, p2, p3 = (padded[first : first + len(padded) - 3, None] for first in range(4))
    t = (np.arange(steps) / steps)[None, :, None]
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    return curve.reshape(-1, 2) if closed else np.concatenate([curve.reshape(-1, 2), control[-1:]])


def symmetric(right_N2: ArrayLike) -> Array:
    """A closed curve from the control points of its right half, given from top to bottom."""
    right = np.asarray(right_N2, np.float64)
    inner = right[np.abs(right[:, 0]) > 1e-9]
    return curve(np.concatenate([right, inner[::-1] * (-1, 1)]), closed=True)


def stroke(line_N2: Array, width: ArrayLike) -> Array:
    """The outline of a line with a width: one everywhere, or those at the start, near the middle and at the end."""
    direction = np.gradient(line_N2, axis=0)
    normal = np.stack([-direction[:, 1], direction[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    widths = np.interp(np.linspace(0, 1, len(line_N2)), [0, 0.45, 1], np.broadcast_to(width, 3))
    half = normal * (widths[:, None] / 2)
    return np.concatenate([line_N2 + half, (line_N2 - half)[::-1]])


def ellipse(centre: ArrayLike, radius_x: float, radius_y: float, power: float = 2.0) -> Array:
    """A superellipse; a power above 2 makes it boxier."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.sign(circle) * np.abs(circle) ** (2 / power) * (radius_x, radius_y) + np.asarray(centre, np.float64)


def noise(rng: Rng, shape: tuple[int, ...], cell: float, octaves: int = 1) -> Array:
    """Smooth noise of a picture of `shape` (H, W): mean 0, standard deviation near 1, features of `cell` pixels.

    Each further octave is half as coarse and half as strong as the one before.
    """
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        size = max(cell / 2**octave, 1.0)
        coarse = rng.standard_normal([int(np.ceil(side / size)) + 3 for side in shape], np.float32)
        fine = cv2.resize(coarse, None, fx=size, fy=size, interpolation=cv2.INTER_CUBIC)[int(size) :, int(size) :]
        total += fine[: shape[0], : shape[1]] * 1.4 * (0.5**octave)
    return total
