"""The region of a face: the pixels around the square, and the square that still marks the same ones."""

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.errors import DropReason, RejectedInputError
from pipeline.faces import geometry
from pipeline.faces.decode import AS_PUBLISHED, decode
from pipeline.faces.geometry import Rectangle
from pipeline.faces.region import crop_region
from tests.outside import VECTORS, cases


def _plane(width: int, height: int, step: int = 1) -> np.ndarray:
    """Pixels that hold their own column and row, one level brighter every `step` pixels."""
    y, x = np.mgrid[:height, :width] // step
    return np.stack([x, y, np.zeros_like(x)], axis=-1).astype(np.uint8)


def _square(centre: tuple[float, float], side: float, angle: float, resolution: int) -> Rectangle:
    x_axis = np.array([np.cos(angle), np.sin(angle)]) * side / 2
    y_axis = np.array([-x_axis[1], x_axis[0]])
    quad_42 = np.array([-x_axis - y_axis, -x_axis + y_axis, x_axis + y_axis, x_axis - y_axis]) + centre
    return Rectangle(quad_42.astype(np.float32), resolution / side)


@given(
    st.tuples(st.floats(-60, 300), st.floats(-60, 300)),
    st.floats(20, 200),
    st.floats(0, 7),
    st.sampled_from([64, 256, 1024]),
)
def test_the_square_marks_the_same_pixels(
    centre: tuple[float, float], side: float, angle: float, resolution: int
) -> None:
    rectangle = _square(centre, side, angle, resolution)
    assume(rectangle.meets(250, 220) and geometry.shrink_factor(rectangle.zoom) == 1)
    region = crop_region(_plane(250, 220), rectangle, resolution)
    assert region.shrink == 1
    assert region.border == max(round(resolution * 0.1 / rectangle.zoom), 3)
    left, upper = region.image_HWC[0, 0, :2].tolist()
    assert np.allclose(region.rectangle.quad_42 + np.float32([left, upper]), rectangle.quad_42, atol=1e-4)
    height, width = region.image_HWC.shape[:2]
    assert np.array_equal(region.image_HWC, _plane(250, 220)[upper : upper + height, left : left + width])
    far = np.concatenate([rectangle.quad_42.min(axis=0) - region.border, rectangle.quad_42.max(axis=0) + region.border])
    assert left <= max(far[0], 0)
    assert upper <= max(far[1], 0)
    assert left + width >= min(far[2], 250)
    assert upper + height >= min(far[3], 220)


@pytest.mark.parametrize(("side", "shrink"), [(130, 1), (250, 1), (256, 2), (400, 3), (640, 5)])
def test_a_face_far_too_large_is_shrunk(side: int, shrink: int) -> None:
    rectangle = _square((400, 300), side, 0.0, 64)
    region = crop_region(_plane(800, 600, step=4), rectangle, 64)
    assert region.shrink == shrink
    assert region.rectangle.zoom == pytest.approx(rectangle.zoom * shrink)
    assert region.rectangle.side(64) == pytest.approx(side / shrink)
    # The middle of the square still shows column 400 and row 300: levels 100 and 75 of the plane.
    x, y = region.rectangle.quad_42.mean(axis=0).round().astype(int)
    assert np.abs(region.image_HWC[y, x, :2] - np.float64([100, 75])).max() <= shrink


def test_a_rectangle_outside_of_the_photograph_is_rejected() -> None:
    with pytest.raises(RejectedInputError) as caught:
        crop_region(_plane(100, 100), _square((300, 50), 80, 0.3, 1024), 1024)
    assert caught.value.reason is DropReason.OUTSIDE_IMAGE


@pytest.mark.vectors
@pytest.mark.parametrize("case", cases())
def test_the_region_of_all_vectors(case: dict[str, Any]) -> None:
    rectangle = geometry.rectangle_of_landmarks(np.array(case["landmarks"], np.float32), 1024)
    region = crop_region(decode((VECTORS / case["jpeg"]).read_bytes(), AS_PUBLISHED), rectangle, 1024)
    known = [stage for stage in case["stages"] if stage["name"] in ("shrink", "crop")]
    height, width = region.image_HWC.shape[:2]
    assert region.border == case["border"]
    if known:
        assert (width, height) == (known[-1]["width"], known[-1]["height"])
    md5 = hashlib.md5(np.ascontiguousarray(region.image_HWC), usedforsecurity=False).hexdigest()
    assert md5 == (known[-1]["md5"] if known else case["rgb_md5"])
