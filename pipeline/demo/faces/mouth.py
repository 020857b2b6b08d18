"""Nostrils, lips, teeth and the folds around a smile."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.demo.faces import curves
from pipeline.demo.faces.canvas import Canvas
from pipeline.demo.faces.curves import Points
from pipeline.demo.faces.head import MOUTH_Y, Light
from pipeline.demo.faces.pose import Pose
from pipeline.demo.faces.traits import Traits

LIFT = 0.06
"""How far lips stand out, in half head widths."""
CURVE = 0.12
"""How far a full smile lifts the corners above the middle."""
REDDER = np.array([0.66, 0.50, 0.48])
"""Skin in a fold or a shadow."""


def corners(traits: Traits) -> Points:
    """Left and right mouth corner in face coordinates."""
    half = 0.335 * traits.mouth_width * (1 + 0.17 * max(traits.smile, 0))
    y = MOUTH_Y - 0.045 * traits.mouth_open - 0.75 * CURVE * traits.smile
    return np.array([(-half, y), (half, y)])


def paint_nose(canvas: Canvas, traits: Traits, pose: Pose, light: Light) -> None:
    """Nostrils, the wings' creases and the shadow that the nose casts."""
    y, wide = 0.535 * traits.nose_length, traits.nose_width
    away = -np.sign(light.direction[0])
    cast = curves.closed(
        [(0.02 * away, 0.42), (0.20 * wide * away, 0.56), (0.12 * wide * away, 0.68), (-0.02 * away, 0.60)]
    )
    canvas.darken(pose.front(cast, 0.08), np.array([0.80, 0.70, 0.68]), 0.045 * pose.unit)
    for side in (-1, 1):
        nostril = curves.ellipse((side * 0.085 * wide, y), 0.042 * wide, 0.021)
        canvas.darken(pose.front(nostril, 0.18), np.array([0.34, 0.22, 0.21]), 0.014 * pose.unit)
        wing = curves.through([(0.13, y - 0.12), (0.205, y - 0.06), (0.18, y + 0.015), (0.11, y + 0.01)]) * (
            side * wide,
            1,
        )
        canvas.darken(
            pose.front(curves.stroke(wing, curves.taper(len(wing), 0.005, 0.022, 0.010)), 0.14),
            REDDER * 1.1,
            0.012 * pose.unit,
        )


@dataclass(frozen=True, slots=True)
class _Lips:
    """The mouth's measures in face coordinates, as if it were straight; `bend` gives it its smile."""

    half: float
    top: float
    seam: float
    gap: float
    bottom: float
    curve: float

    def bend(self, points: Sequence[tuple[float, float]]) -> Points:
        bent = np.array(points, np.float64)
        bent[:, 1] -= self.curve * ((bent[:, 0] / self.half) ** 2 - 0.25)
        return bent


def _measure(traits: Traits) -> _Lips:
    full, gap, smile = traits.lip_full, 0.15 * traits.mouth_open, max(traits.smile, 0)
    half = float(corners(traits)[1, 0])
    thin = 1 - 0.22 * smile
    seam = MOUTH_Y - 0.3 * gap
    return _Lips(half, seam - 0.085 * full * thin, seam, gap, seam + gap + 0.120 * full * thin, CURVE * traits.smile)


def paint_mouth(canvas: Canvas, traits: Traits, pose: Pose, light: Light) -> None:
    """Lips, closed or open over teeth, and the folds beside them."""
    left, right = corners(traits)
    _folds(canvas, traits, pose, right)
    lips = _measure(traits)
    half, top, seam, bottom = lips.half, lips.top, lips.seam, lips.bottom
    upper = [(-half, seam), (-0.55 * half, top + 0.028), (-0.11, top - 0.006), (0, top + 0.016), (0.11, top - 0.006),
             (0.55 * half, top + 0.028), (half, seam)]  # fmt: skip
    lower = [(0.66 * half, bottom - 0.045), (0.30 * half, bottom - 0.004), (-0.30 * half, bottom - 0.004),
             (-0.66 * half, bottom - 0.045)]  # fmt: skip
    lit = np.array([1.0, 0.97, 0.95]) * (light.ambient + (1 - light.ambient) * 0.8)
    under = lips.bend([(-0.2, bottom + 0.05), (0.2, bottom + 0.05)])
    canvas.darken(pose.front(curves.stroke(under, 0.05), 0.03), REDDER * 1.15, 0.03 * pose.unit)
    canvas.paint(
        pose.front(curves.closed(lips.bend([*upper, *lower]), 8), LIFT), traits.lips * lit, 0.92, 0.010 * pose.unit
    )
    above = lips.bend([*upper, (0.5 * half, seam + 0.004), (0, seam + 0.012), (-0.5 * half, seam + 0.004)])
    canvas.darken(pose.front(curves.closed(above, 8), LIFT), 0.86, 0.010 * pose.unit)
    shine_x = 0.03 * np.sign(light.direction[0])
    shine = curves.through(
        lips.bend([(shine_x - 0.12, bottom - 0.055), (shine_x, bottom - 0.052), (shine_x + 0.12, bottom - 0.055)])
    )
    shine_line = curves.stroke(shine, curves.taper(len(shine), 0.004, 0.034, 0.004))
    canvas.paint(pose.front(shine_line, LIFT), np.ones(3), 0.22 + 0.25 * traits.makeup, 0.014 * pose.unit)
    if traits.mouth_open > 0:
        _teeth(canvas, pose, lips, lit)
    else:
        near = seam + 0.004
        line = curves.through(
            lips.bend([(-half, seam), (-0.4 * half, near), (0, seam + 0.014), (0.4 * half, near), (half, seam)])
        )
        seam_line = curves.stroke(line, curves.taper(len(line), 0.012, 0.020, 0.012))
        canvas.paint(pose.front(seam_line, LIFT), traits.lips * (0.36, 0.28, 0.28), 0.9, 0.006 * pose.unit)
    for corner in (left, right):
        canvas.darken(pose.front(curves.ellipse(corner, 0.03, 0.022), LIFT), REDDER, 0.018 * pose.unit)


