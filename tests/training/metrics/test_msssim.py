import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from training.metrics import msssim_gpu
from training.metrics.compute import Compute
from training.metrics.msssim import measurable, msssim, msssim_of_pairs, ssim


def _pair(seed: int, side: int, noise: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    a = rng.uniform(0, 255, (3, side, side))
    return np.stack([a, a + rng.normal(0, noise, a.shape)]).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("side", [2, 4, 8, 11, 16, 33])
def test_ssim_is_the_plain_one_at_every_window(side: int) -> None:
    a_HWC, b_HWC = (image.transpose(1, 2, 0).astype(float) for image in _pair(1, side, 40))
    size = min(side, 11)
    offsets = np.arange(size) - (size - 1) / 2
    weights = np.exp(-np.add.outer(offsets**2, offsets**2) / (2 * (1.5 * size / 11) ** 2))
    kernel_HWC = (weights / weights.sum())[:, :, None]

    def mean(values: np.ndarray) -> np.ndarray:
        return signal.convolve(values, kernel_HWC, mode="valid", method="direct")

    mean_a, mean_b = mean(a_HWC), mean(b_HWC)
    c1, c2 = 2.55**2, 7.65**2
    spread = mean(a_HWC**2) - mean_a**2 + mean(b_HWC**2) - mean_b**2
    contrast = (2 * (mean(a_HWC * b_HWC) - mean_a * mean_b) + c2) / (spread + c2)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    assert ssim(a_HWC, b_HWC) == pytest.approx(((luminance * contrast).mean(), contrast.mean()), abs=1e-9)


@settings(deadline=None, max_examples=20)
@given(side=st.sampled_from([16, 32, 64]), seed=st.integers(0, 2**32 - 1), noise=st.floats(1, 100))
def test_similarity_is_symmetric_1_with_itself_and_falls_with_noise(side: int, seed: int, noise: float) -> None:
    a_CHW, b_CHW = _pair(seed, side, noise)
    assert msssim(a_CHW, a_CHW) == pytest.approx(1.0)
    assert msssim(a_CHW, b_CHW) == pytest.approx(msssim(b_CHW, a_CHW))
    _, noisier_CHW = _pair(seed, side, 3 * noise + 20)
    assert 1.0 > msssim(a_CHW, b_CHW) > msssim(a_CHW, noisier_CHW) >= 0.0


def test_an_image_and_its_negative_have_similarity_0() -> None:
    a_CHW, _ = _pair(1, 32, 0)
    assert msssim(a_CHW, 255 - a_CHW) == 0.0


DEVICES = [
    None,
    torch.device("cpu"),
    pytest.param(torch.device("cuda"), marks=pytest.mark.gpu),
]


@pytest.mark.parametrize("side", [16, 32, 256])
@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_the_fast_forms_give_the_similarity_of_neighbours(
    side: int, device: torch.device | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    smooth = cv2.GaussianBlur(_pair(3, side, 0)[0].transpose(1, 2, 0), (0, 0), 5).transpose(2, 0, 1)
    pairs = [_pair(1, side, 10), _pair(2, side, 90), np.stack([smooth, smooth + 3]), np.stack([smooth, 255 - smooth])]
    monkeypatch.setattr(msssim_gpu, "_PIXELS", 2 * side**2)
    if device is None:
        with Compute(threads=2) as two:
            found = msssim_of_pairs(np.concatenate(pairs), two)
    else:
        found = msssim_gpu.msssim_of_pairs(np.concatenate(pairs), Compute(device))
    assert found == pytest.approx([msssim(*pair) for pair in pairs], abs=1e-7)


@pytest.mark.parametrize(("resolution", "expected"), [(4, False), (8, False), (16, True), (1024, True)])
def test_images_too_small_for_five_scales(resolution: int, expected: bool) -> None:
    assert measurable(resolution) is expected
