"""Hair behind and before the face, and beards: outlines filled with strands."""

from typing import NamedTuple

import cv2
import numpy as np

from pipeline.demo.canvas import Array, Canvas, Rng, curve, ellipse, symmetric
from pipeline.demo.head import Light, Pose, outline
from pipeline.demo.person import Person

CROWN = -2.1  # height of the point from which strands fall


class Cut(NamedTuple):
    """Volume above and at the sides of the skull, how far hair hangs in front and behind, and how wide, in units."""

    top: float
    side: float
    front_down: float = 0.0
    back_down: float = 0.0
    flare: float = 0.0
    locks: float = 0.04


CUTS = {
    "buzz": Cut(0.03, 0.02, -0.10, locks=0.02),
    "short": Cut(0.16, 0.07, 0.02, locks=0.05),
    "swept": Cut(0.30, 0.07),
    "bob": Cut(0.22, 0.26, 1.18, 1.30, 0.10, 0.24),
    "long": Cut(0.22, 0.24, 2.3, 2.6, 0.24, 0.20),
    "curly": Cut(0.42, 0.42, 0.85, 1.05, 0.10, 0.20),
    "bun": Cut(0.12, 0.05, -0.05),
}


def paint_back_hair(canvas: Canvas, person: Person, pose: Pose, light: Light, rng: Rng) -> None:
    """What hangs behind the neck, or is knotted on top."""
    if person.hair_style == "bun" and not person.hat:
        knot = ellipse((person.parting * 0.3, -1.68), 0.42, 0.34)
        _fill(canvas, pose.flat(knot), 0.8, person=person, pose=pose, light=light, rng=rng)
    cut = CUTS.get(person.hair_style)
    if cut and cut.back_down:
        side, down = 1.0 + cut.side, cut.back_down
        right = [(0, -1.3), (side * 0.9, -0.9), (side, 0.1), (side + cut.flare * 0.7, 0.55 * down)]
        right += [(side + cut.flare, 0.85 * down), (0.72 * side, down), (0, down * 0.96)]
        shape = pose.flat(_bumpy(symmetric(right), person, rng))
        _fill(canvas, shape, 0.55, person=person, pose=pose, light=light, rng=rng)


def paint_front_hair(canvas: Canvas, person: Person, pose: Pose, light: Light, rng: Rng) -> None:
    """The shadow on the face, then the cap of hair from the hairline over the skull, with locks at its sides."""
    cut = CUTS[person.hair_style]
    hairline = pose.front(_hairline(person, cut, rng), 0.04)
    shape = np.concatenate([pose.flat(_bumpy(_contour(person, cut), person, rng)), hairline[::-1]])
    face = pose.flat(outline(person))
    part = canvas.part(face)
    cast = part.coverage(shape + np.array([-0.05 * light.direction[0], 0.09]) * pose.unit, 0.05)
    part.shade(part.coverage(face) * cast, (0.70, 0.62, 0.60))
    if person.hair_style == "buzz":
        canvas.paint(shape, person.hair * 0.8, 0.78, 0.05)
    else:
        _fill(canvas, shape, 1.0, person=person, pose=pose, light=light, rng=rng)


def paint_beard(canvas: Canvas, person: Person, pose: Pose, rng: Rng) -> None:
    """Stubble, mustache, goatee or a full beard; the mouth is painted over it."""
    jaw = outline(person)
    jaw = jaw[jaw[:, 1] > 0.12]
    jaw = jaw[np.argsort(np.arctan2(jaw[:, 0], jaw[:, 1] - 0.1))] * (1.005, 1.0)
    cheek = [(0.93, 0.14), (0.74, 0.50), (0.50, 0.60), (0.20, 0.60)]
    cheeks = curve([*cheek, (0, 0.63), *((-x, y) for x, y in reversed(cheek))])
    full = np.concatenate([pose.flat(jaw), pose.front(cheeks)])
    lip = [(0, 0.64), (0.16, 0.645), (0.34, 0.72), (0.42, 0.86), (0.30, 0.795), (0.14, 0.765), (0, 0.775)]
    mustache = pose.front(symmetric(lip), 0.06), 0.90, 0.018
    chin = [(0, 1.00), (0.16, 1.02), (0.30, 0.98), (0.32, 1.16), (0.18, 1.36), (0, 1.40)]
    tufts = {
        "none": [],
        "stubble": [(full, 0.34, 0.09)],
        "full": [(full, 0.90, 0.035)],
        "mustache": [mustache],
        "goatee": [mustache, (pose.front(symmetric(chin), 0.04), 0.88, 0.03)],
    }
    for shape, opacity, soft in tufts[person.beard]:
        part = canvas.part(shape, 3 * soft * pose.unit)
        if not part.image_HWC.size:
            continue
        x, y = pose.grid(part)
        grain = _look_up(_grain(rng), x * 42 + 3 * np.sin(4 * y), y * 13)
        mask = part.coverage(shape, soft)
        dense = np.clip(mask * (1 + 0.35 * grain * (1.2 - mask)), 0, 1)
        colour = (person.hair * 0.72).astype(np.float32) * (1 + 0.22 * grain)[..., None]
        part.blend(dense, np.clip(colour, 0, 1), opacity)


