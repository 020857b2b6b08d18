"""The head's skin: a height field over the face, lit from one side; ears and neck."""

from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.demo.faces import curves
from pipeline.demo.faces.canvas import Canvas, Floats, fractal_noise
from pipeline.demo.faces.curves import Points
from pipeline.demo.faces.pose import HEIGHT, MIDDLE, Pose
from pipeline.demo.faces.traits import Traits

Grid = tuple[Floats, Floats]
"""Face coordinates x and y of every pixel of a box."""

EYES = ((-0.46, 0.0), (0.46, 0.0))
NOSE_TIP = (0.0, 0.46)
NOSE_LIFT = 0.26
MOUTH_Y = 0.84


@dataclass(frozen=True, slots=True)
class Light:
    """One soft lamp: `direction` points to it (x right, y down, z to the viewer); `ambient` is the rest, 0...1."""

    direction: tuple[float, float, float]
    ambient: float


def outline(traits: Traits) -> Points:
    """The head's silhouette in face coordinates."""
    jaw, chin = traits.jaw, 1.36 + traits.chin
    right = [
        (0, -1.40), (0.50, -1.31), (0.86, -0.96), (1.0, -0.40), (0.985, 0.10),
        (0.90 * (1 + jaw) / 2, 0.55), (0.72 * jaw, 0.96), (0.43 * jaw, 1.24), (0, chin),
    ]  # fmt: skip
    return curves.closed(curves.mirrored(right))


def paint_neck(canvas: Canvas, traits: Traits, pose: Pose, body: Pose, light: Light) -> None:
    """The neck between the head and the clothes, in the shadow of the chin."""
    top, bottom = pose.flat([(-0.62, 0.7), (0.62, 0.7)]), body.flat([(0.66, 2.15), (-0.66, 2.15)])
    middle = (top[::-1] + bottom) / 2
    inward = (middle.mean(axis=0) - middle) * 0.10
    left, right = middle[1] + inward[1], middle[0] + inward[0]
    neck = curves.closed([top[0], top[1], right, bottom[0], bottom[1], left], 8)
    canvas.paint(neck, _lit(traits, 0.80, light), soft=0.01 * pose.unit)
    box = canvas.box(neck)
    if box is None:
        return
    inside = canvas.coverage(neck, box)
    side = body.flat([(-0.66 if light.direction[0] > 0 else 0.66, 0.3), (-0.1, 0.3), (-0.1, 2.2), (-0.7, 2.2)])
    canvas.shade(box, inside * canvas.coverage(side, box, 0.2 * pose.unit), np.array([0.82, 0.76, 0.74]))
    shadow = pose.flat(outline(traits) * (0.92, 1.0) + (-0.12 * light.direction[0], 0.16))
    canvas.shade(box, inside * canvas.coverage(shadow, box, 0.10 * pose.unit), np.array([0.60, 0.50, 0.48]))


def paint_ears(canvas: Canvas, traits: Traits, pose: Pose, light: Light) -> None:
    """Both ears; the one the head turns away is hidden behind it."""
    for side in (-1, 1):
        lit = 0.86 + 0.12 * side * light.direction[0]
        shift = -0.25 * np.sin(pose.yaw)
        ear = curves.closed(
            [(0.90, -0.12), (1.06, -0.22), (1.15, -0.08), (1.10, 0.18), (1.02, 0.40), (0.92, 0.36)]
        ) * (side, 1)  # fmt: skip
        ear[:, 0] += shift
        canvas.paint(pose.flat(ear), _lit(traits, lit, light) * (1.0, 0.93, 0.92), soft=0.012 * pose.unit)
        inner = (ear - ear.mean(axis=0)) * (0.55, 0.62) + ear.mean(axis=0) + (0.01 * side, -0.02)
        canvas.darken(pose.flat(inner), np.array([0.78, 0.66, 0.64]), soft=0.03 * pose.unit)


def paint_skin(canvas: Canvas, traits: Traits, pose: Pose, light: Light, rng: np.random.Generator) -> None:
    """The face's surface with its light and shade, without eyes, brows and mouth."""
    shape = pose.flat(outline(traits))
    box = canvas.box(shape)
    if box is None:
        return
    grid = pose.grid(box)
    shade, gloss = _light_on(_height(traits, pose, grid), pose, light)
    colour = (
        _complexion(traits, pose, grid) * (1 + 0.009 * fractal_noise(rng, *box.shape, 0.08 * pose.unit, 2))[..., None]
    )
    powers = np.array([0.80, 1.02, 1.12], np.float32)  # light that has been inside skin comes out redder
    colour = colour * shade[..., None] ** powers + gloss[..., None] * np.float32(0.5 + 0.5 * traits.skin.mean())
    if traits.freckles:
        colour *= 1 - _freckles(traits, pose, grid, rng)[..., None] * np.array([0.18, 0.3, 0.36], np.float32)
    canvas.blend(box, canvas.coverage(shape, box, 0.006 * pose.unit), np.clip(colour, 0, 1))


