"""The fast renderer against plain versions of the recipe's formulas, and against the published recipe's own results."""

import csv
import hashlib
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pipeline.demo import faults
from pipeline.faces import geometry
from pipeline.faces.decode import AS_PUBLISHED, decode
from pipeline.faces.geometry import Box, Padding, Rectangle
from pipeline.faces.pad import padded_part
from pipeline.faces.region import Region, crop_region, enlarge, enlarge_square
from pipeline.faces.render import render, transform
from pipeline.params import SyntheticSource
from tests.outside import REAL, VECTORS, cases
from tests.published.exact import reference


def picture(width: int, height: int, seed: int) -> NDArray[np.uint8]:
    """Smooth shapes with some texture, (height, width, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (7, 7, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + rng.normal(0, 8, (height, width, 3)), 0, 255).astype(np.uint8)


def square(x: float, y: float, side: float, turn: float, resolution: int) -> Rectangle:
    """A square around (x, y), turned clockwise by `turn` radians."""
    half = np.array([np.cos(turn), np.sin(turn)]) * side / 2
    down = np.array([-half[1], half[0]])
    corners = [-half - down, -half + down, half + down, half - down]
    return Rectangle((np.array(corners) + np.array([x, y])).astype(np.float32), resolution / side)


def plain_transform(image_HWC: NDArray[np.uint8], rectangle: Rectangle, resolution: int) -> NDArray[np.uint8]:
    """Bilinear samples at 4R in double, rounded, then their means over 4 x 4, rounded."""
    samples = 4 * resolution
    north_west, south_west, _, north_east = rectangle.quad_42.astype(np.float64)
    y, x = np.mgrid[:samples, :samples][..., None] / samples
    at = north_west + (north_east - north_west) * x + (south_west - north_west) * y
    low = np.floor(at).astype(int)
    dx, dy = np.moveaxis(at - low, -1, 0)[..., None]
    height, width, _ = image_HWC.shape

    def pixel(right: int, down: int) -> NDArray[np.float64]:
        rows, columns = np.clip(low[..., 1] + down, 0, height - 1), np.clip(low[..., 0] + right, 0, width - 1)
        return image_HWC[rows, columns].astype(np.float64)

    upper = pixel(0, 0) * (1 - dx) + pixel(1, 0) * dx
    lower = pixel(0, 1) * (1 - dx) + pixel(1, 1) * dx
    rounded = np.rint(upper * (1 - dy) + lower * dy)
    return np.rint(rounded.reshape(resolution, 4, resolution, 4, 3).mean(axis=(1, 3))).astype(np.uint8)


def levels(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.abs(a.astype(np.int64) - b)


sides = st.integers(1, 60)
pads = st.integers(1, 150)


@settings(max_examples=40, deadline=None)
@given(width=sides, height=sides, left=pads, top=pads, right=pads, bottom=pads, sigma=st.floats(0.3, 7), seed=sides)
def test_padding_equals_the_plain_formulas(
    width: int, height: int, left: int, top: int, right: int, bottom: int, sigma: float, seed: int
) -> None:
    region_HWC = picture(width, height, seed)
    padding = Padding(left, top, right, bottom, sigma)
    whole = Box(0, 0, left + width + right, top + height + bottom)
    assert levels(padded_part(region_HWC, padding, whole), reference.pad(region_HWC, padding)).max() <= 1


@pytest.mark.parametrize("sigma", [8.0, 13.0, 30.0])
def test_a_large_blur_from_reduced_pixels_stays_within_rounding(sigma: float) -> None:
    region_HWC = picture(500, 430, 3)
    least = round(15 * sigma)  # the recipe's 0.3 / 0.02 of the square's side
    padding = Padding(least, least + 7, least, least + 90, sigma)
    whole = Box(0, 0, 500 + 2 * least, 430 + 2 * least + 97)
    difference = levels(padded_part(region_HWC, padding, whole), reference.pad(region_HWC, padding))
    assert difference.max() <= 2
    assert difference.mean() < 0.15


def test_a_part_of_the_padding_equals_that_part_of_the_whole() -> None:
    region_HWC = picture(300, 280, 4)
    padding = Padding(90, 120, 90, 130, 10.0)
    whole = padded_part(region_HWC, padding, Box(0, 0, 480, 530))
    part = padded_part(region_HWC, padding, Box(33, 71, 401, 499))
    assert levels(part, whole[71:499, 33:401]).max() <= 1  # one float32 sum less or more


def test_the_padded_border_is_the_median_and_the_middle_is_untouched() -> None:
    region_HWC = picture(200, 200, 5)
    padded = padded_part(region_HWC, Padding(60, 60, 60, 60, 4.0), Box(0, 0, 320, 320))
    edge = np.concatenate([padded[0], padded[-1], padded[:, 0], padded[:, -1]])
    assert (edge == edge[0]).all()
    assert levels(edge[:1], np.median(region_HWC, axis=(0, 1)).astype(np.uint8)).max() <= 20
    np.testing.assert_array_equal(padded[80:240, 80:240], region_HWC[20:180, 20:180])


@pytest.mark.parametrize(
    ("side", "turn", "most", "mean"),
    [(600.0, 0.4, 1, 0.01), (900.3, -1.2, 1, 0.01), (80.0, 0.0, 4, 0.5), (160.3, 0.4, 4, 0.5), (250.0, 2.9, 4, 0.5)],
)
def test_the_transform_equals_plain_bilinear_sampling(side: float, turn: float, most: int, mean: float) -> None:
    """To the rounding where it takes as many samples; else nearly, also of an image with noise."""
    image_HWC = picture(1400, 1380, 6)
    rectangle = square(700.2, 690.7, side, turn, 144)  # more than one band of rows
    difference = levels(transform(image_HWC, rectangle, 144), plain_transform(image_HWC, rectangle, 144))
    assert difference.max() <= most
    assert difference.mean() < mean


def test_a_square_of_the_final_size_is_copied() -> None:
    image_HWC = picture(128, 128, 8)
    rectangle = square(64, 64, 64, 0.0, 64)
    final_HWC = transform(image_HWC, rectangle, 64)
    # four samples per pixel lie at 0, 1/4, 1/2, 3/4 of the way to the next pixel
    right = image_HWC[32:97, 32:97].astype(np.float64)
    weights = np.array([1 - 0.375, 0.375])
    expected = sum(weights[j] * weights[i] * right[j : j + 64, i : i + 64] for j in (0, 1) for i in (0, 1))
    assert np.abs(final_HWC - expected).max() <= 1.5


def test_a_face_at_the_edge_is_padded_and_one_inside_is_not() -> None:
    region_HWC = picture(120, 110, 9)
    inside = render(Region(region_HWC, square(60, 55, 60, 0.2, 64), shrink=1, border=6), 64)
    edge = render(Region(region_HWC, square(20, 30, 90, 0.2, 64), shrink=1, border=9), 64)
    assert (inside.padded, edge.padded) == (False, True)
    assert inside.image_HWC.shape == edge.image_HWC.shape == (64, 64, 3)


@settings(max_examples=30, deadline=None)
@given(
    width=st.integers(1, 200),
    height=st.integers(1, 200),
    x=st.floats(-100, 300),
    y=st.floats(-100, 300),
    side=st.floats(65, 300),  # of 4 x 4 samples
    turn=st.floats(-3.1, 3.1),
)
def test_rendering_a_part_equals_rendering_the_whole_padded_image(
    width: int, height: int, x: float, y: float, side: float, turn: float
) -> None:
    region_HWC = picture(width, height, 10)
    rectangle = square(x, y, side, turn, 32)
    border = geometry.border_pixels(rectangle.zoom, 32)
    padding = geometry.padding(rectangle, width, height, border, 32)
    rendered = render(Region(region_HWC, rectangle, 1, border), 32)
    assert rendered.padded == (padding is not None)
    image_HWC = region_HWC
    if padding is not None:
        image_HWC, rectangle = reference.pad(region_HWC, padding), rectangle.moved(padding.left, padding.top)
    difference = levels(rendered.image_HWC, plain_transform(image_HWC, rectangle, 32))
    assert difference.max() <= 3
    assert difference.mean() < 0.2


def assert_as_in_the_paper(photograph_HWC: NDArray[np.uint8], landmarks_52: NDArray[np.float32]) -> bool:
    """Within half a level on average, and rarely far off; whether the face was padded."""
    resolution = 256
    rectangle = geometry.rectangle_of_landmarks(landmarks_52, resolution)
    region = crop_region(photograph_HWC, rectangle, resolution)
    rendered = render(enlarge_square(region, resolution), resolution)
    region = enlarge(region)
    image_HWC, rectangle = region.image_HWC, region.rectangle
    height, width, _ = image_HWC.shape
    padding = geometry.padding(rectangle, width, height, region.border, resolution)
    if padding is not None:
        image_HWC, rectangle = reference.pad(image_HWC, padding), rectangle.moved(padding.left, padding.top)
    difference = levels(rendered.image_HWC, plain_transform(image_HWC, rectangle, resolution))
    assert difference.mean() <= 0.5
    assert np.percentile(difference, 99.9) <= 4
    return rendered.padded


def test_drawn_faces_are_as_in_the_paper() -> None:
    source = SyntheticSource(
        kind="synthetic", photographs=4, bad_photographs=0, face_pixels_min=60, face_pixels_max=300, seed=3
    )
    padded = [
        assert_as_in_the_paper(decode(item.content or b"", AS_PUBLISHED), np.float32(item.landmarks).reshape(5, 2))
        for item in (faults.good(source, number) for number in range(1, 5))
    ]
    assert any(padded)
    assert not all(padded)


@pytest.mark.vectors
def test_real_faces_are_as_in_the_paper() -> None:
    with REAL.needed("celebahq/proc_verified.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        points = ("lefteye", "righteye", None, "leftmouth", "rightmouth")
        landmarks_52 = np.float32([[float(row[f"{p}_{axis}"]) if p else 0 for axis in "xy"] for p in points])
        photograph = REAL.needed(f"celeba/img_celeba/{row['orig_file']}").read_bytes()
        padded = assert_as_in_the_paper(decode(photograph, AS_PUBLISHED), landmarks_52)
        assert padded == bool(int(row["padded"]))


@pytest.mark.vectors
@pytest.mark.parametrize("case", cases())
def test_the_published_recipe_gives_the_same_picture(case: dict[str, Any]) -> None:
    """Against the thumbnails (means of 16 x 16 pixels) of what the published recipe made of made-up photographs."""
    image = Image.fromarray(decode((VECTORS / case["jpeg"]).read_bytes(), AS_PUBLISHED))
    assert hashlib.md5(image.tobytes()).hexdigest() == case["rgb_md5"]
    rectangle = geometry.rectangle_of_landmarks(np.array(case["landmarks"], np.float32), 1024)
    if case["shrink"] > 1:
        image = image.resize(geometry.shrunk_size(*image.size, case["shrink"]), Image.Resampling.LANCZOS)
        rectangle = rectangle.shrunk(case["shrink"])
    if case["crop"] is not None:
        image, rectangle = image.crop(case["crop"]), rectangle.moved(-case["crop"][0], -case["crop"][1])
    if case["superres"] > 1:
        size = (image.width * case["superres"], image.height * case["superres"])
        image, rectangle = image.resize(size, Image.Resampling.LANCZOS), rectangle.enlarged(case["superres"])
    rendered = render(Region(np.asarray(image), rectangle, case["shrink"], case["border"]), 1024)
    assert rendered.padded == case["padded"]
    thumb = rendered.image_HWC.reshape(64, 16, 64, 16, 3).mean(axis=(1, 3))
    expected = np.asarray(Image.open(VECTORS / case["thumb"]).convert("RGB"), np.float64)
    # 0.5 is the rounding: the published transform truncates twice, ours rounds
    assert np.abs(thumb - expected).mean() < 1.0