def _contour(person: Person, cut: Cut) -> Array:
    """The hair's outer edge, from the left lock over the crown to the right one."""
    side, tall, down = 1 + cut.side, 1 + cut.top / 1.4, cut.front_down
    lean = 0.10 * np.sign(person.parting) if person.hair_style == "swept" else 0.0
    hanging = [(side + 0.5 * cut.flare, 0.4 * down)] if down > 0.5 else []
    right = np.array([(0.50 * side, -1.31 * tall), (0.86 * side, -0.96 * tall), (side, -0.42), *hanging,
                      (side + cut.flare, down)])  # fmt: skip
    shift = np.clip(-right[:, 1:], 0, 1) * (lean, 0)
    return curve([*(right * (-1, 1) + shift)[::-1], (lean, -1.40 * tall), *(right + shift)])


def _hairline(person: Person, cut: Cut, rng: Rng) -> Array:
    """The hair's inner edge: left lock, forehead with or without bangs, right lock."""
    part, down, inside = person.parting, cut.front_down, 1.0 - cut.locks
    if person.bangs and person.hair_style not in ("buzz", "bun", "swept"):
        xs = np.linspace(0.80, -0.80, 9)
        top = [(x, -0.36 - 0.10 * (1 - abs(x)) + 0.05 * rng.uniform(-1, 1)) for x in xs]
    else:
        high = -0.84 - 0.12 * max(person.age - 0.5, 0) * (person.beard != "none")
        top = [(0.84, -0.55), (0.62 + 0.1 * part, high), (part * 0.6, high - 0.2), (-0.62 + 0.1 * part, high),
               (-0.84, -0.55)]  # fmt: skip
    if down > 0.5:
        right = [(inside + cut.flare, down), (inside, 0.55 * down), (0.97 - 0.5 * cut.locks, -0.05)]
    else:
        right = [(inside, down), (0.975, -0.22)]
    return curve([*((-x, y) for x, y in right), *top[::-1], *right[::-1]])


def _bumpy(shape: Array, person: Person, rng: Rng) -> Array:
    """Move an outline in and out in waves."""
    amount = {"curly": 0.055, "buzz": 0.0}.get(person.hair_style, 0.006 + 0.030 * person.waves)
    count = len(shape)
    waves = np.zeros(count)
    for frequency in (count // 6, count // 3):
        waves += np.sin(2 * np.pi * (frequency * np.arange(count) / count + rng.random())) * rng.uniform(0.5, 1)
    outward = shape - np.array([0, min(float(shape[:, 1].mean()), 0.4)])
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-6)
    return shape + outward * (amount * waves)[:, None]


def _fill(canvas: Canvas, shape: Array, bright: float, *, person: Person, pose: Pose, light: Light, rng: Rng) -> None:
    """Fill an outline with curls, or strands that fall from the crown, lit on one side, with a band of gloss."""
    part = canvas.part(shape, 0.05 * pose.unit)
    if not part.image_HWC.size:
        return
    x, y = pose.grid(part)
    table = _grain(rng)
    if person.hair_style == "curly":
        curls = _look_up(table, 9 * x + 1.4 * np.sin(9 * y), 9 * y + 1.4 * np.sin(8 * x))
        strands = 0.55 * curls + 0.3 * _look_up(table, 22 * x, 22 * y)
    else:
        along = np.sqrt(x**2 + (y - CROWN) ** 2)
        swing = 0.10 * person.waves * np.sin(5.5 * along + rng.uniform(0, 6))
        angle = np.arctan2(x - person.parting * 0.4, y - CROWN) + swing
        strands = 0.45 * _look_up(table, angle * 66, along * 1.6)
        strands += 0.45 * _look_up(table, angle * 19 + 100, along * 0.9)
    lamp = np.array(light.direction) / np.linalg.norm(light.direction)
    facing = 0.55 + 0.6 * (x / 1.5 * lamp[0] + (y + 0.2) / 1.9 * lamp[1]) + 0.1 * lamp[2]
    facing = np.clip(facing, 0.15, 1.2).astype(np.float32)
    fall = np.sqrt((x - person.parting * 0.4) ** 2 + (y - CROWN) ** 2)
    band = np.exp(-(((fall - 1.15 + 0.06 * strands) / 0.22) ** 2)) * facing
    level = (0.52 + 0.52 * facing) * (1 + 0.24 * strands)
    gloss = band * np.clip(0.5 + strands, 0, 1.4) * (0.16 * bright)
    colour = person.hair.astype(np.float32) * (level * bright)[..., None]
    colour += gloss[..., None] * np.float32(0.4 + 0.6 * person.hair)
    mask = part.coverage(shape, 0.035 if person.hair_style == "curly" else 0.014)
    ragged = np.clip(mask * (1 + 0.5 * strands * (1 - mask)), 0, 1)
    part.blend(ragged, np.clip(colour, 0, 1))


def _grain(rng: Rng) -> Array:
    """Noise that repeats without a seam, standard deviation near 1."""
    noise = np.pad(rng.standard_normal((64, 512), np.float32), 3, mode="wrap")
    return cv2.GaussianBlur(noise, (0, 0), 0.7)[3:-3, 3:-3] * 1.6


def _look_up(table: Array, column: Array, row: Array) -> Array:
    columns, rows = np.mod(column, 512).astype(np.float32), np.mod(row, 64).astype(np.float32)
    return cv2.remap(table, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
