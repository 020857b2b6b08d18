"""The head: how it stands in the picture, and its skin as a height field that is lit from one side; ears and neck."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike

from pipeline.demo.canvas import Array, Canvas, Rng, curve, noise, symmetric
from pipeline.demo.person import Person

# In face coordinates. The head's front is an ellipsoid; how far something stands out of it is its "lift"
EYES = ((-0.46, 0.0), (0.46, 0.0))
NOSE_TIP, NOSE_LIFT = (0.0, 0.46), 0.26
MOUTH_Y = 0.84
DEPTH, HEIGHT, MIDDLE = 0.9, 1.45, 0.05  # of the ellipsoid: half depth, half height, y of its middle


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """Place and turn of a head: from face coordinates to pixels and back."""

    x: float  # pixels of the origin
    y: float
    unit: float  # pixels of half the head's width
    roll: float  # radians clockwise in the picture
    yaw: float  # radians to the viewer's right
    pitch: float  # radians downwards

    def turned(self, points_N2: ArrayLike, lift: float = 0.0) -> Array:
        """Face coordinates of points on the head's front as they appear after yaw and pitch.

        A tip of a nose (lift 0.26) moves more than an eye.
        """
        x, y = np.atleast_2d(np.asarray(points_N2, np.float64)).T
        z = DEPTH * np.sqrt(np.maximum(1 - (x / 1.02) ** 2 - ((y - MIDDLE) / HEIGHT) ** 2, 0.02)) + lift
        turned_x = x * np.cos(self.yaw) + z * np.sin(self.yaw)
        turned_y = y * np.cos(self.pitch) + z * np.sin(self.pitch)
        return np.stack([turned_x, turned_y], axis=1)

    def front(self, points_N2: ArrayLike, lift: float = 0.0) -> Array:
        """Pixels of points on the head's front."""
        return self.flat(self.turned(points_N2, lift))

    def flat(self, points_N2: ArrayLike) -> Array:
        """Pixels of points in the picture's plane: outlines, which yaw does not move."""
        x, y = np.atleast_2d(np.asarray(points_N2, np.float64)).T * self.unit
        cosine, sine = np.cos(self.roll), np.sin(self.roll)
        return np.stack([x * cosine - y * sine + self.x, x * sine + y * cosine + self.y], axis=1)

    def grid(self, part: Canvas) -> tuple[Array, Array]:
        """Face coordinates x and y of the pixel centres of a part: the inverse of `flat`."""
        pixels: Array = np.indices(part.image_HWC.shape[:2], np.float32)
        dx = (pixels[1] + part.x0 + 0.5 - self.x) / self.unit
        dy = (pixels[0] + part.y0 + 0.5 - self.y) / self.unit
        cosine, sine = np.float32(np.cos(self.roll)), np.float32(np.sin(self.roll))
        return dx * cosine + dy * sine, dy * cosine - dx * sine


class Light:
    """One soft lamp or window at random, from above and one side."""

    def __init__(self, rng: Rng) -> None:
        side = float(rng.choice([-1, 1])) * rng.uniform(0.15, 1.0)
        self.direction = side, -rng.uniform(0.2, 0.8), rng.uniform(0.7, 1.1)  # to it: x right, y down, z to the viewer
        self.ambient = rng.uniform(0.30, 0.62)  # the rest of the light, 0...1


def outline(person: Person) -> Array:
    """The head's silhouette in face coordinates."""
    jaw, chin = person.jaw, 1.36 + person.chin
    right = [
        (0, -1.40), (0.50, -1.31), (0.86, -0.96), (1.0, -0.40), (0.985, 0.10),
        (0.90 * (1 + jaw) / 2, 0.55), (0.72 * jaw, 0.96), (0.43 * jaw, 1.24), (0, chin),
    ]  # fmt: skip
    return symmetric(right)


def paint_neck(canvas: Canvas, person: Person, pose: Pose, body: Pose, light: Light) -> None:
    """The neck between the head and the clothes, in the shadow of the chin."""
    top, bottom = pose.flat([(-0.62, 0.7), (0.62, 0.7)]), body.flat([(0.66, 2.15), (-0.66, 2.15)])
    middle = (top[::-1] + bottom) / 2
    right, left = middle + (middle.mean(axis=0) - middle) * 0.10
    neck = curve([*top, right, *bottom, left], 8, closed=True)
    canvas.paint(neck, _lit(person, 0.80, light), soft=0.01)
    part = canvas.part(neck)
    inside = part.coverage(neck)
    side = body.flat([(-0.66 if light.direction[0] > 0 else 0.66, 0.3), (-0.1, 0.3), (-0.1, 2.2), (-0.7, 2.2)])
    part.shade(inside * part.coverage(side, 0.2), (0.82, 0.76, 0.74))
    shadow = pose.flat(outline(person) * (0.92, 1.0) + (-0.12 * light.direction[0], 0.16))
    part.shade(inside * part.coverage(shadow, 0.10), (0.60, 0.50, 0.48))


def paint_ears(canvas: Canvas, person: Person, pose: Pose, light: Light) -> None:
    """Both ears; the one the head turns away is hidden behind it."""
    right = [(0.90, -0.12), (1.06, -0.22), (1.15, -0.08), (1.10, 0.18), (1.02, 0.40), (0.92, 0.36)]
    for side in (-1, 1):
        ear = curve(right, closed=True) * (side, 1) + (-0.25 * np.sin(pose.yaw), 0)
        lit = _lit(person, 0.86 + 0.12 * side * light.direction[0], light)
        canvas.paint(pose.flat(ear), lit * (1.0, 0.93, 0.92), soft=0.012)
        inner = (ear - ear.mean(axis=0)) * (0.55, 0.62) + ear.mean(axis=0) + (0.01 * side, -0.02)
        canvas.darken(pose.flat(inner), (0.78, 0.66, 0.64), soft=0.03)


