"""One photograph: who, where and how, painted back to front."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from pipeline.demo import camera, clothes, features, hair, head
from pipeline.demo.background import paint_background
from pipeline.demo.canvas import Canvas, Rng
from pipeline.demo.head import EYES, NOSE_LIFT, NOSE_TIP, Light, Pose
from pipeline.demo.person import Person

SIDE_MIN, SIDE_MAX = 150, 900
"""Pixels of a photograph's longer side."""


class Item(NamedTuple):
    """One number of the set: the file's bytes and its landmark row, None where it has none."""

    content: bytes | None
    landmarks: tuple[int, ...] | None
    attributes: list[int]


def photograph(rng: Rng, number: int, width: int, height: int, pose: Pose) -> Item:
    """Draw a person at random, paint them in that pose and take the picture."""
    person, shot = Person(rng), camera.Shot(rng, number)
    canvas = Canvas(paint_background(rng, (height, width)), pose.unit)
    paint_person(canvas, person, pose, Light(rng), rng)
    jpeg = camera.develop(camera.expose(canvas.image_HWC, shot, rng), shot)
    return Item(jpeg, landmarks(person, pose), person.attributes(shot.blurry))


def draw_frame(rng: Rng, face_pixels: float) -> tuple[int, int, Pose]:
    """Width, height and pose for a head of that width: cropped tight or wide, the face anywhere, even at the border."""
    longer = float(np.clip(face_pixels * rng.uniform(1.7, 4.2), SIDE_MIN, max(SIDE_MAX, 1.3 * face_pixels)))
    shorter = longer * float(rng.choice([0.67, 0.75, 0.8, 1.0]))
    width, height = (longer, shorter) if rng.random() < 0.4 else (shorter, longer)
    unit = face_pixels / 2
    spread = float(rng.choice([0.25, 0.6, 1.0], p=[0.45, 0.35, 0.2]))
    x = width / 2 + rng.uniform(-1, 1) * max(width / 2 - 0.75 * unit, 0.0) * spread
    y = height * 0.45 + rng.uniform(-1, 1) * max(height / 2 - 1.0 * unit, 0.0) * spread * 0.8
    x = float(np.clip(x, 0.75 * unit, max(width - 0.75 * unit, 0.75 * unit)))
    y = float(np.clip(y, 0.45 * unit, max(height - 1.15 * unit, 0.45 * unit)))
    turns = ((9, 25), (9, 19), (4, 8))  # standard deviation and limit in degrees
    roll, yaw, pitch = (float(np.radians(np.clip(rng.normal(0, sigma), -limit, limit))) for sigma, limit in turns)
    return round(width), round(height), Pose(x=x, y=y, unit=unit, roll=roll, yaw=yaw, pitch=pitch)


def paint_person(canvas: Canvas, person: Person, pose: Pose, light: Light, rng: Rng) -> None:
    """All layers of a person, from the hair behind the neck to the glasses."""
    body = replace(pose, roll=pose.roll * 0.35)
    hair.paint_back_hair(canvas, person, pose, light, rng)
    head.paint_neck(canvas, person, pose, body, light)
    clothes.paint_clothes(canvas, person, body, light, rng)
    head.paint_ears(canvas, person, pose, light)
    head.paint_skin(canvas, person, pose, light, rng)
    features.paint_nose(canvas, person, pose, light)
    hair.paint_beard(canvas, person, pose, rng)
    features.paint_folds(canvas, person, pose)
    features.paint_mouth(canvas, person, pose, light)
    features.paint_eyes(canvas, person, pose, light)
    features.paint_brows(canvas, person, pose)
    if person.hair_style != "bald":
        hair.paint_front_hair(canvas, person, pose, light, rng)
    if person.earrings:
        clothes.paint_earrings(canvas, pose)
    if person.eyewear != "none":
        clothes.paint_eyewear(canvas, person, pose, light)
    if person.hat:
        clothes.paint_hat(canvas, person, pose, light)


def landmarks(person: Person, pose: Pose) -> tuple[int, ...]:
    """Left eye, right eye, nose tip, left and right mouth corner: x, y each, the pixel they lie in."""
    nose = pose.front((NOSE_TIP[0], NOSE_TIP[1] * person.nose_length), NOSE_LIFT)
    mouth = pose.front(features.mouth_corners(person), features.LIPS_LIFT)
    return tuple(int(value) for value in np.floor([*pose.front(EYES), *nose, *mouth]).ravel())
