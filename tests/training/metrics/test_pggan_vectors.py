"""Both metrics against the official implementation: its full vectors, and the part of them kept in tests/golden.

Errors found: pyramid and patches 0, normalised patches 2.4e-7, distances 1.3e-5 of 121.6 (the original sums in
float32, here in float64), similarity of a pair 8.1e-7 and of a scale 1.8e-5 (likewise).
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.metrics.laplacian import pyramid, reconstruct
from training.metrics.msssim import msssim, msssim_of_pairs, ssim
from training.metrics.patches import DescriptorFile, cut
from training.metrics.swd import PatchSet, collect, distance, draw_directions, sliced_wasserstein

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests/golden/pggan_metrics"
VECTORS = Path(os.environ.get("PGGAN_VECTORS", ROOT / "../shared/vectors/pggan"))


def _folder(name: str) -> Path:
    folder = GOLDEN if name == "golden" else VECTORS
    if not (folder / "cases.json").is_file():
        pytest.skip(f"{folder} has no cases.json; name the folder of the golden vectors in PGGAN_VECTORS")
    return folder


def _read(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with np.load(folder / name) as file:
        arrays = {key: file[key] for key in file.files}
    return json.loads((folder / "cases.json").read_text())["files"][name], arrays


@pytest.fixture(params=["golden", pytest.param("full", marks=pytest.mark.vectors)])
def folder(request: pytest.FixtureRequest) -> Path:
    return _folder(request.param)


@pytest.fixture
def full() -> Path:
    return _folder("full")


def _patch_set(folder: Path, batches: list[np.ndarray], patches_per_image: int, rng: np.random.RandomState) -> PatchSet:
    return collect(batches, PatchSet(folder, 32, patches_per_image, rng))


def test_pggan_metric_swd_from_images_to_distances(folder: Path, tmp_path: Path) -> None:
    case, arrays = _read(folder, "metric_swd.npz")
    rng = np.random.RandomState(case["numpy_seed"])
    a = _patch_set(tmp_path / "a", [arrays["images_a"]], 16, rng)
    b = _patch_set(tmp_path / "b", [arrays["images_b"]], 16, rng)
    np.testing.assert_allclose(next(a.levels[32].blocks()), arrays["finalized_a/level0"], atol=1e-6)
    distances = sliced_wasserstein(a, b, repeats=2, directions=32, rng=rng, threads=1)
    expected = [1000 * case["values"][f"swd_level{level}"] for level in (0, 1)]
    np.testing.assert_allclose(list(distances.values()), expected, rtol=1e-6)


def test_pggan_metric_swd_protocol_of_minibatches_and_modes(folder: Path, tmp_path: Path) -> None:
    case, arrays = _read(folder, "metric_swd.npz")
    rng = np.random.RandomState(case["api"]["numpy_seed"])
    results: dict[str, list[float]] = {}
    reals: PatchSet | None = None
    for mode, images in (("reals", arrays["images_a"]), ("fakes", arrays["images_b"])):
        fed = _patch_set(tmp_path / mode, [images, images[::-1]], 128, rng)
        reals = reals or fed
        levels = sliced_wasserstein(reals, fed, repeats=4, directions=128, rng=rng, threads=1)
        results[mode] = [*levels.values(), sum(levels.values()) / len(levels)]
    assert results["reals"] == case["api"]["reals"]
    np.testing.assert_allclose(results["fakes"], case["api"]["fakes"], rtol=1e-6)


def test_pggan_metric_swd_pyramid(folder: Path) -> None:
    _, arrays = _read(folder, "metric_swd.npz")
    for n, image_CHW in enumerate(arrays["images_a"]):
        parts = pyramid(image_CHW.transpose(1, 2, 0).astype(np.float32), 2)
        expected = arrays["pyramid_a/level1"][n].transpose(1, 2, 0)
        np.testing.assert_allclose(parts[1], expected, atol=1e-4)


@pytest.mark.vectors
def test_pggan_metric_swd_every_step(full: Path, tmp_path: Path) -> None:
    case, arrays = _read(full, "metric_swd.npz")
    images_NHWC = arrays["images_a"].transpose(0, 2, 3, 1).astype(np.float32)
    pyramids = [pyramid(image_HWC, 2) for image_HWC in images_NHWC]
    rebuilt_NCHW = np.stack([reconstruct(parts) for parts in pyramids]).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(rebuilt_NCHW, arrays["reconstructed_a"], atol=1e-4)
    for level in (0, 1):
        parts_NHWC = np.stack([parts[level] for parts in pyramids])
        np.testing.assert_allclose(parts_NHWC.transpose(0, 3, 1, 2), arrays[f"pyramid_a/level{level}"], atol=1e-4)
        centres_NP2 = arrays[f"coords_a/level{level}"].astype(np.int64).reshape(4, 16, 2)
        patches = np.concatenate([cut(*pair) for pair in zip(parts_NHWC, centres_NP2, strict=True)])
        np.testing.assert_allclose(patches, arrays[f"descriptors_a/level{level}"], atol=1e-4)
    a, b = (DescriptorFile(tmp_path / name) for name in "ab")
    for file, images in ((a, arrays["images_a"]), (b, arrays["images_b"])):
        centres_NP2 = arrays[f"coords_{file.path.name}/level0"].astype(np.int64).reshape(4, 16, 2)
        for image_CHW, centres_P2 in zip(images, centres_NP2, strict=True):
            file.append(cut(pyramid(image_CHW.transpose(1, 2, 0).astype(np.float32), 2)[0], centres_P2))
        file.normalise()
    directions_RLD = arrays["directions/level0"]
    directions_RLD /= np.linalg.norm(directions_RLD, axis=1, keepdims=True)
    directions_DL = np.ascontiguousarray(directions_RLD.transpose(0, 2, 1).reshape(-1, 147))
    expected = case["values"]["swd_level0_from_stored_directions"]
    assert distance(a, b, directions_DL, 1) == pytest.approx(expected, rel=1e-6)


@pytest.mark.vectors
def test_pggan_metric_swd_directions(full: Path) -> None:
    case, arrays = _read(full, "metric_swd.npz")
    rng = np.random.RandomState(case["numpy_seed"])
    for _ in "ab":
        for side in (32, 16):
            rng.randint(3, side - 3, size=64)
            rng.randint(3, side - 3, size=64)
    for level in (0, 1):
        stored_RLD = arrays[f"directions/level{level}"]
        unit_RLD = stored_RLD / np.linalg.norm(stored_RLD, axis=1, keepdims=True)
        drawn_DL = draw_directions(rng, 2, 32)
        np.testing.assert_allclose(drawn_DL, unit_RLD.transpose(0, 2, 1).reshape(-1, 147), atol=1e-6)


def test_pggan_metric_msssim_pairs(folder: Path) -> None:
    case, arrays = _read(folder, "metric_msssim.npz")
    sizes = sorted(int(name.removeprefix("a_")) for name in arrays if name.startswith("a_"))
    assert {32, 64} <= set(sizes)
    for size in sizes:
        a_NCHW, b_NCHW = arrays[f"a_{size}"], arrays[f"b_{size}"]
        each = [msssim(a_CHW, b_CHW) for a_CHW, b_CHW in zip(a_NCHW, b_NCHW, strict=True)]
        np.testing.assert_allclose(each, case["values"][f"msssim_{size}_each"], atol=2e-6)
        scales = [
            ssim(*(image_CHW.transpose(1, 2, 0).astype(np.float64) for image_CHW in pair))
            for pair in zip(a_NCHW, b_NCHW, strict=True)
        ]
        expected = [case["values"][f"{part}_level0_{size}"] for part in ("ssim", "cs")]
        np.testing.assert_allclose(np.transpose(scales), expected, atol=3e-5)


@pytest.mark.vectors
def test_pggan_metric_msssim_of_interleaved_images(full: Path) -> None:
    case, arrays = _read(full, "metric_msssim.npz")
    interleaved_NCHW = np.stack([arrays["a_64"], arrays["b_64"]], axis=1).reshape(-1, 3, 64, 64)
    pairs = msssim_of_pairs(interleaved_NCHW)
    assert np.mean(pairs) == pytest.approx(case["values"]["api_interleaved_64"], abs=1e-6)
