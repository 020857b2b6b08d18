"""Drawn photographs: true landmarks, variety, and the same bytes for the same number."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipeline.demo.faces import camera, portrait
from pipeline.demo.faces.canvas import Canvas
from pipeline.demo.faces.pose import Pose
from pipeline.demo.faces.traits import ATTRIBUTES, draw_traits

SEED = 3


@pytest.fixture(scope="module")
def portraits() -> list[portrait.Portrait]:
    return [portrait.take(SEED, number, 50, 110) for number in range(1, 25)]


def test_a_number_always_gives_the_same_bytes(portraits: list[portrait.Portrait]) -> None:
    assert portrait.take(SEED, 5, 50, 110) == portraits[4]
    assert portrait.take(SEED + 1, 5, 50, 110).jpeg != portraits[4].jpeg


def test_photographs_are_jpegs_of_varied_size(portraits: list[portrait.Portrait]) -> None:
    images = [Image.open(io.BytesIO(shot.jpeg)) for shot in portraits]
    assert [(image.format, image.size) for image in images] == [("JPEG", (p.width, p.height)) for p in portraits]
    assert len({image.size for image in images}) > 12
    assert all(portrait.SIDE_MIN - 1 <= max(image.size) <= portrait.SIDE_MAX for image in images)
    assert sum(image.mode == "L" for image in images) == 1


def test_landmarks_lie_in_the_picture_and_in_the_order_of_a_face(portraits: list[portrait.Portrait]) -> None:
    for shot in portraits:
        left, right, nose, mouth_left, mouth_right = np.array(shot.landmarks).reshape(5, 2)
        for point in (left, right, nose, mouth_left, mouth_right):
            assert (point >= 0).all()
            assert (point < (shot.width, shot.height)).all()
        across = (right - left) / np.linalg.norm(right - left)
        down = np.array([-across[1], across[0]])
        assert (mouth_right - mouth_left) @ across > 0
        assert 0 < (nose - left) @ down < (mouth_left - left) @ down


def test_faces_have_the_width_that_is_asked_for(portraits: list[portrait.Portrait]) -> None:
    distances = [np.linalg.norm(np.diff(np.array(p.landmarks[:4]).reshape(2, 2), axis=0)) for p in portraits]
    assert min(distances) > 0.36 * 50
    assert max(distances) < 0.5 * 110 + 1


def test_landmarks_mark_what_is_painted() -> None:
    """The pupil is the darkest place of the eye's surroundings, in the painted picture."""
    rng = np.random.default_rng(2)
    traits = replace(
        draw_traits(rng), eyewear="none", gaze=(0.0, 0.0), makeup=0.0, eye_open=1.3, hair_style="bald", hat=False
    )
    pose = Pose(x=150, y=150, unit=100, roll=0.3, yaw=0.2, pitch=-0.05)
    canvas = Canvas(np.full((300, 300, 3), 0.6, np.float32))
    portrait.paint_person(canvas, traits, pose, portrait.draw_light(rng), rng)
    marks = np.array(portrait.landmarks(traits, pose)).reshape(5, 2)
    for x, y in marks[:2]:
        near = canvas.image_HWC[y - 9 : y + 10, x - 9 : x + 10].mean(axis=2)
        dark_y, dark_x = np.argwhere(near < near.min() + 0.05).mean(axis=0) - 9
        assert abs(dark_x) < 4
        assert abs(dark_y) < 4


def test_people_differ_and_their_attributes_say_how(portraits: list[portrait.Portrait]) -> None:
    table = np.array([shot.attributes for shot in portraits])
    assert table.shape[1] == len(ATTRIBUTES) == 40
    assert set(np.unique(table)) == {-1, 1}
    for name in ("Smiling", "Black_Hair", "No_Beard", "Mouth_Slightly_Open", "Wavy_Hair"):
        column = table[:, ATTRIBUTES.index(name)]
        assert -1 in column, name
        assert 1 in column, name


def test_traits_decide_attributes() -> None:
    traits = replace(
        draw_traits(np.random.default_rng(1)),
        hair_style="long", hair_colour="blond", hat=False, eyewear="glasses", beard="none", smile=0.9, waves=0.9,
    )  # fmt: skip
    attributes = dict(zip(ATTRIBUTES, traits.attributes(blurry=True), strict=True))
    wanted = ("Blond_Hair", "Eyeglasses", "No_Beard", "Smiling", "Wavy_Hair", "Blurry")
    assert all(attributes[name] == 1 for name in wanted)
    assert all(attributes[name] == -1 for name in ("Bald", "Black_Hair", "Straight_Hair", "Wearing_Hat", "Goatee"))


def test_some_rectangles_leave_the_picture_and_some_do_not(portraits: list[portrait.Portrait]) -> None:
    outside = 0
    for shot in portraits:
        eyes = np.array(shot.landmarks[:4]).reshape(2, 2)
        half = 2 * np.linalg.norm(eyes[1] - eyes[0])
        centre = eyes.mean(axis=0)
        outside += bool((centre - half < 0).any() or (centre + half > (shot.width, shot.height)).any())
    assert 0 < outside < len(portraits)


@pytest.mark.parametrize("full_chroma", [True, False])
@pytest.mark.parametrize("progressive", [True, False])
def test_the_jpeg_is_written_as_the_shot_says(full_chroma: bool, progressive: bool) -> None:
    shot = replace(camera.draw_shot(np.random.default_rng(1), 1), full_chroma=full_chroma, progressive=progressive)
    jpeg = camera.develop(np.zeros((16, 16, 3), np.uint8), shot)
    frame = jpeg.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    assert jpeg[frame + 11] == (0x11 if full_chroma else 0x22)


@pytest.mark.parametrize(("field", "value"), [("blur", 2.0), ("motion", 9.0), ("small", 2.5)])
def test_an_unsharp_shot_has_less_detail(field: str, value: float) -> None:
    sharp = replace(camera.draw_shot(np.random.default_rng(1), 1), blur=0.0, motion=0.0, small=1.0, grain=0.0)
    image = np.random.default_rng(2).random((64, 64, 3), np.float32)
    one = camera.expose(image, sharp, np.random.default_rng(3))
    other = camera.expose(image, replace(sharp, **{field: value}), np.random.default_rng(3))
    assert other.std() < 0.8 * one.std()