def _teeth(canvas: Canvas, pose: Pose, lips: _Lips, lit: Points) -> None:
    inner, seam, gap = lips.half * 0.86, lips.seam, lips.gap
    upper = [
        (-inner, seam),
        (-0.5 * inner, seam - 0.004),
        (0, seam + 0.008),
        (0.5 * inner, seam - 0.004),
        (inner, seam),
    ]
    deep = seam + 0.72 * gap, seam + gap
    lower = [(0.6 * inner, deep[0]), (0.25 * inner, deep[1]), (-0.25 * inner, deep[1]), (-0.6 * inner, deep[0])]
    shape = pose.front(curves.closed(lips.bend([*upper, *lower]), 8), LIFT)
    box = canvas.box(shape, 2)
    if box is None:
        return
    mouth = canvas.coverage(shape, box, 0.005 * pose.unit)
    canvas.blend(box, mouth, np.array([0.24, 0.07, 0.07]))
    rim = seam + min(0.092, 0.045 + 0.45 * gap)
    high, low = seam - 0.03, seam + 0.4 * (rim - seam)
    row = [(-0.92 * inner, high), (0.92 * inner, high), (0.84 * inner, low), (0.45 * inner, rim - 0.006), (0, rim)]
    row += [(-0.45 * inner, rim - 0.006), (-0.84 * inner, low)]
    teeth = mouth * canvas.coverage(pose.front(lips.bend(row), LIFT), box, 0.008 * pose.unit)
    canvas.blend(box, teeth, np.array([0.95, 0.93, 0.88]) * np.minimum(lit * 1.08, 1))
    for x in (-0.235, -0.155, -0.078, 0, 0.078, 0.155, 0.235):
        between = curves.stroke(lips.bend([(x, seam - 0.02), (x * 0.98, rim)]), 0.008)
        canvas.shade(box, teeth * canvas.coverage(pose.front(between, LIFT), box, 0.005 * pose.unit), 0.84)
    lip_shadow = curves.stroke(curves.through(lips.bend([(-inner, seam), (0, seam + 0.005), (inner, seam)])), 0.035)
    canvas.shade(box, mouth * canvas.coverage(pose.front(lip_shadow, LIFT), box, 0.015 * pose.unit), 0.66)


def _folds(canvas: Canvas, traits: Traits, pose: Pose, right: Points) -> None:
    depth = 0.10 + 0.30 * max(traits.smile, 0) + 0.25 * max(traits.age - 0.4, 0)
    for side in (-1, 1):
        fold = curves.through(
            [(0.22, 0.52), (0.34, 0.62), (right[0] + 0.10, right[1] - 0.05), (right[0] + 0.10, right[1] + 0.06)]
        )
        line = curves.stroke(fold * (side, 1), curves.taper(len(fold), 0.01, 0.035, 0.01))
        canvas.darken(pose.front(line, 0.02), 1 - depth * (1 - REDDER), 0.022 * pose.unit)
    if traits.age > 0.55:
        for y in (-0.72, -0.60, -0.50):
            brow = curves.through([(-0.40, y + 0.03), (-0.15, y), (0.15, y + 0.01), (0.42, y + 0.03)])
            canvas.darken(pose.front(curves.stroke(brow, 0.018)), 1 - 0.5 * (traits.age - 0.4), 0.012 * pose.unit)
