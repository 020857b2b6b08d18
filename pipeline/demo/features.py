"""What is painted on the skin of the face: nose, mouth, eyes and brows."""

import numpy as np
from numpy.typing import ArrayLike

from pipeline.demo.canvas import Array, Canvas, curve, ellipse, stroke
from pipeline.demo.head import EYES, MOUTH_Y, Light, Pose
from pipeline.demo.person import Person

LIPS_LIFT = 0.06
CURVE = 0.12  # how far a full smile lifts the corners of the mouth above its middle
REDDER = np.array([0.66, 0.50, 0.48])  # skin in a fold or a shadow
TEETH, SCLERA = np.array([0.95, 0.93, 0.88]), np.array([0.94, 0.92, 0.90])


def paint_nose(canvas: Canvas, person: Person, pose: Pose, light: Light) -> None:
    """The shadow that the nose casts, nostrils, and the wings' creases."""
    y, wide, away = 0.535 * person.nose_length, person.nose_width, -np.sign(light.direction[0])
    cast = [(0.02 * away, 0.42), (0.20 * wide * away, 0.56), (0.12 * wide * away, 0.68), (-0.02 * away, 0.60)]
    canvas.darken(pose.front(curve(cast, closed=True), 0.08), (0.80, 0.70, 0.68), 0.045)
    wing = curve([(0.13, y - 0.12), (0.205, y - 0.06), (0.18, y + 0.015), (0.11, y + 0.01)])
    for side in (-1, 1):
        nostril = ellipse((side * 0.085 * wide, y), 0.042 * wide, 0.021)
        canvas.darken(pose.front(nostril, 0.18), (0.34, 0.22, 0.21), 0.014)
        crease = stroke(wing * (side * wide, 1), (0.005, 0.022, 0.010))
        canvas.darken(pose.front(crease, 0.14), REDDER * 1.1, 0.012)


def mouth_corners(person: Person) -> Array:
    """Left and right mouth corner in face coordinates."""
    half = 0.335 * person.mouth_width * (1 + 0.17 * max(person.smile, 0))
    y = MOUTH_Y - 0.045 * person.mouth_open - 0.75 * CURVE * person.smile
    return np.array([(-half, y), (half, y)])


def paint_folds(canvas: Canvas, person: Person, pose: Pose) -> None:
    """From the nose to the corners of the mouth; wrinkles of the forehead."""
    depth = 0.10 + 0.30 * max(person.smile, 0) + 0.25 * max(person.age - 0.4, 0)
    x, y = mouth_corners(person)[1] + (0.10, 0)
    fold = curve([(0.22, 0.52), (0.34, 0.62), (x, y - 0.05), (x, y + 0.06)])
    for side in (-1, 1):
        line = stroke(fold * (side, 1), (0.01, 0.035, 0.01))
        canvas.darken(pose.front(line, 0.02), 1 - depth * (1 - REDDER), 0.022)
    if person.age > 0.55:
        for y in (-0.72, -0.60, -0.50):
            wrinkle = curve([(-0.40, y + 0.03), (-0.15, y), (0.15, y + 0.01), (0.42, y + 0.03)])
            canvas.darken(pose.front(stroke(wrinkle, 0.018)), 1 - 0.5 * (person.age - 0.4), 0.012)


