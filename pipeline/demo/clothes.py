"""Shoulders with clothes, and what people wear on the head: glasses, hats, earrings."""

import numpy as np
from numpy.typing import ArrayLike

from pipeline.demo.canvas import Array, Canvas, Rng, curve, ellipse, noise, stroke, symmetric
from pipeline.demo.head import EYES, Light, Pose
from pipeline.demo.person import Person

WHITE, GOLD = np.array([0.93, 0.93, 0.92]), np.array([0.86, 0.70, 0.36])
NECK_DEPTH = {"vneck": 2.55, "jacket": 2.2, "shirt": 2.05, "round": 2.0, "stripes": 2.0}  # the neckline's lowest y


def paint_clothes(canvas: Canvas, person: Person, body: Pose, light: Light, rng: Rng) -> None:
    """Shoulders in cloth with a neckline, lit from one side, with soft folds; then collar and necklace."""
    if person.clothes == "turtleneck":
        neckline = curve([(-0.60, 1.34), (0, 1.60), (0.60, 1.34)])
    else:
        deep = NECK_DEPTH[person.clothes]
        middle = (1.66 + deep) / 2 + 0.08
        neckline = curve([(-0.68, 1.66), (-0.42, middle), (0, deep), (0.42, middle), (0.68, 1.66)])
    shoulder = curve([(1.15, 1.86), (1.75, 2.10), (2.20, 2.55), (2.42, 3.6), (2.5, 12.0)])
    pixels = body.flat(np.concatenate([neckline, shoulder, [(-2.5, 12.0)], shoulder[::-1] * (-1, 1)]))
    part = canvas.part(pixels)
    if not part.image_HWC.size:
        return
    shape, (x, y) = part.image_HWC.shape[:2], body.grid(part)
    cloth = np.broadcast_to(person.cloth.astype(np.float32), (*shape, 3)).copy()
    if person.clothes == "stripes":
        stripe = np.clip(np.sin((y + 0.06 * x**2) * 21) * 4, 0, 1)[..., None]
        cloth += stripe * (person.accent.astype(np.float32) - cloth)
    if person.clothes == "turtleneck":
        cloth *= (1 + 0.10 * np.sin(x * 60))[..., None]
    folds = noise(rng, shape, max(0.8 * body.unit, 4), 2)
    side = np.clip(0.86 + 0.16 * x * light.direction[0] / 1.5 + 0.035 * folds, 0.35, 1.15)
    falling = np.clip(1.06 - 0.10 * (y - 1.8), 0.6, 1.06)
    part.blend(part.coverage(pixels, 0.008), np.clip(cloth * (side * falling)[..., None], 0, 1))
    canvas.darken(body.flat(stroke(neckline, 0.05)), 0.72, 0.02)
    if person.clothes in ("jacket", "shirt"):
        _paint_collar(canvas, person, body)
    if person.necklace and person.clothes in ("round", "vneck", "stripes"):
        chain = curve([(-0.60, 1.62), (-0.34, 1.92), (0, 2.04), (0.34, 1.92), (0.60, 1.62)])
        canvas.paint(body.flat(stroke(chain, 0.022)), GOLD, 0.9, 0.004)
        canvas.paint(body.flat(ellipse((0, 2.08), 0.05, 0.06)), GOLD * 1.1, 1.0, 0.004)


def _paint_collar(canvas: Canvas, person: Person, body: Pose) -> None:
    """Of a shirt, with its buttons, or of a jacket over a white shirt with a necktie."""
    jacket = person.clothes == "jacket"
    white = WHITE if jacket else np.minimum(person.cloth * 1.08, 1)

    def lay(points: ArrayLike, colour: Array, opacity: float = 1.0) -> None:
        canvas.paint(body.flat(points), colour, opacity, 0.006)

    if jacket:
        lay([(-0.66, 1.70), (0.66, 1.70), (0.36, 3.0), (0, 4.2), (-0.36, 3.0)], white * 0.94)
        lay([(-0.13, 2.02), (0.13, 2.02), (0.20, 3.6), (0, 4.0), (-0.20, 3.6)], person.accent)
        lay([(-0.16, 1.86), (0.16, 1.86), (0.10, 2.10), (-0.10, 2.10)], person.accent * 0.85)
    lapel = [(0.74, 1.74), (0.95, 2.35), (0.70, 2.45), (0.16, 3.9), (0.40, 2.6)], -0.03, 0.62, person.cloth * 0.88
    flap = [(0.66, 1.52), (0.74, 1.78), (0.46, 2.28), (0.06, 1.98)], 0.05, 0.66, white
    for side in (-1, 1):
        for points, down, shadow, colour in (lapel, flap) if jacket else (flap,):
            piece = np.array(points) * (side, 1)
            canvas.darken(body.flat(np.add(piece, (0, down))), shadow, 0.03)
            lay(piece, colour)
    if not jacket:
        for y in (2.35, 2.85, 3.35):
            lay(ellipse((0.02, y), 0.045, 0.045), WHITE * 0.85, 0.9)


