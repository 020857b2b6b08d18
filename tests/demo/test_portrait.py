"""Drawn photographs: true landmarks, variety, and the same bytes for the same number."""

import copy
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.demo import camera, faults, portrait
from pipeline.demo.canvas import Canvas
from pipeline.demo.head import Light, Pose
from pipeline.demo.person import ATTRIBUTES, Person
from pipeline.params import SyntheticSource

SOURCE = SyntheticSource(
    kind="synthetic", photographs=24, bad_photographs=0, face_pixels_min=50, face_pixels_max=110, seed=3
)


@pytest.fixture(scope="module")
def items() -> list[faults.Item]:
    return [faults.good(SOURCE, number) for number in range(1, 25)]


def _size(item: faults.Item) -> tuple[int, int]:
    return Image.open(io.BytesIO(item.content or b"")).size


def _changed(drawn: Any, **values: Any) -> Any:
    other = copy.copy(drawn)
    vars(other).update(values)
    return other


def test_a_number_always_gives_the_same_bytes(items: list[faults.Item]) -> None:
    assert faults.good(SOURCE, 5) == items[4]
    assert faults.good(SOURCE.model_copy(update={"seed": 4}), 5).content != items[4].content


def test_photographs_are_jpegs_of_varied_size(items: list[faults.Item]) -> None:
    images = [Image.open(io.BytesIO(item.content or b"")) for item in items]
    assert {image.format for image in images} == {"JPEG"}
    assert len({image.size for image in images}) > 12
    assert all(portrait.SIDE_MIN - 1 <= max(image.size) <= portrait.SIDE_MAX for image in images)
    assert sum(image.mode == "L" for image in images) == 1


def test_landmarks_lie_in_the_picture_and_in_the_order_of_a_face(items: list[faults.Item]) -> None:
    for item in items:
        points = np.array(item.landmarks).reshape(5, 2)
        assert (points >= 0).all()
        assert (points < _size(item)).all()
        left, right, nose, mouth_left, mouth_right = points
        across = (right - left) / np.linalg.norm(right - left)
        down = np.array([-across[1], across[0]])
        assert (mouth_right - mouth_left) @ across > 0
        assert 0 < (nose - left) @ down < (mouth_left - left) @ down


def test_faces_have_a_width_between_the_limits(items: list[faults.Item]) -> None:
    distances = [np.hypot(*np.subtract(item.landmarks[:2], item.landmarks[2:4])) for item in items if item.landmarks]
    assert 0.36 * 50 < min(distances) < max(distances) < 0.5 * 110 + 1


def test_landmarks_mark_what_is_painted() -> None:
    """The pupil is the darkest place of the eye's surroundings, in the painted picture."""
    rng = np.random.default_rng(2)
    person = _changed(
        Person(rng), eyewear="none", gaze=(0.0, 0.0), makeup=0.0, eye_open=1.3, hair_style="bald", hat=False
    )
    pose = Pose(x=150, y=150, unit=100, roll=0.3, yaw=0.2, pitch=-0.05)
    canvas = Canvas(np.full((300, 300, 3), 0.6, np.float32), pose.unit)
    portrait.paint_person(canvas, person, pose, Light(rng), rng)
    marks = np.array(portrait.landmarks(person, pose)).reshape(5, 2)
    for x, y in marks[:2]:
        near = canvas.image_HWC[y - 9 : y + 10, x - 9 : x + 10].mean(axis=2)
        assert (abs(np.argwhere(near < near.min() + 0.05).mean(axis=0) - 9) < 4).all()


def test_people_differ_and_their_attributes_say_how(items: list[faults.Item]) -> None:
    table = np.array([item.attributes for item in items])
    assert table.shape[1] == len(ATTRIBUTES) == 40
    assert set(np.unique(table)) == {-1, 1}
    for name in ("Smiling", "Black_Hair", "No_Beard", "Mouth_Slightly_Open", "Wavy_Hair"):
        assert len(np.unique(table[:, ATTRIBUTES.index(name)])) == 2, name


def test_traits_decide_attributes() -> None:
    person = _changed(
        Person(np.random.default_rng(1)),
        hair_style="long", hair_colour="blond", hat=False, eyewear="glasses", beard="none", smile=0.9, waves=0.9,
    )  # fmt: skip
    attributes = dict(zip(ATTRIBUTES, person.attributes(blurry=True), strict=True))
    expected = ("Blond_Hair", "Eyeglasses", "No_Beard", "Smiling", "Wavy_Hair", "Blurry")
    assert all(attributes[name] == 1 for name in expected)
    assert all(attributes[name] == -1 for name in ("Bald", "Black_Hair", "Straight_Hair", "Wearing_Hat", "Goatee"))


def test_some_rectangles_leave_the_picture_and_some_do_not(items: list[faults.Item]) -> None:
    eyes = np.array([item.landmarks for item in items]).reshape(-1, 5, 2)[:, :2]
    centre, half = eyes.mean(axis=1), 2 * np.linalg.norm(eyes[:, 1] - eyes[:, 0], axis=1, keepdims=True)
    outside = ((centre < half) | (centre + half > [_size(item) for item in items])).any(axis=1)
    assert 0 < outside.sum() < len(items)


@pytest.mark.parametrize("full_chroma", [True, False])
@pytest.mark.parametrize("progressive", [True, False])
def test_the_jpeg_is_written_as_the_shot_says(full_chroma: bool, progressive: bool) -> None:
    shot = _changed(camera.Shot(np.random.default_rng(1), 1), full_chroma=full_chroma, progressive=progressive)
    jpeg = camera.develop(np.zeros((16, 16, 3), np.uint8), shot)
    frame = jpeg.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    assert jpeg[frame + 11] == (0x11 if full_chroma else 0x22)


@pytest.mark.parametrize(("field", "value"), [("blur", 2.0), ("motion", 9.0), ("small", 2.5)])
def test_an_unsharp_shot_has_less_detail(field: str, value: float) -> None:
    sharp = _changed(camera.Shot(np.random.default_rng(1), 1), blur=0.0, motion=0.0, small=1.0, grain=0.0)
    image = np.random.default_rng(2).random((64, 64, 3), np.float32)
    one = camera.expose(image, sharp, np.random.default_rng(3))
    other = camera.expose(image, _changed(sharp, **{field: value}), np.random.default_rng(3))
    assert other.std() < 0.8 * one.std()
