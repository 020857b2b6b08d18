from functools import partial

import numpy as np
import pytest

from pipeline.restoration.evaluation import mean_psnr, psnr, without_network
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
    assert 50 < mean_psnr(pairs, partial(without_network, scale=1)) < 60
