from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.metrics import swd, swd_gpu, swd_patches
from training.metrics.compute import ONE_THREAD, Compute
from training.metrics.swd import PatchSet, collect, draw_directions, level_sides, sliced_wasserstein


def _images(seed: int, count: int = 24, blur: float = 0.0) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).uniform(0, 255, (count, 32, 32, 3)).astype(np.float32)
    smooth = [cv2.GaussianBlur(image, (0, 0), 0.8 + blur) for image in noise]
    return np.stack(smooth).clip(0, 255).astype(np.uint8).transpose(0, 3, 1, 2)


def _set(folder: Path, images_NCHW: NDArray[np.uint8], seed: int = 0, compute: Compute = ONE_THREAD) -> PatchSet:
    return collect(np.split(images_NCHW, 3), PatchSet(folder, 32, 16, np.random.RandomState(seed), compute))


def _swd(a: PatchSet, b: PatchSet, compute: Compute = ONE_THREAD) -> dict[int, float]:
    return sliced_wasserstein(a, b, repeats=2, directions=32, rng=np.random.RandomState(3), compute=compute)


@pytest.mark.parametrize(
    ("resolution", "sides"),
    [(1024, (1024, 512, 256, 128, 64, 32, 16)), (32, (32, 16)), (16, (16,)), (8, (8,)), (4, ())],
)
def test_levels_go_down_to_16(resolution: int, sides: tuple[int, ...]) -> None:
    assert level_sides(resolution) == sides


def test_directions_have_unit_length_and_are_drawn_repeat_by_repeat() -> None:
    both = draw_directions(np.random.RandomState(1), 2, 8)
    rng = np.random.RandomState(1)
    np.testing.assert_allclose(np.linalg.norm(both, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(both, np.concatenate([draw_directions(rng, 1, 8), draw_directions(rng, 1, 8)]))


def test_the_blockwise_distance_equals_the_plain_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = _set(tmp_path / "a", _images(1)), _set(tmp_path / "b", _images(2, blur=1.0), seed=1)
    directions = draw_directions(np.random.RandomState(5), 1, 40)
    file_a, file_b = a.levels[32], b.levels[32]
    whole_a, whole_b = (np.concatenate(list(file.blocks())) for file in (file_a, file_b))
    projected_a, projected_b = (np.sort(whole @ directions.T, axis=0) for whole in (whole_a, whole_b))
    plain = np.abs(projected_a - projected_b).mean()
    monkeypatch.setattr(swd_patches, "_BLOCK_ROWS", 100)
    monkeypatch.setattr(swd, "_PROJECTED_BYTES", 7 * 4 * file_a.count)
    assert swd.distance(file_a, file_b, directions) == pytest.approx(plain, rel=1e-5)


def test_the_distance_is_symmetric_and_0_between_equal_sets(tmp_path: Path) -> None:
    a, b = _set(tmp_path / "a", _images(1)), _set(tmp_path / "b", _images(2), seed=1)
    assert _swd(a, a) == {32: 0.0, 16: 0.0}
    assert _swd(a, b) == _swd(b, a)


def test_threads_do_not_change_the_result(tmp_path: Path) -> None:
    a, b = _set(tmp_path / "a", _images(1)), _set(tmp_path / "b", _images(2), seed=1)
    with Compute(threads=3) as three:
        again = [_set(tmp_path / name, _images(n), seed=n - 1, compute=three) for n, name in ((1, "c"), (2, "d"))]
        assert _swd(*again, three) == _swd(a, b)
    for name, other in (("a", "c"), ("b", "d")):
        assert (tmp_path / name / "32.f32").read_bytes() == (tmp_path / other / "32.f32").read_bytes()


DEVICES = [torch.device("cpu"), pytest.param(torch.device("cuda"), marks=pytest.mark.gpu)]


@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_the_form_for_a_gpu_gives_the_same_pyramids_patches_and_distance(tmp_path: Path, device: torch.device) -> None:
    images_NCHW = _images(1, count=6)
    levels = swd_gpu.laplacian_pyramid(torch.from_numpy(images_NCHW).to(device).float(), 2)
    for n, image_CHW in enumerate(images_NCHW):
        plain = swd_patches.laplacian_pyramid(image_CHW.transpose(1, 2, 0).astype(np.float32), 2)
        for level_NCHW, level_HWC in zip(levels, plain, strict=True):
            np.testing.assert_allclose(level_NCHW[n].permute(1, 2, 0).cpu(), level_HWC, atol=1e-4)
    compute = Compute(device)
    compute.on_gpu = True
    sets = [
        _set(tmp_path / f"{name}{n}", _images(n), n, use)
        for n in (1, 2)
        for name, use in (("plain", ONE_THREAD), ("gpu", compute))
    ]
    for plain, gpu in (sets[:2], sets[2:]):
        for side, file in plain.levels.items():
            np.testing.assert_allclose(
                *(np.concatenate(list(of.blocks())) for of in (file, gpu.levels[side])), atol=1e-4
            )
    expected, found = _swd(sets[0], sets[2]), _swd(sets[1], sets[3], compute)
    assert found == {side: pytest.approx(value, rel=1e-5) for side, value in expected.items()}


def test_the_distance_grows_with_blur(tmp_path: Path) -> None:
    reals = _set(tmp_path / "reals", _images(1))
    by_blur = [_swd(reals, _set(tmp_path / str(blur), _images(2, blur=blur), seed=1)) for blur in (0.0, 0.2, 1.0)]
    assert by_blur[0][32] < by_blur[1][32] < by_blur[2][32]


def test_the_distance_of_constant_images_is_finite(tmp_path: Path) -> None:
    grey = np.full((24, 3, 32, 32), 127, np.uint8)
    distances = _swd(_set(tmp_path / "reals", _images(1)), _set(tmp_path / "grey", grey))
    assert all(100 < value < 10_000 for value in distances.values())