def _lit(traits: Traits, amount: float, light: Light) -> Points:
    return traits.skin * np.clip(light.ambient + (1.05 - light.ambient) * amount, 0, 1.05) * (1.0, 0.97, 0.95)


def _bump(pose: Pose, grid: Grid, at: tuple[float, float], size: tuple[float, float], lift: float) -> Floats:
    x, y = grid
    centre = pose.turned(at, lift)[0].astype(np.float32)
    return np.exp(-0.5 * (((x - centre[0]) / np.float32(size[0])) ** 2 + ((y - centre[1]) / np.float32(size[1])) ** 2))


def _height(traits: Traits, pose: Pose, grid: Grid) -> Floats:
    """Height of the surface above the picture's plane, in half head widths."""
    x, y = grid
    radius = (x / np.float32(1.13)) ** 2 + ((y - np.float32(MIDDLE)) / np.float32(HEIGHT + 0.17)) ** 2
    height = 0.95 * np.sqrt(np.maximum(1 - radius, np.float32(0.01)))
    wide, smile, old = traits.nose_width, max(traits.smile, 0.0), traits.age
    bumps: list[tuple[float, tuple[float, float], tuple[float, float], float]] = [
        (0.15, (0, 0.16), (0.10 * wide, 0.26), 0.10),
        (0.17, (0, 0.45 * traits.nose_length), (0.13 * wide, 0.12), NOSE_LIFT),
        (0.08, (0, -0.68), (0.55, 0.28), 0.0),
        (0.07, (0, MOUTH_Y), (0.34, 0.20), 0.05),
        (-0.05, (0, 1.05), (0.24, 0.05), 0.03),
        (0.10, (0, 1.19), (0.20, 0.12), 0.06),
    ]
    for side in (-1, 1):
        bumps += [
            (0.07, (side * 0.15 * wide, 0.49 * traits.nose_length), (0.07 * wide, 0.07), NOSE_LIFT - 0.1),
            (0.05, (side * 0.42, -0.27), (0.28, 0.09), 0.0),
            (-0.12, (side * 0.40, -0.03), (0.22, 0.13), 0.0),
            (0.05, (side * 0.46, 0.01), (0.15, 0.10), 0.0),
            (-0.02 - 0.03 * old, (side * 0.42, 0.17), (0.16, 0.04), 0.0),
            (0.08 + 0.05 * smile, (side * 0.56, 0.40 - 0.04 * smile), (0.24, 0.20), 0.0),
            (-0.03 - 0.04 * smile - 0.03 * old, (side * 0.40, 0.66), (0.07, 0.15), 0.0),
        ]
    for amount, at, size, lift in bumps:
        height += np.float32(amount) * _bump(pose, grid, at, size, lift)
    return height


def _light_on(height: Floats, pose: Pose, light: Light) -> tuple[Floats, Floats]:
    scale = np.float32(pose.unit / 8)
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3) * scale
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3) * scale
    length = 1 / np.sqrt(1 + slope_x**2 + slope_y**2)
    to_light = np.array(light.direction, np.float32)
    to_light /= np.linalg.norm(to_light)
    facing = (to_light[2] - to_light[0] * slope_x - to_light[1] * slope_y) * length
    half = to_light + np.array((0, 0, 1), np.float32)
    half /= np.linalg.norm(half)
    gloss = np.maximum((half[2] - half[0] * slope_x - half[1] * slope_y) * length, 0) ** 28
    wrapped = np.clip((facing + 0.30) / 1.30, 0.02, 1)
    return np.float32(light.ambient) + np.float32(1.04 - light.ambient) * wrapped, (0.11 * gloss).astype(np.float32)


def _complexion(traits: Traits, pose: Pose, grid: Grid) -> Floats:
    colour = np.broadcast_to(traits.skin.astype(np.float32), (*grid[0].shape, 3)).copy()
    blush = np.array([0.04, -0.28, -0.22], np.float32) * np.float32(0.35 + 0.65 * traits.rosy)
    spots = [((-0.58, 0.42), (0.20, 0.17), 0.75), ((0.58, 0.42), (0.20, 0.17), 0.75), (NOSE_TIP, (0.13, 0.10), 0.5)]
    for at, size, amount in spots:
        colour *= 1 + np.float32(amount) * _bump(pose, grid, at, size, 0.0)[..., None] * blush
    shadow = np.array([-0.10, -0.15, -0.12], np.float32) * np.float32(0.6 + traits.age)
    for at in EYES:
        colour *= 1 + _bump(pose, grid, (at[0], at[1] + 0.10), (0.22, 0.10), 0.0)[..., None] * shadow
    return colour


def _freckles(traits: Traits, pose: Pose, grid: Grid, rng: np.random.Generator) -> Floats:
    height, width = grid[0].shape[:2]
    dots = fractal_noise(rng, height, width, max(0.035 * pose.unit, 1.2), 1)
    where = _bump(pose, grid, (0, 0.30), (0.62, 0.20), 0.0)
    return np.clip(dots - 1.1, 0, 1) * where * np.float32(traits.freckles)
