"""The compiled recipe against the plain one: no differing byte on random images, over all branches."""

import os
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.faces import geometry, lanczos
from pipeline.faces.geometry import Box, Padding, Rectangle
from pipeline.faces.region import crop_region, enlarge
from pipeline.published.exact import pad, warp
from pipeline.published.exact.render import render
from pipeline.published.exact.steps import transform
from tests.published.exact import reference

SIDES = st.integers(1, 90)
SEEDS = st.integers(0, 2**32 - 1)
many = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def picture(seed: int, width: int, height: int) -> np.ndarray:
    """Flat areas, gradients and noise."""
    random = np.random.default_rng(seed)
    noise = random.integers(0, 256, (height, width, 3), np.uint8)
    cells = random.integers(0, 256, (-(-height // 7), -(-width // 5), 3), np.uint8)
    flat = cells.repeat(7, axis=0).repeat(5, axis=1)[:height, :width]
    y, x = np.mgrid[:height, :width]
    gradient = np.stack([x * 3, y * 2, x + y], axis=-1).astype(np.uint8)
    chosen = random.integers(0, 3, (height, width, 1))
    return np.select([chosen == 0, chosen == 1], [noise, flat], gradient).astype(np.uint8)


def random_face(seed: int, resolution: int) -> tuple[np.ndarray, Rectangle]:
    """A photograph and a square in it, of a fifth of `resolution` to eight times it; every other one has ample room."""
    random = np.random.default_rng(seed)
    roomy = seed % 2 == 0
    side = max(resolution * 2 ** random.uniform(-2.3, 3), 45 if roomy else 1)
    room, middle = ((1.7, 2.2), (0.45, 0.55)) if roomy else ((0.3, 1.8), (0.2, 0.8))
    width, height = (max(int(side * random.uniform(*room)), 1) for _ in range(2))
    angle = random.choice([0, np.pi / 2, random.uniform(0, 2 * np.pi)])
    x_axis = np.array([np.cos(angle), np.sin(angle)]) * side / 2
    y_axis = np.array([-x_axis[1], x_axis[0]])
    corners_42 = np.array([-x_axis - y_axis, -x_axis + y_axis, x_axis + y_axis, x_axis - y_axis])
    quad_42 = corners_42 + random.uniform(*middle, 2) * (width, height)
    return picture(seed, width, height), Rectangle(quad_42.astype(np.float32), resolution / side)


def test_whole_recipe_on_random_photographs_of_every_branch() -> None:
    branches = Counter[str]()
    for seed in range(300 if os.environ.get("CELEBAHQ_EVERY_CASE") else 120):
        resolution = (8, 16, 32, 64)[seed // 2 % 4]
        image_HWC, rectangle = random_face(seed, resolution)
        region = crop_region(image_HWC, rectangle, resolution)
        factor = geometry.enlarge_factor(region.rectangle.zoom)
        height, width, _ = region.image_HWC.shape
        enlarged = enlarge(region)
        if region.shrink > 1:
            size = geometry.shrunk_size(image_HWC.shape[1], image_HWC.shape[0], region.shrink)
            plain = crop_region(reference.resize(image_HWC, *size), rectangle.shrunk(region.shrink), resolution)
            assert np.array_equal(region.image_HWC, plain.image_HWC), seed
        assert np.array_equal(
            enlarged.image_HWC, reference.resize(region.image_HWC, width * factor, height * factor)
        ), seed
        fast, plain = render(enlarged, resolution), reference.render(enlarged, resolution)
        assert (fast.image_HWC != plain.image_HWC).sum() == 0, seed
        assert fast.padded == plain.padded
        branches.update({"shrink": region.shrink > 1, "enlarge": factor > 1, "as it is": factor == region.shrink == 1})
        branches.update({"padded": plain.padded, "not padded": not plain.padded})
        margins = geometry.padding(enlarged.rectangle, *enlarged.image_HWC.shape[1::-1], region.border, resolution)
        branches["mirrored twice"] += margins is not None and max(margins.left, margins.right) >= width * factor
    assert min(branches[name] for name in branches) >= 5, branches
    assert len(branches) == 6


@many
@given(SEEDS, SIDES, SIDES, SIDES, SIDES)
def test_resize(seed: int, width: int, height: int, new_width: int, new_height: int) -> None:
    image_HWC = picture(seed, width, height)
    fast = lanczos.resize(image_HWC, new_width, new_height)
    assert np.array_equal(fast, reference.resize(image_HWC, new_width, new_height))


@many
@given(SEEDS, SIDES, SIDES, st.tuples(*[st.integers(1, 120)] * 4), st.floats(0.2, 9))
def test_pad(seed: int, width: int, height: int, margins: tuple[int, int, int, int], sigma: float) -> None:
    image_HWC, padding = picture(seed, width, height), Padding(*margins, sigma)
    whole = Box(0, 0, *padding.size(width, height))
    assert np.array_equal(pad.pad(image_HWC, padding, whole), reference.pad(image_HWC, padding))


def test_pad_of_an_image_larger_than_its_margins_leaves_the_middle() -> None:
    image_HWC = picture(1, 700, 600)
    padding = Padding(40, 50, 60, 30, 4.5)
    padded = pad.pad(image_HWC, padding, Box(0, 0, *padding.size(700, 600)))
    assert np.array_equal(padded, reference.pad(image_HWC, padding))
    assert np.array_equal(padded[250:450, 250:450], image_HWC[200:400, 210:410])


@many
@given(
    SEEDS,
    st.integers(8, 60),
    st.integers(8, 60),
    st.sampled_from([8, 16, 32]),
    st.lists(st.floats(0, 1), min_size=8, max_size=8),
)
def test_warp(seed: int, width: int, height: int, resolution: int, places: list[float]) -> None:
    corners_42 = np.float32(places).reshape(4, 2) * np.float32([width - 2, height - 2]) + 1
    image_HWC = picture(seed, width, height)
    plain = reference.resize(transform(image_HWC, corners_42, 4 * resolution), resolution, resolution)
    assert np.array_equal(warp.warp(image_HWC, corners_42, resolution).transpose(1, 2, 0), plain)


def test_warp_refuses_what_it_cannot_read() -> None:
    image_HWC = picture(1, 40, 30)
    inside_42 = np.float32([[1, 1], [1, 29], [39, 29], [39, 1]])
    warp.warp(image_HWC, inside_42, 8)
    for corner, axis, value in [(0, 0, 0.9), (1, 1, 29.1), (2, 0, 39.1), (3, 1, np.nan)]:
        outside_42 = inside_42.copy()
        outside_42[corner, axis] = value
        with pytest.raises(ValueError, match="needs padding"):
            warp.warp(image_HWC, outside_42, 8)
    with pytest.raises(ValueError, match="at least 8"):
        warp.warp(image_HWC, inside_42, 4)