def paint_skin(canvas: Canvas, person: Person, pose: Pose, light: Light, rng: Rng) -> None:
    """The face's surface with its light and shade, without eyes, brows and mouth."""
    shape = pose.flat(outline(person))
    part = canvas.part(shape)
    if not part.image_HWC.size:
        return
    size, (x, y) = part.image_HWC.shape[:2], pose.grid(part)

    def bump(at_x: float, at_y: float, radius_x: float, radius_y: float, lift: float = 0.0) -> Array:
        to_x, to_y = pose.turned((at_x, at_y), lift)[0].astype(np.float32)
        return np.exp(-0.5 * (((x - to_x) / radius_x) ** 2 + ((y - to_y) / radius_y) ** 2))

    radius = (x / 1.13) ** 2 + ((y - MIDDLE) / (HEIGHT + 0.17)) ** 2
    height = 0.95 * np.sqrt(np.maximum(1 - radius, 0.01))
    for amount, *place in _relief(person):
        height += amount * bump(*place)
    shade, gloss = _light_on(height, pose.unit, light)
    colour = np.broadcast_to(person.skin.astype(np.float32), (*size, 3)).copy()
    blush = np.array([0.04, -0.28, -0.22], np.float32) * (0.35 + 0.65 * person.rosy)
    for amount, *at in ((0.75, -0.58, 0.42, 0.20, 0.17), (0.75, 0.58, 0.42, 0.20, 0.17), (0.5, *NOSE_TIP, 0.13, 0.10)):
        colour *= 1 + amount * bump(*at)[..., None] * blush
    under_eyes = np.array([-0.10, -0.15, -0.12], np.float32) * (0.6 + person.age)
    for eye_x, eye_y in EYES:
        colour *= 1 + bump(eye_x, eye_y + 0.10, 0.22, 0.10)[..., None] * under_eyes
    colour = colour * (1 + 0.009 * noise(rng, size, 0.08 * pose.unit, 2))[..., None]
    powers = np.array([0.80, 1.02, 1.12], np.float32)  # light that has been inside skin comes out redder
    colour = colour * shade[..., None] ** powers + gloss[..., None] * np.float32(0.5 + 0.5 * person.skin.mean())
    if person.freckles:
        dots = np.clip(noise(rng, size, max(0.035 * pose.unit, 1.2), 1) - 1.1, 0, 1)
        freckles = dots * bump(0, 0.30, 0.62, 0.20) * person.freckles
        colour *= 1 - freckles[..., None] * np.array([0.18, 0.3, 0.36], np.float32)
    part.blend(part.coverage(shape, 0.006), np.clip(colour, 0, 1))


def _lit(person: Person, amount: float, light: Light) -> Array:
    return person.skin * np.clip(light.ambient + (1.05 - light.ambient) * amount, 0, 1.05) * (1.0, 0.97, 0.95)


def _relief(person: Person) -> list[tuple[float, ...]]:
    """Hills and hollows of the face: height, place x and y, radius x and y, lift."""
    wide, long, smile, old = person.nose_width, person.nose_length, max(person.smile, 0.0), person.age
    middle = [
        (0.15, 0, 0.16, 0.10 * wide, 0.26, 0.10),  # nose
        (0.17, 0, 0.45 * long, 0.13 * wide, 0.12, NOSE_LIFT),
        (0.08, 0, -0.68, 0.55, 0.28, 0.0),  # forehead
        (0.07, 0, MOUTH_Y, 0.34, 0.20, 0.05),  # mouth
        (-0.05, 0, 1.05, 0.24, 0.05, 0.03),  # chin
        (0.10, 0, 1.19, 0.20, 0.12, 0.06),
    ]
    right = [
        (0.07, 0.15 * wide, 0.49 * long, 0.07 * wide, 0.07, NOSE_LIFT - 0.1),  # wing of the nose
        (0.05, 0.42, -0.27, 0.28, 0.09, 0.0),  # brow
        (-0.12, 0.40, -0.03, 0.22, 0.13, 0.0),  # eye: socket, ball, bag under it
        (0.05, 0.46, 0.01, 0.15, 0.10, 0.0),
        (-0.02 - 0.03 * old, 0.42, 0.17, 0.16, 0.04, 0.0),
        (0.08 + 0.05 * smile, 0.56, 0.40 - 0.04 * smile, 0.24, 0.20, 0.0),  # cheek and the fold before it
        (-0.03 - 0.04 * smile - 0.03 * old, 0.40, 0.66, 0.07, 0.15, 0.0),
    ]
    return [*middle, *((amount, -x, *rest) for amount, x, *rest in right), *right]


def _light_on(height: Array, unit: float, light: Light) -> tuple[Array, Array]:
    """Diffuse and specular light on the height field."""
    gradient_x, gradient_y = (cv2.Sobel(height, cv2.CV_32F, *to, ksize=3) * (unit / 8) for to in ((1, 0), (0, 1)))
    length = 1 / np.sqrt(1 + gradient_x**2 + gradient_y**2)
    to_light = np.array(light.direction, np.float32)
    to_light /= np.linalg.norm(to_light)
    facing = (to_light[2] - to_light[0] * gradient_x - to_light[1] * gradient_y) * length
    half = to_light + np.array((0, 0, 1), np.float32)
    half /= np.linalg.norm(half)
    gloss = np.maximum((half[2] - half[0] * gradient_x - half[1] * gradient_y) * length, 0) ** 28
    wrapped = np.clip((facing + 0.30) / 1.30, 0.02, 1)
    return light.ambient + (1.04 - light.ambient) * wrapped, (0.11 * gloss).astype(np.float32)
