"""Smooth outlines through a few control points."""

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def closed(control_N2: object, steps: int = 10) -> Points:
    """A closed Catmull-Rom curve through the control points, `steps` points for each."""
    control = np.asarray(control_N2, np.float64)
    return _catmull_rom(np.roll(control, 1, 0), control, np.roll(control, -1, 0), np.roll(control, -2, 0), steps)


def through(control_N2: object, steps: int = 10) -> Points:
    """An open Catmull-Rom curve from the first control point to the last."""
    control = np.asarray(control_N2, np.float64)
    padded = np.concatenate([2 * control[:1] - control[1:2], control, 2 * control[-1:] - control[-2:-1]])
    curve = _catmull_rom(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], steps)
    return np.concatenate([curve, control[-1:]])


def mirrored(right_N2: object) -> Points:
    """Control points of a closed symmetric shape from those of its right half, given from top to bottom."""
    right = np.asarray(right_N2, np.float64)
    inner = right[np.abs(right[:, 0]) > 1e-9]
    return np.concatenate([right, inner[::-1] * (-1, 1)])


def stroke(line_N2: Points, widths: object) -> Points:
    """The outline of a line with a width at each point (a scalar: the same everywhere)."""
    direction = np.gradient(line_N2, axis=0)
    normal = np.stack([-direction[:, 1], direction[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    half = normal * (np.broadcast_to(np.asarray(widths, np.float64), len(line_N2))[:, None] / 2)
    return np.concatenate([line_N2 + half, (line_N2 - half)[::-1]])


def taper(count: int, start: float, middle: float, end: float) -> Points:
    """Widths along a line of `count` points that swell from `start` to `middle` and shrink to `end`."""
    return np.interp(np.linspace(0, 1, count), [0, 0.45, 1], [start, middle, end])


def ellipse(centre: object, radius_x: float, radius_y: float, power: float = 2.0, steps: int = 48) -> Points:
    """A superellipse; a power above 2 makes it boxier."""
    angle = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    cosine, sine = np.cos(angle), np.sin(angle)
    x = np.sign(cosine) * np.abs(cosine) ** (2 / power) * radius_x
    y = np.sign(sine) * np.abs(sine) ** (2 / power) * radius_y
    return np.stack([x, y], axis=1) + np.asarray(centre, np.float64)


def _catmull_rom(before: Points, start: Points, end: Points, after: Points, steps: int) -> Points:
    t = (np.arange(steps) / steps)[None, :, None]
    p0, p1, p2, p3 = (points[:, None] for points in (before, start, end, after))
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    return curve.reshape(-1, 2)