def paint_mouth(canvas: Canvas, person: Person, pose: Pose, light: Light) -> None:
    """Lips, closed or open over teeth."""
    half, gap = mouth_corners(person)[1, 0], 0.15 * person.mouth_open
    full, thin = person.lip_full, 1 - 0.22 * max(person.smile, 0)
    seam = MOUTH_Y - 0.3 * gap
    top, bottom = seam - 0.085 * full * thin, seam + gap + 0.120 * full * thin
    upper = [(-half, seam), (-0.55 * half, top + 0.028), (-0.11, top - 0.006), (0, top + 0.016), (0.11, top - 0.006),
             (0.55 * half, top + 0.028), (half, seam)]  # fmt: skip
    lower = [(0.66 * half, bottom - 0.045), (0.30 * half, bottom - 0.004), (-0.30 * half, bottom - 0.004),
             (-0.66 * half, bottom - 0.045)]  # fmt: skip
    lit = np.array([1.0, 0.97, 0.95]) * (light.ambient + (1 - light.ambient) * 0.8)
    under = stroke(_bend(person, [(-0.2, bottom + 0.05), (0.2, bottom + 0.05)]), 0.05)
    canvas.darken(pose.front(under, 0.03), REDDER * 1.15, 0.03)
    lips = curve(_bend(person, [*upper, *lower]), 8, closed=True)
    canvas.paint(pose.front(lips, LIPS_LIFT), person.lips * lit, 0.92, 0.010)
    above = _bend(person, [*upper, (0.5 * half, seam + 0.004), (0, seam + 0.012), (-0.5 * half, seam + 0.004)])
    canvas.darken(pose.front(curve(above, 8, closed=True), LIPS_LIFT), 0.86, 0.010)
    x = 0.03 * np.sign(light.direction[0])
    shine = curve(_bend(person, [(x - 0.12, bottom - 0.055), (x, bottom - 0.052), (x + 0.12, bottom - 0.055)]))
    shine = pose.front(stroke(shine, (0.004, 0.034, 0.004)), LIPS_LIFT)
    canvas.paint(shine, (1, 1, 1), 0.22 + 0.25 * person.makeup, 0.014)
    if person.mouth_open > 0:
        _paint_teeth(canvas, person, pose, lit, seam)
    else:
        near = seam + 0.004
        line = [(-half, seam), (-0.4 * half, near), (0, seam + 0.014), (0.4 * half, near), (half, seam)]
        line = pose.front(stroke(curve(_bend(person, line)), (0.012, 0.020, 0.012)), LIPS_LIFT)
        canvas.paint(line, person.lips * (0.36, 0.28, 0.28), 0.9, 0.006)
    for corner in mouth_corners(person):
        canvas.darken(pose.front(ellipse(corner, 0.03, 0.022), LIPS_LIFT), REDDER, 0.018)


def _bend(person: Person, points: ArrayLike) -> Array:
    """Give the smile to points that are measured as if the mouth were straight."""
    bent = np.array(points)
    bent[:, 1] -= CURVE * person.smile * ((bent[:, 0] / mouth_corners(person)[1, 0]) ** 2 - 0.25)
    return bent


def _paint_teeth(canvas: Canvas, person: Person, pose: Pose, lit: Array, seam: float) -> None:
    inner, gap = 0.86 * mouth_corners(person)[1, 0], 0.15 * person.mouth_open
    upper = [(-1, seam), (-0.5, seam - 0.004), (0, seam + 0.008), (0.5, seam - 0.004), (1, seam)]
    lower = [(0.6, seam + 0.72 * gap), (0.25, seam + gap), (-0.25, seam + gap), (-0.6, seam + 0.72 * gap)]
    opening = _bend(person, [(x * inner, y) for x, y in upper + lower])
    shape = pose.front(curve(opening, 8, closed=True), LIPS_LIFT)
    part = canvas.part(shape, 2)
    mouth = part.coverage(shape, 0.005)
    part.blend(mouth, (0.24, 0.07, 0.07))
    rim = seam + min(0.092, 0.045 + 0.45 * gap)
    high, low = seam - 0.03, seam + 0.4 * (rim - seam)
    row = [(-0.92, high), (0.92, high), (0.84, low), (0.45, rim - 0.006), (0, rim), (-0.45, rim - 0.006), (-0.84, low)]
    row = _bend(person, [(x * inner, y) for x, y in row])
    teeth = mouth * part.coverage(pose.front(row, LIPS_LIFT), 0.008)
    part.blend(teeth, TEETH * np.minimum(lit * 1.08, 1))
    for x in (-0.235, -0.155, -0.078, 0, 0.078, 0.155, 0.235):
        between = stroke(_bend(person, [(x, seam - 0.02), (x * 0.98, rim)]), 0.008)
        part.shade(teeth * part.coverage(pose.front(between, LIPS_LIFT), 0.005), 0.84)
    lip_shadow = stroke(curve(_bend(person, [(-inner, seam), (0, seam + 0.005), (inner, seam)])), 0.035)
    part.shade(mouth * part.coverage(pose.front(lip_shadow, LIPS_LIFT), 0.015), 0.66)


