"""The tools of the painter: coverage, curves, poses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.demo.canvas import Canvas, curve, ellipse, noise, stroke, symmetric
from pipeline.demo.head import Pose

angles = st.floats(-0.4, 0.4)


def _canvas(size: int = 64) -> Canvas:
    return Canvas(np.zeros((size, size, 3), np.float32))


@settings(max_examples=20, deadline=None)
@given(st.floats(10, 40), st.floats(10, 40), st.floats(4, 9), st.sampled_from([0.0, 0.8, 5.0]))
def test_coverage_sums_to_the_area_wherever_the_shape_lies(x: float, y: float, radius: float, soft: float) -> None:
    # drawn edges are a quarter of a fine pixel wide on each side, and a blurred shape is drawn on a coarser grid
    mask = _canvas(120).coverage(ellipse((x + 35, y + 35), radius, radius), soft)
    assert mask.sum() == pytest.approx(np.pi * radius**2, rel=0.12 if soft < 2 else 0.2)
    rows, columns = np.mgrid[0:120, 0:120] + 0.5
    assert (mask * columns).sum() / mask.sum() == pytest.approx(x + 35, abs=0.5)
    assert (mask * rows).sum() / mask.sum() == pytest.approx(y + 35, abs=0.5)


def test_edges_are_not_jagged() -> None:
    levels = np.unique(_canvas().coverage(np.array([(5.3, 5), (40, 22.2), (20.6, 60)])))
    assert len(levels) > 40
    assert (levels[0], levels[-1]) == (0, 1)


def test_a_part_is_clipped_to_the_canvas_and_empty_outside() -> None:
    canvas = _canvas()
    part = canvas.part(np.array([(-5.0, 60.0), (5.0, 90.0)]))
    assert (part.x0, part.y0, part.image_HWC.shape) == (0, 59, (5, 6, 3))
    outside = np.array([(-50.0, 5.0), (-20.0, 9.0), (-20.0, 20.0)])
    assert canvas.part(outside).image_HWC.size == 0
    canvas.paint(outside, (1, 1, 1), soft=0.5)
    assert not canvas.image_HWC.any()


def test_painting_changes_only_the_shape() -> None:
    canvas, square = _canvas(), np.array([(10, 10), (20, 10), (20, 20), (10, 20)])
    canvas.paint(square, (1.0, 0.5, 0.0))
    assert canvas.image_HWC[15, 15] == pytest.approx([1, 0.5, 0])
    assert not canvas.image_HWC[:8].any()
    canvas.darken(square, 0.5, soft=0.0)
    assert canvas.image_HWC[15, 15] == pytest.approx([0.5, 0.25, 0])


@given(st.floats(-100, 100), st.floats(-100, 100), st.floats(5, 200), st.floats(-3, 3), angles, angles)
def test_the_grid_undoes_the_pose(x: float, y: float, unit: float, roll: float, yaw: float, pitch: float) -> None:
    pose = Pose(x=x, y=y, unit=unit, roll=roll, yaw=yaw, pitch=pitch)
    across, down = pose.grid(Canvas(np.zeros((2, 3, 3), np.float32), unit, 3, 7))
    pixels = pose.flat(np.stack([across.ravel(), down.ravel()], axis=1))
    rows, columns = np.mgrid[7:9, 3:6] + 0.5
    assert pixels == pytest.approx(np.stack([columns.ravel(), rows.ravel()], axis=1), abs=2e-3)


@given(st.floats(0.05, 0.33))
def test_turning_moves_the_nose_more_than_the_eyes(yaw: float) -> None:
    pose = Pose(x=0, y=0, unit=1, roll=0, yaw=yaw, pitch=0)
    nose, eye = pose.turned((0, 0.46), lift=0.26)[0, 0], pose.turned((0.46, 0.0))[0, 0] - 0.46
    assert nose > max(eye, 0)


def test_curves_pass_through_their_control_points() -> None:
    control = np.array([(0, 0), (2, 1), (3, 4), (-1, 3)])
    assert curve(control, closed=True)[::10] == pytest.approx(control)
    assert curve(control)[::10] == pytest.approx(control)


def test_a_symmetric_curve_is_its_own_mirror_image() -> None:
    shape = symmetric([(0, -2), (1, -1), (1.5, 1), (0, 2)])
    assert np.sort(shape[:, 0]) == pytest.approx(np.sort(-shape[:, 0]), abs=1e-9)
    assert shape[:, 1].min() == pytest.approx(-2, abs=0.1)


def test_a_stroke_is_as_wide_as_stated() -> None:
    line = np.stack([np.linspace(0, 9, 21), np.zeros(21)], axis=1)
    assert np.ptp(stroke(line, 2.0), axis=0) == pytest.approx((9, 2))
    tapered = stroke(line, (1.0, 4.0, 2.0)).reshape(2, 21, 2)
    assert (tapered[0, [0, 9, 20], 1] - tapered[1, [20, 11, 0], 1]) == pytest.approx([1, 4, 2])


def test_noise_has_the_size_of_the_picture_and_no_offset() -> None:
    rng = np.random.default_rng(1)
    for cell in (1.0, 1.6, 7.3, 50.0):
        field = noise(rng, (90, 130), cell, 3)
        assert field.shape == (90, 130)
        assert np.isfinite(field).all()
    assert abs(noise(rng, (400, 400), 4.0, 2).mean()) < 0.05


def test_a_part_of_a_part_is_a_part_of_the_picture() -> None:
    canvas = _canvas()
    part = canvas.part(np.array([(10.0, 10.0), (40.0, 50.0)]))
    square = np.array([(20, 30), (30, 30), (30, 40), (20, 40)])
    part.paint(square, (1, 1, 1))
    assert canvas.image_HWC[35, 25] == pytest.approx(1)
    assert canvas.image_HWC.sum() == pytest.approx(300, rel=0.1)
