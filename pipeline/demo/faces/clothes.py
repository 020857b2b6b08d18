"""Shoulders with clothes, and what people wear on the head: glasses, hats, jewellery."""

import numpy as np

from pipeline.demo.faces import curves
from pipeline.demo.faces.canvas import Canvas, fractal_noise
from pipeline.demo.faces.curves import Points
from pipeline.demo.faces.head import EYES, Light
from pipeline.demo.faces.pose import Pose
from pipeline.demo.faces.traits import Traits

WHITE = np.array([0.93, 0.93, 0.92])
DARK = np.array([0.08, 0.08, 0.09])
GOLD = np.array([0.86, 0.70, 0.36])


def paint_clothes(canvas: Canvas, traits: Traits, body: Pose, light: Light, rng: np.random.Generator) -> None:
    """Shoulders in cloth with a neckline, lit from one side, with soft folds."""
    deep = {"vneck": 2.55, "jacket": 2.2, "shirt": 2.05, "turtleneck": 1.62}.get(traits.clothes, 2.0)
    neck = 0.60 if traits.clothes == "turtleneck" else 0.68
    line = [(-neck, 1.66), (-0.42, (1.66 + deep) / 2 + 0.08), (0, deep), (0.42, (1.66 + deep) / 2 + 0.08), (neck, 1.66)]
    if traits.clothes == "turtleneck":
        line = [(-neck, 1.34), (0, 1.60), (neck, 1.34)]
    shoulders = [(1.15, 1.86), (1.75, 2.10), (2.20, 2.55), (2.42, 3.6), (2.5, 12.0)]
    shape = np.concatenate(
        [curves.through(line), curves.through(shoulders), [(-2.5, 12.0)], curves.through(shoulders)[::-1] * (-1, 1)]
    )
    pixels = body.flat(shape)
    box = canvas.box(pixels)
    if box is None:
        return
    x, y = body.grid(box)
    cloth = np.broadcast_to(traits.cloth.astype(np.float32), (*box.shape, 3)).copy()
    if traits.clothes == "stripes":
        stripe = np.clip(np.sin((y + 0.06 * x**2) * 21) * 4, 0, 1)[..., None]
        cloth += stripe * (traits.accent.astype(np.float32) - cloth)
    if traits.clothes == "turtleneck":
        cloth *= (1 + 0.10 * np.sin(x * 60))[..., None]
    folds = fractal_noise(rng, *box.shape, max(0.8 * body.unit, 4), 2)
    side = np.clip(0.86 + 0.16 * x * np.float32(light.direction[0]) / 1.5 + 0.035 * folds, 0.35, 1.15)
    falling = np.clip(1.06 - 0.10 * (y - 1.8), 0.6, 1.06)
    canvas.blend(
        box, canvas.coverage(pixels, box, 0.008 * body.unit), np.clip(cloth * (side * falling)[..., None], 0, 1)
    )
    canvas.darken(body.flat(curves.stroke(curves.through(line), 0.05)), 0.72, 0.02 * body.unit)
    if traits.clothes in ("jacket", "shirt"):
        _collar(canvas, traits, body)
    if traits.necklace and traits.clothes in ("round", "vneck", "stripes"):
        chain = curves.through([(-0.60, 1.62), (-0.34, 1.92), (0, 2.04), (0.34, 1.92), (0.60, 1.62)])
        canvas.paint(body.flat(curves.stroke(chain, 0.022)), GOLD, 0.9, 0.004 * body.unit)
        canvas.paint(body.flat(curves.ellipse((0, 2.08), 0.05, 0.06)), GOLD * 1.1, 1.0, 0.004 * body.unit)


def paint_eyewear(canvas: Canvas, traits: Traits, pose: Pose, light: Light) -> None:
    """Glasses or sunglasses: lenses, rims, bridge and temples, with a reflection."""
    if traits.eyewear == "none":
        return
    sun = traits.eyewear == "sunglasses"
    frame = DARK if sun or traits.brow_thick > 1 else traits.accent * 0.55
    power = 3.6 if traits.jaw > 1 else 2.2
    wide, tall = (0.36, 0.27) if sun else (0.335, 0.245)
    thick = 0.05 if sun else 0.036
    for (eye_x, eye_y), side in zip(EYES, (-1, 1), strict=True):
        lens = curves.ellipse((eye_x * 1.02, eye_y + 0.04), wide, tall, power)
        outer = curves.ellipse((eye_x * 1.02, eye_y + 0.04), wide + thick, tall + thick, power)
        turn = 0.3 * np.sin(pose.yaw)
        arm = np.array([(side * 0.80 + turn, -0.06), (side * 1.02 + turn, -0.06)])
        canvas.paint(pose.flat(curves.stroke(arm, 0.05)), frame, 1.0, 0.004 * pose.unit)
        box = canvas.box(pose.front(outer, 0.1), 2)
        if box is None:
            continue
        inside = canvas.coverage(pose.front(lens, 0.1), box, 0.003 * pose.unit)
        ring = np.clip(canvas.coverage(pose.front(outer, 0.1), box, 0.003 * pose.unit) - inside, 0, 1)
        canvas.shade(box, inside, 0.94)
        if sun:
            canvas.blend(box, inside, np.array([0.10, 0.09, 0.10]), 0.90)
        glare = np.array([(-0.28, -0.24), (-0.06, -0.24), (-0.24, 0.30), (-0.46, 0.30)])
        glare[:, 0] += eye_x + 0.1 * light.direction[0]
        canvas.blend(box, inside * canvas.coverage(pose.front(glare, 0.1), box, 0.02 * pose.unit), np.ones(3), 0.16)
        canvas.blend(box, ring, frame)
    bridge = curves.through([(-0.13, 0.0), (0, -0.05), (0.13, 0.0)])
    canvas.paint(pose.front(curves.stroke(bridge, thick * 1.1), 0.16), frame, 1.0, 0.004 * pose.unit)


