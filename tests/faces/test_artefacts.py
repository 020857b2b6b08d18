"""JPEG's blocks and noise are found in a photograph and in the final image that is made of it."""

import math

import cv2
import numpy as np
import pytest

from benchmarks.quality_ranking import compressed, noisy, scored_as_face
from pipeline.faces.artefacts import Artefacts, BlockGrid, artefacts
from pipeline.faces.geometry import Rectangle
from pipeline.faces.region import Region, enlarge
from pipeline.faces.render import render

Pixels = np.ndarray
SIDE = 256


@pytest.fixture(scope="module")
def image() -> Pixels:
    """Shaded discs of all sizes on a shaded ground: smooth places, as skin and walls are, and edges."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[: 2 * SIDE, : 2 * SIDE] / (2 * SIDE)
    drawn = 100 + 60 * x + 30 * np.sin(5 * y)
    for _ in range(100):
        centre_x, centre_y = rng.random(2)
        inside = (x - centre_x) ** 2 + (y - centre_y) ** 2 < (0.02 * rng.uniform(0.04, 1) ** -0.5) ** 2
        drawn[inside] = (rng.uniform(20, 200) + rng.uniform(-100, 100) * (x + y - centre_x - centre_y))[inside]
    reduced = drawn.reshape(SIDE, 2, SIDE, 2).mean(axis=(1, 3)) + rng.normal(0, 0.5, (SIDE, SIDE))
    return np.repeat(np.rint(reduced.clip(0, 255)).astype(np.uint8)[..., None], 3, axis=2)


def measured(image_HWC: Pixels, grid: BlockGrid | None = None) -> Artefacts:
    luminance_HW = cv2.cvtColor(image_HWC.astype(np.float32), cv2.COLOR_RGB2GRAY)
    return artefacts(np.asarray(luminance_HW, np.float32), grid or BlockGrid())


def final(image_HWC: Pixels, degrees: float, zoom: float) -> tuple[Pixels, BlockGrid]:
    """The final image of a turned square of a photograph, and the grid in it."""
    side, angle = 180, math.radians(degrees)
    across = np.array([math.cos(angle), math.sin(angle)]) * side / 2
    down = np.array([-across[1], across[0]])
    corners = np.stack([-across - down, down - across, across + down, across - down]) + SIDE / 2
    rectangle = Rectangle(corners.astype(np.float32), zoom)
    rendered = render(enlarge(Region(image_HWC, rectangle, 1, 0)), round(side * zoom))
    return rendered.image_HWC, BlockGrid.in_final_image(rectangle, 1)


def test_stronger_compression_has_more_blocks_wherever_the_first_begins(image: Pixels) -> None:
    assert measured(image).blocks == 0
    found = [measured(compressed(image, quality)).blocks for quality in (60, 40, 20, 10)]
    assert found == sorted(found)
    assert 0.02 < found[0] < 0.1 < found[-1] < 0.3
    moved = compressed(image, 20)[3:243, 5:245]
    assert measured(moved).blocks == pytest.approx(found[2], rel=0.1)


@pytest.mark.parametrize(("degrees", "zoom"), [(-12, 1.5), (30, 3.0)])
def test_blocks_and_noise_are_found_in_the_final_image(image: Pixels, degrees: float, zoom: float) -> None:
    assert measured(*final(image, degrees, zoom)).blocks < 0.01
    blocky, grid = final(compressed(image, 20), degrees, zoom)
    assert measured(blocky, grid).blocks > 0.05
    assert measured(blocky, BlockGrid(grid.side * 1.07, grid.angle + 0.1)).blocks < 0.02, "another grid is not there"
    smooth = cv2.GaussianBlur(image, (0, 0), 2)
    assert measured(*final(smooth, degrees, zoom)).noise < zoom**2
    # interpolation lowers the noise, by how much depends on the place of the samples
    assert 0.25 < measured(*final(noisy(smooth, 10), degrees, zoom)).noise / (100 * zoom**2) < 1


@pytest.mark.parametrize("sigma", [2, 5, 12])
def test_noise_is_measured_in_the_smoothest_places(image: Pixels, sigma: float) -> None:
    assert measured(image).noise < 1
    # below the mean of all windows, since a tenth of them is
    assert 0.6 < measured(noisy(image, sigma)).noise / sigma**2 < 0.9


def test_blocks_and_noise_lower_the_score_of_a_face(image: Pixels) -> None:
    ladder = [compressed(image, level) for level in (10, 20, 40)] + [image]
    scores = [scored_as_face(version) for version in ladder]
    assert scores == sorted(scores)
    noises = [scored_as_face(noisy(image, sigma)) for sigma in (32, 16, 8, 4, 2)]
    assert noises == sorted(noises)
    assert noises[-1] < scores[-1]


def test_the_grid_follows_the_rectangle() -> None:
    square = np.array([[10, 10], [10, 110], [110, 110], [110, 10]], np.float32)
    assert BlockGrid.in_final_image(Rectangle(square, 2.5), 1) == BlockGrid(20.0, 0.0)
    assert BlockGrid.in_final_image(Rectangle(square, 2.5), 5) == BlockGrid(4.0, 0.0)  # of a photograph that was shrunk
    turned = Rectangle(np.array([[0, 0], [-60, 80], [20, 140], [80, 60]], np.float32), 1.0)
    assert BlockGrid.in_final_image(turned, 1).angle == pytest.approx(-math.atan2(60, 80))
    assert not BlockGrid().resampled
    assert BlockGrid(8.0, 0.1).resampled


@pytest.mark.parametrize("grid", [BlockGrid(), BlockGrid(40.0, 0.2), BlockGrid(1.5, 0.0)])
@pytest.mark.parametrize("side", [4, 16, 17, 40])
def test_small_images_have_what_can_be_measured(side: int, grid: BlockGrid) -> None:
    image = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
    found = measured(image, grid)
    assert found.blocks >= 0
    assert found.noise >= 0
    assert found == Artefacts(0, 0) or side >= 16
