"""The drawn pictures look as they always did: the mean brightness of twelve fields of each.

The numbers are those of the painting before JPEG, so they hold for every OpenCV and Pillow; the tolerance is for CPUs
that round differently. After a change of the looks that is meant, look at the pictures and paste the table that the
failing test prints.
"""

import numpy as np
import pytest

from pipeline.demo import portrait, scenes
from pipeline.demo.background import paint_background
from pipeline.demo.canvas import Array, Canvas
from pipeline.demo.head import Light
from pipeline.demo.person import Person

PHOTOGRAPHS: dict[int, list[float]] = {
    1: [69.29, 82.59, 84.55, 71.98, 106.61, 116.77, 67.7, 143.05, 132.76, 68.56, 122.03, 111.59],
    18: [50.98, 88.7, 82.83, 92.18, 125.83, 98.57, 67.07, 74.69, 113.91, 84.38, 62.81, 82.02],
    49: [88.5, 70.55, 32.77, 118.85, 97.03, 39.46, 99.75, 92.66, 43.42, 96.83, 85.43, 68.92],
    66: [175.06, 151.25, 100.16, 179.08, 118.46, 158.07, 183.13, 122.53, 161.6, 172.16, 176.09, 145.7],
    68: [136.23, 155.52, 166.71, 103.93, 74.32, 90.56, 78.26, 130.12, 98.35, 54.86, 97.34, 74.49],
    77: [212.8, 166.07, 191.5, 233.52, 126.94, 181.25, 220.9, 138.65, 164.7, 64.27, 61.44, 67.62],
    141: [119.95, 112.26, 112.31, 102.34, 104.52, 104.93, 99.87, 93.41, 88.3, 86.53, 41.15, 49.02],
    158: [164.07, 124.4, 153.28, 143.32, 98.99, 143.35, 141.42, 123.77, 132.88, 115.54, 154.25, 100.7],
}  # fmt: skip
SCENES: dict[tuple[str, int], list[float]] = {
    ("bedroom", 1): [193.69, 220.31, 197.41, 178.65, 160.27, 173.31, 150.5, 142.32, 131.18, 98.18, 82.09, 91.23],
    ("bedroom", 2): [116.75, 170.94, 153.03, 109.35, 175.43, 143.11, 100.63, 143.07, 127.92, 64.96, 69.38, 110.05],
    ("tower", 3): [132.27, 134.4, 113.15, 171.1, 172.98, 149.56, 152.07, 156.52, 153.46, 128.7, 119.26, 127.93],
    ("tower", 4): [200.55, 215.64, 210.08, 188.7, 219.86, 213.69, 151.5, 150.46, 159.16, 92.89, 98.85, 81.5],
}  # fmt: skip


def _fields(image_HWC: Array) -> list[float]:
    """Mean brightness, 0...255, to a hundredth."""
    rows = np.array_split(image_HWC.astype(np.float64).mean(axis=2), 4)
    return [round(float(field.mean()), 2) for row in rows for field in np.array_split(row, 3, axis=1)]


def _painting(number: int) -> Array:
    rng = np.random.default_rng([8, number])
    width, height, pose = portrait.draw_frame(rng, 70)
    person = Person(rng)
    canvas = Canvas(paint_background(rng, (height, width)), pose.unit)
    portrait.paint_person(canvas, person, pose, Light(rng), rng)
    return canvas.image_HWC * 255


def test_photographs_look_as_before() -> None:
    fields = {number: _fields(_painting(number)) for number in PHOTOGRAPHS}
    for number, now in fields.items():
        assert now == pytest.approx(PHOTOGRAPHS[number], abs=0.03), fields


def test_scenes_look_as_before() -> None:
    drawn = {key: scenes.draw_scene(key[0], np.random.default_rng(key[1])) for key in SCENES}
    fields = {key: _fields(np.asarray(image)) for key, image in drawn.items()}
    for key, now in fields.items():
        assert now == pytest.approx(SCENES[key], abs=0.05), fields
