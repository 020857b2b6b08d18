"""One photograph: who, where and how, painted back to front."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.demo.faces import camera, clothes, eyes, hair, head, mouth
from pipeline.demo.faces.background import paint_background
from pipeline.demo.faces.canvas import Canvas
from pipeline.demo.faces.head import EYES, NOSE_LIFT, NOSE_TIP, Light
from pipeline.demo.faces.pose import Pose
from pipeline.demo.faces.traits import Traits, draw_traits

SIDE_MIN, SIDE_MAX = 150, 900
"""Pixels of a photograph's longer side."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The picture's size in pixels and how the head stands in it."""

    width: int
    height: int
    pose: Pose


@dataclass(frozen=True, slots=True)
class Portrait:
    """A finished photograph and what is true of it."""

    jpeg: bytes
    width: int
    height: int
    landmarks: tuple[int, ...]
    attributes: list[int]


def take(seed: int, number: int, face_pixels_min: int, face_pixels_max: int) -> Portrait:
    """Photograph `number` (from 1) of the set `seed`: a head between the two widths, somewhere in the picture."""
    rng = np.random.default_rng([seed, number])
    return photograph(draw_frame(rng, rng.uniform(face_pixels_min, face_pixels_max)), rng, number)


def photograph(frame: Frame, rng: np.random.Generator, number: int) -> Portrait:
    """Draw a person at random, paint them in `frame` and take the picture."""
    traits, shot = draw_traits(rng), camera.draw_shot(rng, number)
    canvas = Canvas(paint_background(rng, frame.height, frame.width))
    paint_person(canvas, traits, frame.pose, draw_light(rng), rng)
    pixels = camera.expose(canvas.image_HWC, shot, rng)
    jpeg = camera.develop(pixels, shot)
    return Portrait(jpeg, frame.width, frame.height, landmarks(traits, frame.pose), traits.attributes(shot.blurry))


def draw_frame(rng: np.random.Generator, face_pixels: float) -> Frame:
    """A picture for a head of that width: cropped tight or wide, the face anywhere, at times at the border."""
    longer = float(np.clip(face_pixels * rng.uniform(1.7, 4.2), SIDE_MIN, max(SIDE_MAX, 1.3 * face_pixels)))
    shorter = longer * float(rng.choice([0.67, 0.75, 0.8, 1.0]))
    width, height = (longer, shorter) if rng.random() < 0.4 else (shorter, longer)
    unit = face_pixels / 2
    spread = float(rng.choice([0.25, 0.6, 1.0], p=[0.45, 0.35, 0.2]))
    x = width / 2 + _within(rng, width / 2 - 0.75 * unit) * spread
    y = height * 0.45 + _within(rng, height / 2 - 1.0 * unit) * spread * 0.8
    pose = Pose(
        x=float(np.clip(x, 0.75 * unit, max(width - 0.75 * unit, 0.75 * unit))),
        y=float(np.clip(y, 0.45 * unit, max(height - 1.15 * unit, 0.45 * unit))),
        unit=unit,
        roll=float(np.radians(np.clip(rng.normal(0, 9), -25, 25))),
        yaw=float(np.radians(np.clip(rng.normal(0, 9), -19, 19))),
        pitch=float(np.radians(np.clip(rng.normal(0, 4), -8, 8))),
    )
    return Frame(round(width), round(height), pose)


def draw_light(rng: np.random.Generator) -> Light:
    """A lamp or a window from above and one side."""
    x = float(rng.choice([-1, 1]) * rng.uniform(0.15, 1.0))
    return Light((x, float(-rng.uniform(0.2, 0.8)), float(rng.uniform(0.7, 1.1))), float(rng.uniform(0.30, 0.62)))


def paint_person(canvas: Canvas, traits: Traits, pose: Pose, light: Light, rng: np.random.Generator) -> None:
    """All layers of a person, from the hair behind the neck to the glasses."""
    body = replace(pose, roll=pose.roll * 0.35)
    hair.paint_back_hair(canvas, traits, pose, light, rng)
    head.paint_neck(canvas, traits, pose, body, light)
    clothes.paint_clothes(canvas, traits, body, light, rng)
    head.paint_ears(canvas, traits, pose, light)
    head.paint_skin(canvas, traits, pose, light, rng)
    mouth.paint_nose(canvas, traits, pose, light)
    hair.paint_beard(canvas, traits, pose, rng)
    mouth.paint_mouth(canvas, traits, pose, light)
    eyes.paint_eyes(canvas, traits, pose, light)
    eyes.paint_brows(canvas, traits, pose)
    hair.paint_front_hair(canvas, traits, pose, light, rng)
    clothes.paint_earrings(canvas, traits, pose)
    clothes.paint_eyewear(canvas, traits, pose, light)
    clothes.paint_hat(canvas, traits, pose, light)


def landmarks(traits: Traits, pose: Pose) -> tuple[int, ...]:
    """Left eye, right eye, nose tip, left and right mouth corner: x, y each, the pixel they lie in."""
    points: NDArray[np.float64] = np.concatenate(
        [
            pose.front(EYES),
            pose.front((NOSE_TIP[0], NOSE_TIP[1] * traits.nose_length), NOSE_LIFT),
            pose.front(mouth.corners(traits), mouth.LIFT),
        ]
    )
    return tuple(int(value) for value in np.floor(points).ravel())


def _within(rng: np.random.Generator, reach: float) -> float:
    return float(rng.uniform(-1, 1)) * max(reach, 0.0)