def paint_eyes(canvas: Canvas, person: Person, pose: Pose, light: Light) -> None:
    """Both eyes: eye shadow, the ball within the opening of the lids, lid lines and the inner corner."""
    wide, tall = 0.222 * person.eye_size, 0.112 * person.eye_size * person.eye_open
    low = tall * (0.76 - 0.17 * max(person.smile, 0))
    inner, outer = (-wide, 0.025), (wide, -0.01)
    above = curve([inner, (-0.55 * wide, -0.72 * tall), (0.08 * wide, -tall), (0.66 * wide, -0.60 * tall), outer], 8)
    below = curve([inner, (-0.4 * wide, 0.85 * low), (0.3 * wide, low), outer], 8)
    for centre, side in zip(np.array(EYES), (-1, 1), strict=True):
        upper, lower = above * (side, 1) + centre, below * (side, 1) + centre
        if person.makeup > 0.2:
            colour = person.accent * 0.5 + 0.2 * person.skin
            canvas.paint(pose.front(stroke(upper - (0, 0.05), 0.10)), colour, 0.45 * person.makeup, 0.035)
        outline = pose.front(np.concatenate([upper, lower[::-1]]))
        part = canvas.part(outline, 2)
        opening, lit = part.coverage(outline, 0.004), light.ambient + (1 - light.ambient) * 0.85
        part.blend(opening, SCLERA * lit)
        at = centre + np.array(person.gaze) * 0.08 + (0, -0.006)
        radius = 0.116 * (0.5 + 0.5 * person.eye_size)
        glow = np.clip(person.iris * 1.5 + 0.05, 0, 1) * lit
        for shape, colour, soft in (
            (ellipse(at, radius, radius), person.iris * 0.35, 0.010),
            (ellipse(at, radius * 0.84, radius * 0.84), person.iris * lit, 0.012),
            (ellipse(at - (0, -0.02), radius * 0.62, radius * 0.55), glow, 0.02),
            (ellipse(at, radius * 0.43, radius * 0.43), (0.03, 0.025, 0.03), 0.008),
        ):
            part.blend(opening * part.coverage(pose.front(shape), soft), colour)
        part.shade(opening * part.coverage(pose.front(stroke(upper, 0.10)), 0.025), 0.66)
        glint = ellipse(at - radius * np.array((-0.36 * np.sign(light.direction[0]), 0.36)), 0.024, 0.026)
        part.blend(opening * part.coverage(pose.front(glint), 0.004), (1, 1, 1))
        crease = upper - (0, 0.055 * person.eye_size) + (upper - centre) * (0.04, 0.12)
        canvas.darken(pose.front(stroke(crease, (0.005, 0.030, 0.008))), 0.68, 0.010)
        thick = 0.022 + 0.020 * person.makeup
        if person.makeup > 0.3:
            upper = np.append(upper, [np.add(upper[-1], (0.05 * side, -0.035))], axis=0)
        canvas.paint(pose.front(stroke(upper, (thick * 0.45, thick, thick * 0.8))), (0.13, 0.08, 0.07), 0.92, 0.004)
        lower = stroke(lower, (0.004, 0.012 + 0.01 * person.makeup, 0.01))
        canvas.darken(pose.front(lower), (0.62, 0.48, 0.46), 0.006)
        corner = centre - (0.20 * side * person.eye_size, -0.02)
        canvas.paint(pose.front(ellipse(corner, 0.022, 0.016)), person.skin * (0.88, 0.58, 0.56), 0.7, 0.008)


def paint_brows(canvas: Canvas, person: Person, pose: Pose) -> None:
    """Both brows: a tapered stroke with a soft edge, in the hair's colour or darker."""
    colour = np.minimum(person.hair * 0.62, 1 if person.hair_colour == "gray" else 0.42)
    arch = person.brow_arch
    line = curve([(0.16, -0.245), (0.34, -0.285 - 0.4 * arch), (0.57, -0.285 - arch), (0.76, -0.20)])
    for side in (-1, 1):
        brow = (line - (0, 0.03 * person.eye_open)) * (side, 1)
        for scale, opacity, soft in ((1.25, 0.45, 0.022), (0.8, 0.75, 0.010)):
            widths = np.array([0.045, 0.078, 0.012]) * person.brow_thick * scale
            canvas.paint(pose.front(stroke(brow, widths)), colour, opacity, soft)
