import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.faces import jpeg as libjpeg
from pipeline.faces.decode import AS_PUBLISHED
from pipeline.restoration.degradations import CONTEXT, GRID, Degradation, gaussian, inner
from pipeline.restoration.evaluation import psnr
from tests.restoration.photographs import SMALL, scene


def _degradation(scale: int, **values: Any) -> Degradation:
    return Degradation(scale=scale, params=SMALL.model_copy(update=values), how=AS_PUBLISHED)


ALL = {"blur_max": 0.5, "noise_max": 3.0, "jpeg_twice": 0.5, "uncompressed": 0.2}
BOTH = [_degradation(1, **ALL), _degradation(4, filters=("box", "bicubic", "lanczos"), **ALL)]
CLEAN = {"jpeg_quality_min": 100, "jpeg_quality_max": 100}


def _square(degradation: Degradation, pixels: int) -> np.ndarray:
    side = degradation.square_side(pixels)
    return scene(3, side=max(side, 220))[:side, :side]


def _degraded(degradation: Degradation, pixels: int, seed: int) -> np.ndarray:
    return degradation.pair(_square(degradation, pixels), np.random.default_rng(seed))[0]


@pytest.mark.parametrize("degradation", BOTH)
def test_a_pair_has_the_promised_sizes_and_follows_from_the_generator(degradation: Degradation) -> None:
    square_HWC = _square(degradation, 24)
    degraded, clean = degradation.pair(square_HWC, np.random.default_rng(1))
    assert degraded.shape == (24 + 2 * CONTEXT, 24 + 2 * CONTEXT, 3)
    assert inner(degraded).shape == (24, 24, 3)
    assert clean.shape == (24 * degradation.scale, 24 * degradation.scale, 3)
    again = degradation.pair(square_HWC, np.random.default_rng(1))
    assert np.array_equal(degraded, again[0])
    assert np.array_equal(clean, again[1])


@pytest.mark.parametrize("degradation", BOTH)
def test_both_halves_of_a_pair_show_the_same_place(degradation: Degradation) -> None:
    square_HWC = _square(degradation, 40)
    for seed in range(5):
        context, clean = degradation.pair(square_HWC, np.random.default_rng(seed))
        degraded = inner(context)
        small = np.asarray(Image.fromarray(clean).resize((40, 40), Image.Resampling.BOX))
        here = psnr(small, degraded)
        assert here > max(psnr(np.roll(small, shift, axis), degraded) for shift in (-1, 1) for axis in (0, 1)) + 1


@pytest.mark.parametrize(
    ("name", "little", "much"),
    [("jpeg_quality_max", 95, 10), ("blur_max", 0.2, 3.0), ("noise_max", 1.0, 30.0), ("jpeg_twice", 0.0, 1.0)],
)
def test_each_value_degrades(name: str, little: float, much: float) -> None:
    fixed = {"jpeg_quality_min": 10} if name.startswith("jpeg") else CLEAN
    damage = []
    for value in (little, much):
        values = {**fixed, name: value} | ({"jpeg_quality_min": value} if name == "jpeg_quality_max" else {})
        degradation = _degradation(1, **values)
        square_HWC = _square(degradation, 60)
        pairs = [degradation.pair(square_HWC, np.random.default_rng(seed)) for seed in range(8)]
        damage.append(np.mean([psnr(inner(degraded), clean) for degraded, clean in pairs]))
    assert damage[1] < damage[0] - 0.05


def test_the_grid_of_blocks_lies_anywhere() -> None:
    degradation = _degradation(1, jpeg_quality_min=3, jpeg_quality_max=3)
    side = degradation.square_side(48)
    gradient = np.tile(np.arange(side, dtype=np.uint8)[:, None, None] * 3, (1, side, 3))
    phases = set()
    for seed in range(60):
        degraded, _ = degradation.pair(gradient, np.random.default_rng(seed))
        steps = np.abs(np.diff(degraded[..., 1].astype(int), axis=0)).sum(axis=1)
        phases.add(int(np.argmax([steps[phase::GRID].mean() for phase in range(GRID)])))
    assert phases == set(range(GRID))


def test_some_inputs_are_right_already() -> None:
    degradation = _degradation(1, uncompressed=0.4)
    square_HWC = _square(degradation, 24)
    pairs = [degradation.pair(square_HWC, np.random.default_rng(seed)) for seed in range(200)]
    share = np.mean([np.array_equal(inner(degraded), clean) for degraded, clean in pairs])
    assert 0.3 < share < 0.5


def test_the_clean_protocol_is_the_reduction_alone() -> None:
    bicubic = _degradation(4, **CLEAN)
    square_HWC = _square(bicubic, 24)
    side = len(square_HWC) // 4
    expected = np.asarray(Image.fromarray(square_HWC).resize((side, side), Image.Resampling.BICUBIC))[GRID:, GRID:]
    assert np.array_equal(bicubic.pair(square_HWC, np.random.default_rng(1))[0], expected)
    mixed = _degradation(4, filters=("box", "lanczos"), **CLEAN)
    kinds = {_degraded(mixed, 24, seed).tobytes() for seed in range(20)}
    assert len(kinds) == 2


def test_jpegs_are_decoded_as_the_photographs_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chroma is upsampled in another way by libjpeg 8d than by Pillow."""
    decoded: list[bytes] = []
    original = libjpeg.decode_8d

    def spy(content: bytes, *values: Any, **options: Any) -> Any:
        decoded.append(content)
        return original(content, *values, **options)

    monkeypatch.setattr(libjpeg, "decode_8d", spy)
    by_8d = _degraded(_degradation(1), 24, 1)
    assert len(decoded) == 1
    subsampling = Image.open(io.BytesIO(decoded[0])).layer[0][1:3]  # pyright: ignore[reportAttributeAccessIssue]
    assert subsampling == (2, 2)
    pillow = Degradation(scale=1, params=SMALL, how=AS_PUBLISHED.model_copy(update={"decoder": "pillow"}))
    assert not np.array_equal(by_8d, _degraded(pillow, 24, 1))
    assert len(decoded) == 1


def test_a_gaussian_has_its_widths_and_direction() -> None:
    kernel = gaussian(4.0, 1.0, np.pi / 2)
    y, x = np.mgrid[: len(kernel), : len(kernel)] - len(kernel) // 2
    assert kernel.sum() == pytest.approx(1)
    assert np.sqrt((kernel * y**2).sum()) == pytest.approx(4, rel=0.05)
    assert np.sqrt((kernel * x**2).sum()) == pytest.approx(1, rel=0.05)
    assert gaussian(0, 0, 0).tolist() == [[1.0]]