def paint_earrings(canvas: Canvas, pose: Pose) -> None:
    """A stud and a drop at each ear."""
    for side in (-1, 1):
        for y, size in ((0.44, 0.035), (0.53, 0.055)):
            at = np.array((side * 1.02 - 0.25 * np.sin(pose.yaw), y))
            canvas.paint(pose.flat(ellipse(at, size, size)), GOLD, 1.0, 0.004)
            canvas.paint(pose.flat(ellipse(at - size * 0.3, size * 0.35, size * 0.35)), (1, 1, 1), 0.8, 0.006)


def paint_eyewear(canvas: Canvas, person: Person, pose: Pose, light: Light) -> None:
    """Glasses or sunglasses: temples, lenses with a reflection, rims, bridge."""
    sun = person.eyewear == "sunglasses"
    frame = np.array([0.08, 0.08, 0.09]) if sun or person.brow_thick > 1 else person.accent * 0.55
    power = 3.6 if person.jaw > 1 else 2.2
    wide, tall, thick = (0.36, 0.27, 0.05) if sun else (0.335, 0.245, 0.036)
    turn = 0.3 * np.sin(pose.yaw)
    for (eye_x, eye_y), side in zip(EYES, (-1, 1), strict=True):
        arm = np.array([(side * 0.80 + turn, -0.06), (side * 1.02 + turn, -0.06)])
        canvas.paint(pose.flat(stroke(arm, 0.05)), frame, 1.0, 0.004)
        middle = eye_x * 1.02, eye_y + 0.04
        outer = pose.front(ellipse(middle, wide + thick, tall + thick, power), 0.1)
        part = canvas.part(outer, 2)
        lens = part.coverage(pose.front(ellipse(middle, wide, tall, power), 0.1), 0.003)
        rim = np.clip(part.coverage(outer, 0.003) - lens, 0, 1)
        part.shade(lens, 0.94)
        if sun:
            part.blend(lens, (0.10, 0.09, 0.10), 0.90)
        glare = np.array([(-0.28, -0.24), (-0.06, -0.24), (-0.24, 0.30), (-0.46, 0.30)])
        glare[:, 0] += eye_x + 0.1 * light.direction[0]
        part.blend(lens * part.coverage(pose.front(glare, 0.1), 0.02), (1, 1, 1), 0.16)
        part.blend(rim, frame)
    bridge = curve([(-0.13, 0.0), (0, -0.05), (0.13, 0.0)])
    canvas.paint(pose.front(stroke(bridge, thick * 1.1), 0.16), frame, 1.0, 0.004)


def paint_hat(canvas: Canvas, person: Person, pose: Pose, light: Light) -> None:
    """Its shadow on the forehead, a knitted cap, and its turned-up band."""
    shadow = [(-0.95, -0.55), (0.95, -0.55), (0.90, -0.36), (0, -0.46), (-0.90, -0.36)]
    canvas.darken(pose.front(shadow), 0.66, 0.05)
    wool = person.accent.astype(np.float32)
    cap = pose.flat(symmetric([(0, -1.86), (0.66, -1.66), (1.04, -1.05), (1.08, -0.55), (0, -0.70)]))
    part = canvas.part(cap)
    x, y = pose.grid(part)
    knit = 1 + 0.09 * np.sin(x * 44) * np.sin(y * 36)
    knit *= np.clip(0.88 + 0.22 * x * light.direction[0] - 0.10 * x**2, 0.4, 1.15)
    part.blend(part.coverage(cap, 0.012), np.clip(wool * knit[..., None], 0, 1))
    band = [(-1.11, -0.40), (-1.13, -0.80), (0, -1.00), (1.13, -0.80), (1.11, -0.40), (0, -0.62)]
    band = pose.flat(curve(band, closed=True))
    part = canvas.part(band)
    x, _ = pose.grid(part)
    ribs = (1.02 + 0.14 * np.sin(x * 52)) * np.clip(0.92 + 0.2 * x * light.direction[0], 0.5, 1.15)
    part.blend(part.coverage(band, 0.010), np.clip(wool * 1.12 * ribs[..., None], 0, 1))
