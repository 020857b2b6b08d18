import numpy as np
import pytest
from PIL import Image

from pipeline.restoration.degradations import Degradation, JpegArtefacts, Reduction
from pipeline.restoration.evaluation import psnr
from tests.restoration.photographs import scene

BOTH: list[Degradation] = [JpegArtefacts(quality_min=20, quality_max=80), Reduction(quality_min=100, quality_max=100)]


def _square(degradation: Degradation, pixels: int) -> np.ndarray:
    side = degradation.square_side(pixels)
    return scene(3)[:side, :side]


@pytest.mark.parametrize("degradation", BOTH)
def test_a_pair_has_the_promised_sizes_and_follows_from_the_generator(degradation: Degradation) -> None:
    square_HWC = _square(degradation, 24)
    degraded, clean = degradation.pair(square_HWC, np.random.default_rng(1))
    assert degraded.shape == (24, 24, 3)
    assert clean.shape == (24 * degradation.scale, 24 * degradation.scale, 3)
    again = degradation.pair(square_HWC, np.random.default_rng(1))
    assert np.array_equal(degraded, again[0])
    assert np.array_equal(clean, again[1])


@pytest.mark.parametrize("degradation", BOTH)
def test_both_halves_of_a_pair_show_the_same_place(degradation: Degradation) -> None:
    square_HWC = _square(degradation, 40)
    for seed in range(5):
        degraded, clean = degradation.pair(square_HWC, np.random.default_rng(seed))
        small = np.asarray(Image.fromarray(clean).resize((40, 40), Image.Resampling.BOX))
        here = psnr(small, degraded)
        assert here > max(psnr(np.roll(small, shift, axis), degraded) for shift in (-1, 1) for axis in (0, 1)) + 2


def test_lower_quality_means_more_damage() -> None:
    square_HWC = _square(BOTH[0], 100)
    damage = []
    for quality in (10, 50, 95):
        degraded, clean = JpegArtefacts(quality_min=quality, quality_max=quality).pair(
            square_HWC, np.random.default_rng(1)
        )
        damage.append(psnr(degraded, clean))
    assert damage == sorted(damage)
    assert damage[0] + 5 < damage[2]


def test_the_grid_of_blocks_lies_anywhere() -> None:
    gradient = np.tile(np.arange(64, dtype=np.uint8)[:, None, None] * 3, (1, 64, 3))
    degradation = JpegArtefacts(quality_min=3, quality_max=3)
    phases = set()
    for seed in range(60):
        degraded, _ = degradation.pair(gradient, np.random.default_rng(seed))
        steps = np.abs(np.diff(degraded[..., 1].astype(int), axis=0)).sum(axis=1)
        phases.add(int(np.argmax([steps[phase::8].mean() for phase in range(8)])))
    assert phases == set(range(8))


def test_jpeg_is_part_of_reduction_only_below_quality_100() -> None:
    square_HWC = _square(BOTH[1], 24)
    plain, _ = BOTH[1].pair(square_HWC, np.random.default_rng(4))
    coded, _ = Reduction(quality_min=30, quality_max=30).pair(square_HWC, np.random.default_rng(4))
    candidates = [np.asarray(Image.fromarray(square_HWC).resize((32, 32), f))[4:-4, 4:-4] for f in (1, 3, 4)]
    assert any(np.array_equal(plain, candidate) for candidate in candidates)
    assert 15 < psnr(coded, plain) < 45
