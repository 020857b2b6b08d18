"""Eyes and brows."""

from dataclasses import dataclass

import numpy as np

from pipeline.demo.faces import curves
from pipeline.demo.faces.canvas import Box, Canvas, Floats
from pipeline.demo.faces.curves import Points
from pipeline.demo.faces.head import EYES, Light
from pipeline.demo.faces.pose import Pose
from pipeline.demo.faces.traits import Traits

LASHES = np.array([0.13, 0.08, 0.07])
SCLERA = np.array([0.94, 0.92, 0.90])
PUPIL = np.array([0.03, 0.025, 0.03])


@dataclass(frozen=True, slots=True)
class _Opening:
    """What the lids leave open of one eye, as a mask over its box; lids in face coordinates, left to right."""

    side: int
    centre: tuple[float, float]
    upper: Points
    lower: Points
    box: Box
    mask: Floats


def paint_eyes(canvas: Canvas, traits: Traits, pose: Pose, light: Light) -> None:
    """Both eyes: lids, white, iris, pupil and catchlight, each clipped by the lids."""
    for centre, side in zip(EYES, (-1, 1), strict=True):
        upper, lower = _lids(traits, centre, side)
        if traits.makeup > 0.2:
            colour = traits.accent * 0.5 + 0.2 * traits.skin
            canvas.paint(
                pose.front(curves.stroke(upper - (0, 0.05), 0.10)), colour, 0.45 * traits.makeup, 0.035 * pose.unit
            )
        outline = pose.front(np.concatenate([upper, lower[::-1]]))
        box = canvas.box(outline, 2)
        if box is None:
            continue
        opening = _Opening(side, centre, upper, lower, box, canvas.coverage(outline, box, 0.004 * pose.unit))
        _ball(canvas, traits, pose, light, opening)
        _lid_lines(canvas, traits, pose, opening)


def paint_brows(canvas: Canvas, traits: Traits, pose: Pose) -> None:
    """Both brows: a tapered stroke with a soft edge, in the hair's colour or darker."""
    colour = np.minimum(traits.hair * 0.62, 0.42) if traits.hair_colour != "gray" else traits.hair * 0.62
    for side in (-1, 1):
        arch, lift = traits.brow_arch, 0.03 * traits.eye_open
        line = curves.through([(0.16, -0.245), (0.34, -0.285 - 0.4 * arch), (0.57, -0.285 - arch), (0.76, -0.20)])
        line = (line - (0, lift)) * (side, 1)
        widths = curves.taper(len(line), 0.045, 0.078, 0.012) * traits.brow_thick
        canvas.paint(pose.front(curves.stroke(line, widths * 1.25)), colour, 0.45, 0.022 * pose.unit)
        canvas.paint(pose.front(curves.stroke(line, widths * 0.8)), colour, 0.75, 0.010 * pose.unit)


def _lids(traits: Traits, centre: tuple[float, float], side: int) -> tuple[Points, Points]:
    wide, tall = 0.222 * traits.eye_size, 0.112 * traits.eye_size * traits.eye_open
    below = tall * (0.76 - 0.17 * max(traits.smile, 0))
    upper = curves.through(
        [
            (-wide, 0.025),
            (-0.55 * wide, -0.72 * tall),
            (0.08 * wide, -tall),
            (0.66 * wide, -0.60 * tall),
            (wide, -0.01),
        ],
        8,
    )
    lower = curves.through([(-wide, 0.025), (-0.4 * wide, 0.85 * below), (0.3 * wide, below), (wide, -0.01)], 8)
    return upper * (side, 1) + centre, lower * (side, 1) + centre


def _ball(canvas: Canvas, traits: Traits, pose: Pose, light: Light, opening: _Opening) -> None:
    lit = light.ambient + (1 - light.ambient) * 0.85

    def clipped(shape: Points, colour: Points, soft: float) -> None:
        mask = canvas.coverage(pose.front(shape), opening.box, soft * pose.unit)
        canvas.blend(opening.box, opening.mask * mask, colour)

    canvas.blend(opening.box, opening.mask, SCLERA * lit)
    at = np.array(opening.centre) + np.array(traits.gaze) * 0.08 + (0, -0.006)
    radius = 0.116 * (0.5 + 0.5 * traits.eye_size)
    clipped(curves.ellipse(at, radius, radius), traits.iris * 0.35, 0.010)
    clipped(curves.ellipse(at, radius * 0.84, radius * 0.84), traits.iris * lit, 0.012)
    clipped(
        curves.ellipse(at - (0, -0.02), radius * 0.62, radius * 0.55),
        np.clip(traits.iris * 1.5 + 0.05, 0, 1) * lit,
        0.02,
    )
    clipped(curves.ellipse(at, radius * 0.43, radius * 0.43), PUPIL, 0.008)
    cast = canvas.coverage(pose.front(curves.stroke(opening.upper, 0.10)), opening.box, 0.025 * pose.unit)
    canvas.shade(opening.box, opening.mask * cast, 0.66)
    glint = at - radius * np.array((-0.36 * np.sign(light.direction[0]), 0.36))
    clipped(curves.ellipse(glint, 0.024, 0.026), np.ones(3), 0.004)


def _lid_lines(canvas: Canvas, traits: Traits, pose: Pose, opening: _Opening) -> None:
    crease = opening.upper - (0, 0.055 * traits.eye_size) + (opening.upper - opening.centre) * (0.04, 0.12)
    canvas.darken(
        pose.front(curves.stroke(crease, curves.taper(len(crease), 0.005, 0.030, 0.008))), 0.68, 0.010 * pose.unit
    )
    thick = 0.022 + 0.020 * traits.makeup
    line = opening.upper
    if traits.makeup > 0.3:
        line = np.concatenate([line, line[-1:] + np.array([[0.05 * opening.side, -0.035]])])
    widths = curves.taper(len(line), thick * 0.45, thick, thick * 0.8)
    canvas.paint(pose.front(curves.stroke(line, widths)), LASHES, 0.92, 0.004 * pose.unit)
    below = curves.stroke(opening.lower, curves.taper(len(opening.lower), 0.004, 0.012 + 0.01 * traits.makeup, 0.01))
    canvas.darken(pose.front(below), np.array([0.62, 0.48, 0.46]), 0.006 * pose.unit)
    corner = np.array(opening.centre) - (0.20 * opening.side * traits.eye_size, -0.02)
    canvas.paint(
        pose.front(curves.ellipse(corner, 0.022, 0.016)), traits.skin * (0.88, 0.58, 0.56), 0.7, 0.008 * pose.unit
    )
