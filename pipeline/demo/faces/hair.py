"""Hair behind and before the face, and beards: outlines filled with strands."""

from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.demo.faces import curves
from pipeline.demo.faces.canvas import Canvas, Floats
from pipeline.demo.faces.curves import Points
from pipeline.demo.faces.head import Light, outline
from pipeline.demo.faces.pose import Pose
from pipeline.demo.faces.traits import HairStyle, Traits

CROWN = -2.1
"""Height in face coordinates of the point from which strands fall."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """Volume above and beside the skull, how far down the front locks reach, and how wide they hang."""

    top: float
    side: float
    front_down: float
    back_down: float
    flare: float
    locks: float


CUTS: dict[HairStyle, _Cut] = {
    "buzz": _Cut(0.03, 0.02, -0.10, 0.0, 0.0, 0.02),
    "short": _Cut(0.16, 0.07, 0.02, 0.0, 0.0, 0.05),
    "swept": _Cut(0.30, 0.07, 0.0, 0.0, 0.0, 0.04),
    "bob": _Cut(0.22, 0.26, 1.18, 1.30, 0.10, 0.24),
    "long": _Cut(0.22, 0.24, 2.3, 2.6, 0.24, 0.20),
    "curly": _Cut(0.42, 0.42, 0.85, 1.05, 0.10, 0.20),
    "bun": _Cut(0.12, 0.05, -0.05, 0.0, 0.0, 0.04),
}


def paint_back_hair(canvas: Canvas, traits: Traits, pose: Pose, light: Light, rng: np.random.Generator) -> None:
    """What hangs behind the neck, or is knotted on top."""
    if traits.hair_style == "bald":
        return
    cut = CUTS[traits.hair_style]
    if traits.hair_style == "bun" and not traits.hat:
        knot = curves.ellipse((traits.parting * 0.3, -1.68), 0.42, 0.34)
        _fill(canvas, pose.flat(knot), 0.8, traits=traits, pose=pose, light=light, rng=rng)
    if cut.back_down <= 0:
        return
    side, down = 1.0 + cut.side, cut.back_down
    flare = side + cut.flare * 0.7, side + cut.flare
    right = [(0, -1.3), (side * 0.9, -0.9), (side, 0.1), (flare[0], 0.55 * down), (flare[1], 0.85 * down)]
    right += [(0.72 * side, down), (0, down * 0.96)]
    shape = _bumpy(curves.closed(curves.mirrored(right)), traits, rng)
    _fill(canvas, pose.flat(shape), 0.55, traits=traits, pose=pose, light=light, rng=rng)


def paint_front_hair(canvas: Canvas, traits: Traits, pose: Pose, light: Light, rng: np.random.Generator) -> None:
    """The cap of hair from the hairline over the skull, with locks beside the face; first the shadow it casts."""
    if traits.hair_style == "bald":
        return
    cut = CUTS[traits.hair_style]
    contour, hairline = _contour(traits, cut), _hairline(traits, cut, rng)
    inner = pose.front(hairline, 0.04)
    shape = np.concatenate([pose.flat(_bumpy(contour, traits, rng)), inner[::-1]])
    face = pose.flat(outline(traits))
    box = canvas.box(face)
    if box is not None:
        cast = shape + np.array([-0.05 * light.direction[0], 0.09]) * pose.unit
        mask = canvas.coverage(face, box) * canvas.coverage(cast, box, 0.05 * pose.unit)
        canvas.shade(box, mask, np.array([0.70, 0.62, 0.60]))
    if traits.hair_style == "buzz":
        canvas.paint(shape, traits.hair * 0.8, 0.78, 0.05 * pose.unit)
    else:
        _fill(canvas, shape, 1.0, traits=traits, pose=pose, light=light, rng=rng)


def paint_beard(canvas: Canvas, traits: Traits, pose: Pose, rng: np.random.Generator) -> None:
    """Stubble, mustache, goatee or a full beard; the mouth is painted over it."""
    colour = traits.hair * 0.72
    jaw = outline(traits)
    low = jaw[jaw[:, 1] > 0.12]
    low = low[np.argsort(np.arctan2(low[:, 0], low[:, 1] - 0.1))] * (1.005, 1.0)
    cheek = [(0.93, 0.14), (0.74, 0.50), (0.50, 0.60), (0.20, 0.60)]
    cheeks = curves.through([*cheek, (0, 0.63), *((-x, y) for x, y in reversed(cheek))])
    full = np.concatenate([pose.flat(low), pose.front(cheeks)])
    if traits.beard == "stubble":
        _tuft(canvas, full, 0.34, 0.09, colour=colour, pose=pose, rng=rng)
    elif traits.beard == "full":
        _tuft(canvas, full, 0.90, 0.035, colour=colour, pose=pose, rng=rng)
    if traits.beard in ("mustache", "goatee"):
        right = [(0, 0.64), (0.16, 0.645), (0.34, 0.72), (0.42, 0.86), (0.30, 0.795), (0.14, 0.765), (0, 0.775)]
        _tuft(
            canvas,
            pose.front(curves.closed(curves.mirrored(right)), 0.06),
            0.90,
            0.018,
            colour=colour,
            pose=pose,
            rng=rng,
        )
    if traits.beard == "goatee":
        right = [(0, 1.00), (0.16, 1.02), (0.30, 0.98), (0.32, 1.16), (0.18, 1.36), (0, 1.40)]
        _tuft(
            canvas,
            pose.front(curves.closed(curves.mirrored(right)), 0.04),
            0.88,
            0.03,
            colour=colour,
            pose=pose,
            rng=rng,
        )


def _contour(traits: Traits, cut: _Cut) -> Points:
    side, tall, down = 1 + cut.side, 1 + cut.top / 1.4, cut.front_down
    lean = 0.10 * np.sign(traits.parting) if traits.hair_style == "swept" else 0.0
    right = [(0.50 * side, -1.31 * tall), (0.86 * side, -0.96 * tall), (side, -0.42)]
    if down > 0.5:
        right.append((side + 0.5 * cut.flare, 0.4 * down))
    right.append((side + cut.flare, down))
    shift = np.clip(-np.array(right)[:, 1:], 0, 1) * (lean, 0)
    left = np.array(right) * (-1, 1) + shift
    return curves.through([*left[::-1], (lean, -1.40 * tall), *(np.array(right) + shift)])


def _hairline(traits: Traits, cut: _Cut, rng: np.random.Generator) -> Points:
    recede = 0.12 * max(traits.age - 0.5, 0) * (traits.beard != "none")
    part, down = traits.parting, cut.front_down
    inside = 1.0 - cut.locks
    sides = [(inside, 0.55 * down), (0.97 - 0.5 * cut.locks, -0.05)] if down > 0.5 else [(0.975, -0.22)]
    edge = inside + (cut.flare if down > 0.5 else 0.0)
    if traits.bangs and traits.hair_style not in ("buzz", "bun", "swept"):
        xs = np.linspace(0.80, -0.80, 9)
        top = [(x, -0.36 - 0.10 * (1 - abs(x)) + 0.05 * rng.uniform(-1, 1)) for x in xs]
    else:
        high = -0.84 - recede
        top = [
            (0.84, -0.55),
            (0.62 + 0.1 * part, high),
            (part * 0.6, high - 0.2),
            (-0.62 + 0.1 * part, high),
            (-0.84, -0.55),
        ]
    right = [(edge, down), *sides]
    left = [(-x, y) for x, y in right]
    return curves.through([*left, *top[::-1], *right[::-1]])


def _bumpy(shape: Points, traits: Traits, rng: np.random.Generator) -> Points:
    amount = {"curly": 0.055, "buzz": 0.0}.get(traits.hair_style, 0.006 + 0.030 * traits.waves)
    count = len(shape)
    steps = np.arange(count)
    waves = np.zeros(count)
    for frequency in (count // 6, count // 3):
        waves += np.sin(2 * np.pi * (frequency * steps / count + rng.random())) * rng.uniform(0.5, 1)
    middle = np.array([0, min(float(shape[:, 1].mean()), 0.4)])
    outward = shape - middle
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-6)
    return shape + outward * (amount * waves)[:, None]


def _fill(
    canvas: Canvas, shape: Points, bright: float, *, traits: Traits, pose: Pose, light: Light, rng: np.random.Generator
) -> None:
    box = canvas.box(shape, 0.05 * pose.unit)
    if box is None:
        return
    x, y = pose.grid(box)
    strands = _strands(x, y, traits, rng)
    round_x, round_y = x / np.float32(1.5), (y + np.float32(0.2)) / np.float32(1.9)
    lamp = np.array(light.direction) / np.linalg.norm(light.direction)
    facing = np.clip(0.55 + 0.6 * (round_x * lamp[0] + round_y * lamp[1]) + 0.1 * lamp[2], 0.15, 1.2).astype(np.float32)
    fall = np.sqrt((x - np.float32(traits.parting * 0.4)) ** 2 + (y - np.float32(CROWN)) ** 2)
    band = np.exp(-(((fall - np.float32(1.15) + 0.06 * strands) / np.float32(0.22)) ** 2)) * facing
    level = (0.52 + 0.52 * facing) * (1 + 0.24 * strands)
    colour = traits.hair.astype(np.float32) * (level * np.float32(bright))[..., None]
    colour += (band * np.clip(0.5 + strands, 0, 1.4) * np.float32(0.16 * bright))[..., None] * np.float32(
        0.4 + 0.6 * traits.hair
    )
    mask = canvas.coverage(shape, box, (0.035 if traits.hair_style == "curly" else 0.014) * pose.unit)
    ragged = np.clip(mask * (1 + 0.5 * strands * (1 - mask)), 0, 1)
    canvas.blend(box, ragged, np.clip(colour, 0, 1))


def _strands(x: Floats, y: Floats, traits: Traits, rng: np.random.Generator) -> Floats:
    """Brightness along strands that fall from the crown, or in curls; mean 0, standard deviation near 0.6."""
    table = _grain(rng)
    angle = np.arctan2(x - np.float32(traits.parting * 0.4), y - np.float32(CROWN))
    along = np.sqrt(x**2 + (y - np.float32(CROWN)) ** 2)
    if traits.hair_style == "curly":
        return 0.55 * _look_up(table, 9 * x + 1.4 * np.sin(9 * y), 9 * y + 1.4 * np.sin(8 * x)) + 0.3 * _look_up(
            table, 22 * x, 22 * y
        )
    swing = np.float32(0.10 * traits.waves) * np.sin(np.float32(5.5) * along + np.float32(rng.uniform(0, 6)))
    fine = _look_up(table, (angle + swing) * 66, along * 1.6)
    coarse = _look_up(table, (angle + swing) * 19 + 100, along * 0.9)
    return 0.45 * fine + 0.45 * coarse


def _grain(rng: np.random.Generator) -> Floats:
    """Noise that repeats without a seam, standard deviation near 1."""
    noise = np.pad(rng.standard_normal((64, 512), np.float32), 3, mode="wrap")
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 0.7), np.float32)[3:-3, 3:-3] * np.float32(1.6)


def _look_up(table: Floats, column: Floats, row: Floats) -> Floats:
    columns = np.mod(column, table.shape[1]).astype(np.float32)
    rows = np.mod(row, table.shape[0]).astype(np.float32)
    return np.asarray(cv2.remap(table, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.float32)


def _tuft(
    canvas: Canvas, shape: Points, opacity: float, soft: float, *, colour: Points, pose: Pose, rng: np.random.Generator
) -> None:
    box = canvas.box(shape, 3 * soft * pose.unit)
    if box is None:
        return
    x, y = pose.grid(box)
    grain = _look_up(_grain(rng), x * 42 + 3 * np.sin(4 * y), y * 13)
    mask = canvas.coverage(shape, box, soft * pose.unit)
    dense = np.clip(mask * (1 + 0.35 * grain * (1.2 - mask)), 0, 1)
    canvas.blend(box, dense, np.clip(colour.astype(np.float32) * (1 + 0.22 * grain)[..., None], 0, 1), opacity)