def paint_hat(canvas: Canvas, traits: Traits, pose: Pose, light: Light) -> None:
    """A knitted cap with a turned-up band."""
    if not traits.hat:
        return
    right = [(0, -1.86), (0.66, -1.66), (1.04, -1.05), (1.08, -0.55), (0, -0.70)]
    cap = curves.closed(curves.mirrored(right))
    pixels = pose.flat(cap)
    box = canvas.box(pixels)
    if box is None:
        return
    canvas.darken(
        pose.front([(-0.95, -0.55), (0.95, -0.55), (0.90, -0.36), (0, -0.46), (-0.90, -0.36)]), 0.66, 0.05 * pose.unit
    )
    x, y = pose.grid(box)
    knit = 1 + 0.09 * np.sin(x * 44) * np.sin(y * 36)
    side = np.clip(0.88 + 0.22 * x * np.float32(light.direction[0]) - 0.10 * x**2, 0.4, 1.15)
    wool = traits.accent.astype(np.float32) * (knit * side)[..., None]
    canvas.blend(box, canvas.coverage(pixels, box, 0.012 * pose.unit), np.clip(wool, 0, 1))
    band = curves.closed([(-1.11, -0.40), (-1.13, -0.80), (0, -1.00), (1.13, -0.80), (1.11, -0.40), (0, -0.62)])
    edge = canvas.box(pose.flat(band))
    if edge is None:
        return
    x, _ = pose.grid(edge)
    ribs = (1.02 + 0.14 * np.sin(x * 52)) * np.clip(0.92 + 0.2 * x * np.float32(light.direction[0]), 0.5, 1.15)
    colour = np.clip(traits.accent.astype(np.float32) * 1.12 * ribs[..., None], 0, 1)
    canvas.blend(edge, canvas.coverage(pose.flat(band), edge, 0.010 * pose.unit), colour)


def paint_earrings(canvas: Canvas, traits: Traits, pose: Pose) -> None:
    """A stud and a drop at each ear."""
    if not traits.earrings:
        return
    for side in (-1, 1):
        for y, size in ((0.44, 0.035), (0.53, 0.055)):
            at = (side * 1.02 - 0.25 * np.sin(pose.yaw), y)
            canvas.paint(pose.flat(curves.ellipse(at, size, size)), GOLD, 1.0, 0.004 * pose.unit)
            glint = (at[0] - size * 0.3, at[1] - size * 0.3)
            canvas.paint(pose.flat(curves.ellipse(glint, size * 0.35, size * 0.35)), np.ones(3), 0.8, 0.006 * pose.unit)


def _collar(canvas: Canvas, traits: Traits, body: Pose) -> None:
    soft = 0.006 * body.unit
    shirt = WHITE if traits.clothes == "jacket" else np.minimum(traits.cloth * 1.08, 1)
    if traits.clothes == "jacket":
        canvas.paint(
            body.flat([(-0.66, 1.70), (0.66, 1.70), (0.36, 3.0), (0, 4.2), (-0.36, 3.0)]), shirt * 0.94, 1.0, soft
        )
        canvas.paint(
            body.flat([(-0.13, 2.02), (0.13, 2.02), (0.20, 3.6), (0, 4.0), (-0.20, 3.6)]), traits.accent, 1.0, soft
        )
        canvas.paint(
            body.flat([(-0.16, 1.86), (0.16, 1.86), (0.10, 2.10), (-0.10, 2.10)]), traits.accent * 0.85, 1.0, soft
        )
    for side in (-1, 1):
        if traits.clothes == "jacket":
            lapel: Points = np.array([(0.74, 1.74), (0.95, 2.35), (0.70, 2.45), (0.16, 3.9), (0.40, 2.6)]) * (side, 1)
            canvas.darken(body.flat(lapel - (0, 0.03)), 0.62, 0.03 * body.unit)
            canvas.paint(body.flat(lapel), traits.cloth * 0.88, 1.0, soft)
        flap: Points = np.array([(0.66, 1.52), (0.74, 1.78), (0.46, 2.28), (0.06, 1.98)]) * (side, 1)
        canvas.darken(body.flat(flap - (0, -0.05)), 0.66, 0.03 * body.unit)
        canvas.paint(body.flat(flap), shirt, 1.0, soft)
    if traits.clothes == "shirt":
        for y in (2.35, 2.85, 3.35):
            canvas.paint(body.flat(curves.ellipse((0.02, y), 0.045, 0.045)), WHITE * 0.85, 0.9, soft)
