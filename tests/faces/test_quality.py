"""The quality metric ranks sharp images above degraded copies of themselves, on made-up images and on photographs."""

from itertools import islice

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.quality_ranking import (
    DEGRADATIONS,
    Picture,
    blurred,
    compressed,
    enlarged,
    middle,
    moved,
    noisy,
    photographs,
)
from pipeline.faces.quality import best_first, quality, sharpness, spectrum
from tests.outside import REAL

# a JPEG of high quality and noise of a level are hardly seen, and may win
UNSEEN = ("JPEG 80", "noise 1")


def scene(side: int, seed: int) -> Picture:
    """Discs of all sizes in front of each other, as opaque things in the world lie: sharp, and P ~ 1/f² roughly."""
    rng = np.random.default_rng(seed)
    drawn = np.full((4 * side, 4 * side, 3), 128, np.uint8)
    for _ in range(3000):
        radius = int(side * 0.02 * rng.uniform(0.001, 1) ** -0.5)
        x, y = rng.integers(0, 4 * side, 2)
        colour = rng.uniform(20, 235) + rng.uniform(-40, 40, 3)
        cv2.circle(drawn, (int(x), int(y)), radius, colour.clip(0, 255).tolist(), thickness=-1)
    return np.asarray(cv2.resize(drawn, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


@pytest.fixture(scope="module")
def scenes() -> list[Picture]:
    return [scene(256, seed) for seed in range(3)]


@pytest.fixture(scope="module")
def scores(scenes: list[Picture]) -> list[float]:
    return [quality(image) for image in scenes]


@pytest.mark.parametrize("name", [name for name in DEGRADATIONS if name not in UNSEEN])
def test_a_sharp_scene_ranks_above_its_degraded_copies(scenes: list[Picture], scores: list[float], name: str) -> None:
    for image, score in zip(scenes, scores, strict=True):
        assert quality(DEGRADATIONS[name](image)) < score


def test_more_blur_and_more_compression_are_worse(scenes: list[Picture]) -> None:
    for image in scenes[:2]:
        blurs = [quality(blurred(image, sigma)) for sigma in (0.6, 1, 1.5, 2, 3, 5)]
        assert blurs == sorted(blurs, reverse=True)
        jpegs = [quality(compressed(image, level)) for level in (60, 40, 30, 20, 10, 5)]
        assert jpegs == sorted(jpegs, reverse=True)


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    image = np.full((9, 9, 3), 100, np.uint8)
    assert sharpness(image) == 0
    image[4, 4] = 101  # -4 in one pixel, 1 in its four neighbours
    assert sharpness(image) == pytest.approx(20 / 81, abs=1e-6)


def test_noise_alone_is_far_below_a_scene(scenes: list[Picture]) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    assert quality(noise) < 0.3 < min(quality(image) for image in scenes)


def test_the_noise_is_measured(scenes: list[Picture]) -> None:
    smooth = blurred(scenes[0], 3)
    assert spectrum(noisy(smooth, 12)).noise == pytest.approx(144, rel=0.15)
    assert spectrum(smooth).noise < 1


def test_a_direction_costs_order(scenes: list[Picture]) -> None:
    image = scenes[1]
    assert spectrum(moved(image, 9, 30)).order < 0.95 * spectrum(image).order


def test_scale_of_the_levels_does_not_matter(scenes: list[Picture]) -> None:
    for image in scenes:
        dimmed = np.rint(image * 0.5 + 40).astype(np.uint8)
        assert quality(dimmed) == pytest.approx(quality(image), abs=0.03)


def test_turning_an_image_does_not_matter(scenes: list[Picture]) -> None:
    for image in scenes:
        assert quality(np.rot90(image).copy()) == pytest.approx(quality(image), abs=0.02)
        assert quality(image[:, ::-1].copy()) == pytest.approx(quality(image), abs=0.02)


@settings(max_examples=30, deadline=None)
@given(size=st.sampled_from([4, 8, 16, 32, 64]), seed=st.integers(0, 10_000), span=st.integers(1, 255))
def test_any_image_has_a_quality_from_0_to_1(size: int, seed: int, span: int) -> None:
    image = np.random.default_rng(seed).integers(0, span + 1, (size, size, 3), dtype=np.uint8)
    assert 0 <= quality(image) <= 1


@pytest.mark.parametrize("size", [4, 16, 256])
def test_an_image_without_contrast_has_0(size: int) -> None:
    assert quality(np.full((size, size, 3), 90, np.uint8)) == 0


def test_an_oblong_image_is_refused() -> None:
    with pytest.raises(ValueError, match="not on 20 x 10"):
        quality(np.zeros((10, 20, 3), np.uint8))


def test_equal_scores_keep_their_order() -> None:
    assert best_first([0.2, 0.5, 0.2, 0.7, 0.5]) == [3, 1, 4, 0, 2]


@pytest.mark.vectors
def test_real_photographs_rank_above_their_degraded_copies() -> None:
    images = list(islice(photographs(REAL.needed("photos/bsds500_train_val.tar")), 0, 120, 12))
    scores = np.array([quality(image) for image in images])
    wins = {
        name: np.mean([quality(degrade(image)) for image in images] < scores)
        for name, degrade in DEGRADATIONS.items()
        if name not in UNSEEN
    }
    assert np.mean(list(wins.values())) >= 0.99
    assert {name: rate for name, rate in wins.items() if rate < 0.9} == {}
    assert [wins[f"JPEG {level}"] for level in (5, 10, 20, 30, 40)] == [1.0] * 5


@pytest.mark.vectors
def test_published_images_rank_above_every_degraded_copy() -> None:
    for file in sorted(REAL.needed("celebahq/final").glob("*.png")):
        image = middle(Image.open(file))[256:768, 256:768].copy()
        score = quality(image)
        for name, degrade in DEGRADATIONS.items():
            assert quality(degrade(image)) < score, f"{file.name}: {name}"
        assert quality(enlarged(image, 2, cv2.INTER_NEAREST)) < score
