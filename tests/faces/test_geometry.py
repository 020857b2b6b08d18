"""Rectangles from landmarks: bit for bit against the published recipe, and what must hold for every face."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.errors import DropReason, RejectedInputError
from pipeline.faces import geometry
from pipeline.faces.geometry import Box, Points, Rectangle
from tests.outside import cases

GOLDEN: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "golden" / "geometry.json").read_text())["cases"]

HALF_PIXEL = 0.5
"""The recipe adds it to the eyes and the mouth: maps of the plane must be taken about it."""


@st.composite
def upright_faces(draw: st.DrawFn) -> Points:
    """Five landmarks of an upright face, symmetric but for the nose, about the origin, eyes 1 apart."""
    mouth_y = draw(st.floats(0.4, 2.0))
    mouth_x = draw(st.floats(0.1, 0.8))
    nose = draw(st.tuples(st.floats(-0.3, 0.3), st.floats(0.2, 0.8)))
    return np.array([[-0.5, 0], [0.5, 0], nose, [-mouth_x, mouth_y], [mouth_x, mouth_y]], np.float64)


@st.composite
def placed_faces(draw: st.DrawFn) -> Points:
    """Five landmarks of a turned face somewhere in or near a photograph."""
    face_52 = draw(upright_faces())
    angle, size = draw(st.floats(0, 2 * math.pi)), draw(st.floats(8, 2000))
    centre = draw(st.tuples(st.floats(-200, 4000), st.floats(-200, 4000)))
    return (_turned(face_52, angle) * size + centre).astype(np.float32)


def _turned(points_N2: np.ndarray, angle: float) -> np.ndarray:
    cosine, sine = math.cos(angle), math.sin(angle)
    return points_N2 @ np.array([[cosine, sine], [-sine, cosine]])


def _rectangle(landmarks_52: np.ndarray, resolution: int = 1024) -> Rectangle:
    return geometry.rectangle_of_landmarks(landmarks_52.astype(np.float32), resolution)


def _close(found_N2: np.ndarray, expected_N2: np.ndarray, magnitude: float) -> bool:
    """Equal within 16 units in the last place of float32 coordinates of this magnitude."""
    return bool(np.abs(found_N2 - expected_N2).max() <= 16 * magnitude * np.finfo(np.float32).eps)


def _follow(case: dict[str, Any]) -> dict[str, Any]:
    """All numbers of a golden case, made anew."""
    width, height = case["width"], case["height"]
    rectangle = _rectangle(np.array(case["landmarks"]))
    found: dict[str, Any] = {"quad_start": list(rectangle.flat), "zoom_start": rectangle.zoom}
    found["shrink"] = geometry.shrink_factor(rectangle.zoom)
    if found["shrink"] > 1:
        width, height = geometry.shrunk_size(width, height, found["shrink"])
        rectangle = rectangle.shrunk(found["shrink"])
    found["border"] = geometry.border_pixels(rectangle.zoom, 1024)
    box = geometry.crop_box(rectangle, width, height, found["border"])
    found["crop"] = None if box == Box(0, 0, width, height) else [box.left, box.upper, box.right, box.lower]
    rectangle = rectangle.moved(-box.left, -box.upper)
    width, height = box.right - box.left, box.lower - box.upper
    found["superres"] = geometry.enlarge_factor(rectangle.zoom)
    if found["superres"] > 1:
        width, height = width * found["superres"], height * found["superres"]
        rectangle = rectangle.enlarged(found["superres"])
    padding = geometry.padding(rectangle, width, height, found["border"], 1024)
    found["pad"] = padding and [padding.left, padding.top, padding.right, padding.bottom]
    found["blur"] = padding and padding.blur_sigma
    if padding is not None:
        rectangle = rectangle.moved(padding.left, padding.top)
    found["zoom_end"] = rectangle.zoom
    found["quad_end"] = rectangle.transform_corners_42.ravel().tolist()
    return found


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["id"])
def test_every_number_of_the_published_recipe(case: dict[str, Any]) -> None:
    found = _follow(case)
    expected = {name: case[name] for name in found}
    # dataset_tool.py's factors may be 0, which it ignores as it ignores 1
    assert found == expected | {name: max(case[name], 1) for name in ("shrink", "superres")}


@pytest.mark.vectors
@pytest.mark.parametrize("case", cases())
def test_every_number_of_all_vectors(case: dict[str, Any]) -> None:
    found = _follow(case)
    expected = {name: case[name] for name in found}
    # dataset_tool.py's factors may be 0, which it ignores as it ignores 1
    assert found == expected | {name: max(case[name], 1) for name in ("shrink", "superres")}


@given(placed_faces())
def test_the_rectangle_is_a_square(landmarks_52: Points) -> None:
    rectangle = _rectangle(landmarks_52)
    north_west, south_west, south_east, north_east = rectangle.quad_42.astype(np.float64)
    across, down = north_east - north_west, south_west - north_west
    magnitude = max(np.abs(rectangle.quad_42).max(), np.abs(landmarks_52).max())
    assert _close(south_east, north_east + down, magnitude)
    assert _close(np.array([-down[1], down[0]]), -across, magnitude), "a quarter turn leads from one axis to the other"
    assert math.isclose(math.hypot(*across), rectangle.side(1024), rel_tol=1e-3)


@given(upright_faces(), st.floats(10, 1000))
def test_an_upright_face_has_an_upright_square_with_both_eyes_in_its_upper_half(face_52: Points, size: float) -> None:
    quad_42 = _rectangle(face_52 * size).quad_42 - np.float32(HALF_PIXEL)
    (left, top), (right, bottom) = quad_42[0], quad_42[2]
    assert left < -size / 2 < size / 2 < right
    assert top < 0 < (top + bottom) / 2
    assert _close(quad_42, np.array([[left, top], [left, bottom], [right, bottom], [right, top]]), right - left)


@given(
    placed_faces(), st.floats(0, 2 * math.pi), st.floats(0.2, 4), st.tuples(st.floats(-500, 500), st.floats(-500, 500))
)
def test_the_rectangle_turns_grows_and_moves_with_the_landmarks(
    landmarks_52: Points, angle: float, scale: float, offset: tuple[float, float]
) -> None:
    old = _rectangle(landmarks_52)
    moved_52 = (_turned(landmarks_52, angle) * scale + offset).astype(np.float32)
    new = _rectangle(moved_52)
    expected_42 = _turned(old.quad_42 - HALF_PIXEL, angle) * scale + offset + HALF_PIXEL
    magnitude = max(np.abs(moved_52).max(), scale * np.abs(landmarks_52).max(), np.abs(expected_42).max())
    assert _close(new.quad_42, expected_42, magnitude)
    assert math.isclose(new.zoom * scale, old.zoom, rel_tol=16 * magnitude / new.side(1024) * np.finfo(np.float32).eps)


@given(placed_faces())
def test_the_resolution_changes_the_zoom_alone(landmarks_52: Points) -> None:
    large, small = _rectangle(landmarks_52), _rectangle(landmarks_52, 256)
    assert small.flat == large.flat
    assert small.zoom == large.zoom / 4


@given(placed_faces(), st.integers(40, 4000), st.integers(40, 4000), st.sampled_from([64, 256, 1024]))
def test_the_square_ends_well_inside_the_padded_region(
    landmarks_52: Points, width: int, height: int, resolution: int
) -> None:
    rectangle = _rectangle(landmarks_52, resolution)
    factor = geometry.shrink_factor(rectangle.zoom)
    (width, height), rectangle = geometry.shrunk_size(width, height, factor), rectangle.shrunk(factor)
    assume(rectangle.meets(width, height))
    border = geometry.border_pixels(rectangle.zoom, resolution)
    box = geometry.crop_box(rectangle, width, height, border)
    assert box.right <= width
    assert box.lower <= height
    factor = geometry.enlarge_factor(rectangle.zoom)
    rectangle = rectangle.moved(-box.left, -box.upper).enlarged(factor)
    assert rectangle.zoom <= 1
    size = np.array([box.right - box.left, box.lower - box.upper]) * factor
    padding = geometry.padding(rectangle, *size.tolist(), border, resolution)
    if padding is not None:
        rectangle = rectangle.moved(padding.left, padding.top)
        size += (padding.left + padding.right, padding.top + padding.bottom)
    assert (rectangle.quad_42 >= 3).all(), "the transform never meets the border"
    assert (rectangle.quad_42 <= size - 3).all()


@given(placed_faces(), st.integers(1, 3000), st.integers(1, 3000))
def test_meeting_the_image_is_having_points_in_common(landmarks_52: Points, width: int, height: int) -> None:
    rectangle = _rectangle(landmarks_52)
    steps_N = np.linspace(0, 1, 41)
    across, down = np.meshgrid(steps_N, steps_N)
    quad_42 = rectangle.quad_42.astype(np.float64)
    points_NN2 = (
        quad_42[0] + across[..., None] * (quad_42[3] - quad_42[0]) + down[..., None] * (quad_42[1] - quad_42[0])
    )
    inside = ((points_NN2 > 0) & (points_NN2 < (width, height))).all(axis=-1).any()
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - quad_42[0]
    axes = np.stack([quad_42[3] - quad_42[0], quad_42[1] - quad_42[0]])
    shares = corners @ axes.T / (axes**2).sum(axis=1)
    covered = ((shares > 0) & (shares < 1)).all(axis=-1).any()
    if inside or covered:
        assert rectangle.meets(width, height)


@pytest.mark.parametrize(
    ("quad_42", "meets"),
    [
        ([[-9, -9], [-9, -1], [-1, -1], [-1, -9]], False),
        ([[-9, -9], [-9, 0], [0, 0], [0, -9]], False),
        ([[-9, -9], [-9, 1], [1, 1], [1, -9]], True),
        ([[20, -10], [10, 0], [20, 10], [30, 0]], False),
        ([[109, 95], [99, 105], [109, 115], [119, 105]], False),  # both boxes overlap, yet a diagonal parts the two
        ([[107, 87], [97, 97], [107, 107], [117, 97]], True),
        ([[-500, -500], [-500, 900], [900, 900], [900, -500]], True),
    ],
)
def test_squares_beside_over_and_around_an_image(quad_42: list[list[float]], meets: bool) -> None:
    width = 10 if quad_42[0][0] == 20 else 100
    assert Rectangle(np.array(quad_42, np.float32), 1.0).meets(width, 100) is meets


@pytest.mark.parametrize(
    "landmarks",
    [
        [[5, 5], [5, 5], [5, 6], [4, 9], [6, 9]],
        [[5, 5], [5, 5], [5, 5], [5, 5], [5, 5]],
        [[float("nan"), 5], [9, 5], [7, 6], [4, 9], [6, 9]],
        [[float("inf"), 5], [9, 5], [7, 6], [4, 9], [6, 9]],
        [[10, 5], [0, 5], [5, 6], [2, 15], [8, 15]],  # eyes swapped, as far apart as the mouth is below: axes cancel
    ],
)
def test_landmarks_that_span_no_square_are_rejected(landmarks: list[list[float]]) -> None:
    with pytest.raises(RejectedInputError) as caught:
        _rectangle(np.array(landmarks, np.float32))
    assert caught.value.reason is DropReason.ABSURD_LANDMARKS


def test_a_region_outside_the_image_is_rejected() -> None:
    rectangle = Rectangle(np.array([[200, 0], [200, 9], [209, 9], [209, 0]], np.float32), 1.0)
    with pytest.raises(RejectedInputError) as caught:
        geometry.crop_box(rectangle, 100, 100, 5)
    assert caught.value.reason is DropReason.OUTSIDE_IMAGE


def test_a_narrow_image_never_vanishes() -> None:
    assert geometry.shrunk_size(1, 3000, 100) == (1, 30)
    assert geometry.shrunk_size(5, 7, 2) == (2, 4), "ties go to the even number"


def test_the_whole_of_a_square_image() -> None:
    rectangle = geometry.rectangle_of_square(128, 64)
    assert rectangle.flat == (0, 0, 0, 128, 128, 128, 128, 0)
    assert rectangle.zoom == 0.5
    assert rectangle.side(64) == 128


def test_a_rectangle_survives_a_table() -> None:
    rectangle = _rectangle(np.array(GOLDEN[0]["landmarks"]))
    back = Rectangle.from_row(rectangle.flat, rectangle.zoom)
    assert np.array_equal(back.quad_42, rectangle.quad_42)
    assert back.zoom == rectangle.zoom


@pytest.mark.parametrize(
    ("quad_42", "zoom"),
    [
        (np.zeros((4, 2)), 1.0),
        (np.zeros((8,), np.float32), 1.0),
        (np.full((4, 2), np.nan, np.float32), 1.0),
        (np.zeros((4, 2), np.float32), 0.0),
        (np.zeros((4, 2), np.float32), math.nan),
    ],
)
def test_a_rectangle_refuses_what_is_none(quad_42: Points, zoom: float) -> None:
    with pytest.raises(ValueError, match="rectangle"):
        Rectangle(quad_42, zoom)


def test_a_rectangle_does_not_change_under_its_owner() -> None:
    quad_42 = np.array([[0, 0], [0, 9], [9, 9], [9, 0]], np.float32)
    rectangle = Rectangle(quad_42, 1.0)
    quad_42[0] = 5
    assert rectangle.flat[:2] == (0, 0)
    with pytest.raises(ValueError, match="read-only"):
        rectangle.quad_42[0] = 5


def test_a_box_holds_pixels() -> None:
    with pytest.raises(ValueError, match="box"):
        Box(4, 0, 4, 9)
