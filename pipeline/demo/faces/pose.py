"""How a head stands in the picture: from face coordinates to pixels and back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.demo.faces.canvas import Box, Floats

DEPTH = 0.9
"""Of the head's front, in half head widths, at its middle."""
HEIGHT = 1.45
MIDDLE = 0.05
"""Half height and vertical middle of the ellipsoid that stands for the head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """Place and turn of a head.

    Attributes
    ----------
    x, y
        Pixel position of the origin.
    unit
        Pixels of half the head's width.
    roll, yaw, pitch
        Radians: clockwise in the picture, to the viewer's right, downwards.
    """

    x: float
    y: float
    unit: float
    roll: float
    yaw: float
    pitch: float

    def turned(self, points_N2: object, lift: float = 0.0) -> NDArray[np.float64]:
        """Face coordinates of points on the head's front as they appear after yaw and pitch.

        `lift` is their height above the ellipsoid: the tip of a nose moves more than an eye.
        """
        points = np.atleast_2d(np.asarray(points_N2, np.float64))
        x, y = points[:, 0], points[:, 1]
        inside = np.maximum(1 - (x / 1.02) ** 2 - ((y - MIDDLE) / HEIGHT) ** 2, 0.02)
        z = DEPTH * np.sqrt(inside) + lift
        turned_x = x * np.cos(self.yaw) + z * np.sin(self.yaw)
        turned_y = y * np.cos(self.pitch) + z * np.sin(self.pitch)
        return np.stack([turned_x, turned_y], axis=1)

    def front(self, points_N2: object, lift: float = 0.0) -> NDArray[np.float64]:
        """Pixels of points on the head's front."""
        return self.flat(self.turned(points_N2, lift))

    def flat(self, points_N2: object) -> NDArray[np.float64]:
        """Pixels of points in the picture's plane: outlines, which yaw does not move."""
        points = np.atleast_2d(np.asarray(points_N2, np.float64)) * self.unit
        cosine, sine = np.cos(self.roll), np.sin(self.roll)
        x = points[:, 0] * cosine - points[:, 1] * sine + self.x
        y = points[:, 0] * sine + points[:, 1] * cosine + self.y
        return np.stack([x, y], axis=1)

    def grid(self, box: Box) -> tuple[Floats, Floats]:
        """Face coordinates x and y of the pixel centres of a box: the inverse of `flat`."""
        rows, columns = np.mgrid[box.slices].astype(np.float32)
        dx = (columns + 0.5 - np.float32(self.x)) / np.float32(self.unit)
        dy = (rows + 0.5 - np.float32(self.y)) / np.float32(self.unit)
        cosine, sine = np.float32(np.cos(self.roll)), np.float32(np.sin(self.roll))
        return dx * cosine + dy * sine, dy * cosine - dx * sine
