from functools import partial

import numpy as np
import pytest
from PIL import Image

from pipeline.restoration.evaluation import OCTAVES, figures, octave_power, psnr, sharpness, without_network
from tests.restoration.photographs import scene


def test_psnr_is_the_textbook_figure() -> None:
    black = np.zeros((8, 8, 3), np.uint8)
    assert psnr(black, black + np.uint8(255)) == pytest.approx(0)
    assert psnr(black, black + np.uint8(16)) == pytest.approx(24.0494, abs=1e-3)
    assert psnr(black, black) == 100


def test_without_a_network_the_result_is_the_image_or_its_enlargement() -> None:
    image_HWC = scene(1)
    assert without_network(image_HWC, 1) is image_HWC
    assert without_network(image_HWC[:20, :30], 4).shape == (80, 120, 3)
    pairs = [(image_HWC, image_HWC), (image_HWC, image_HWC ^ 255)]
    found = figures(pairs, partial(without_network, scale=1))
    assert 50 < found.psnr < 60
    assert found.octaves == pytest.approx([0] * OCTAVES, abs=1e-9)  # a negative is as sharp


def test_sharpness_is_lost_from_the_finest_octave_on() -> None:
    image_HWC = scene(1)
    small = Image.fromarray(image_HWC).resize((55, 55), Image.Resampling.LANCZOS)
    enlarged = sharpness(np.asarray(small.resize((220, 220), Image.Resampling.BICUBIC)), image_HWC)
    assert enlarged[0] < enlarged[1] < enlarged[2] < -0.1
    assert abs(enlarged[3]) < 1
    noise = np.random.default_rng(1).normal(0, 6, image_HWC.shape[:2])[..., None]
    noisy = sharpness((image_HWC + noise).clip(0, 255).astype(np.uint8), image_HWC)
    assert noisy[0] > noisy[1] > noisy[2]
    assert noisy[0] > 1


def test_an_octave_has_the_power_of_its_waves() -> None:
    """The sum over the octave of a sine's period is half its squared amplitude (Parseval)."""
    x = np.arange(256)
    for octave, period in enumerate((3, 6, 12, 24)):
        wave = 100 + 40 * np.sin(2 * np.pi * x / period)
        power = octave_power(np.tile(wave[None, :, None], (256, 1, 3)).round().astype(np.uint8))
        assert power[octave] == pytest.approx(800, rel=0.05)
        assert max(np.delete(power, octave)) < 8
