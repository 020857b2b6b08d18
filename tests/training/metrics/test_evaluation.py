from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.params import EvaluateParams, TrainRun
from pipeline.shards.reader import DataSet
from tests.training.small import make_dataset, make_run
from training.checkpoint import NetworkInfo
from training.data.real_images import Reals
from training.generate import Snapshot
from training.metrics.evaluation import Evaluator, enlarge
from training.networks import Generator


def _params(**changes: Any) -> EvaluateParams:
    values = {
        "swd_images": 24, "swd_patches_per_image": 16, "swd_directions": 16, "swd_repeats": 2,
        "msssim_pairs": 8, "inception": None, "modes": None, "minibatch": 10, "threads": 1, "seed": 1,
        "snapshots": {"swd": "all", "msssim": "all", "inception": "all", "modes": "all"},
    }  # fmt: skip
    return EvaluateParams.model_validate(values | changes)


def _snapshot(run: TrainRun, lod: float, label_size: int = 0) -> Snapshot:
    info = NetworkInfo.of_run(run, channels=3, label_size=label_size, images_shown=1000, lod=lod)
    generator = Generator(run.networks, resolution=run.resolution, channels=3, label_size=label_size)
    generator.initialise(torch.Generator().manual_seed(1))
    return Snapshot(info, generator.requires_grad_(False))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "set", images=24, resolution=32)


@pytest.fixture
def run(dataset: Path) -> TrainRun:
    return make_run(dataset, resolution=32, grid_cell_pixels=32)


def _evaluator(folder: Path, run: TrainRun, **changes: Any) -> Evaluator:
    return Evaluator(_params(**changes), run, Reals(DataSet(run.dataset), run), folder / "scratch")


def test_metric_names_carry_the_protocol(tmp_path: Path, run: TrainRun) -> None:
    names = ["swd24_32", "swd24_16", "swd24_mean", "msssim8"]
    metrics = _evaluator(tmp_path, run).measure_fakes(_snapshot(run, 0.0))
    assert list(metrics) == names
    assert metrics["swd24_mean"] == pytest.approx((metrics["swd24_32"] + metrics["swd24_16"]) / 2, abs=1e-4)


def test_kinds_of_metrics_are_measured_alone_with_the_same_values(
    tmp_path: Path, run: TrainRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator, snapshot, made = _evaluator(tmp_path, run), _snapshot(run, 0.0), list[int]()
    images = Snapshot.images

    def counted(self: Snapshot, latents_NL: Any, labels_NL: Any, minibatch: int) -> Any:
        made.append(len(latents_NL))
        return images(self, latents_NL, labels_NL, minibatch)

    whole = evaluator.measure_fakes(snapshot)
    monkeypatch.setattr(Snapshot, "images", counted)
    swd, msssim = evaluator.measure_fakes(snapshot, ["swd"]), evaluator.measure_fakes(snapshot, ["msssim"])
    assert swd | msssim == whole
    assert not swd.keys() & msssim.keys()
    assert made == [10, 10, 4, 10, 6], "24 images for the SWD, 8 pairs for MS-SSIM"


def test_reals_are_closer_to_reals_than_an_untrained_generator(tmp_path: Path, run: TrainRun) -> None:
    evaluator = _evaluator(tmp_path, run)
    reals, fakes = evaluator.measure_reals(), evaluator.measure_fakes(_snapshot(run, 0.0))
    assert all(1.5 * reals[name] < fakes[name] for name in evaluator.names["swd"])


def test_a_snapshot_of_an_earlier_stage_is_measured_at_full_resolution(tmp_path: Path, run: TrainRun) -> None:
    evaluator = _evaluator(tmp_path, run)
    early = evaluator.measure_fakes(_snapshot(run, 2.5))
    assert set(early) == {*evaluator.names["swd"], *evaluator.names["msssim"]}
    assert all(np.isfinite(value) for value in early.values())


def test_metrics_are_reproducible(tmp_path: Path, run: TrainRun) -> None:
    evaluator, snapshot = _evaluator(tmp_path, run), _snapshot(run, 0.0)
    assert evaluator.measure_fakes(snapshot) == evaluator.measure_fakes(snapshot)


def test_more_msssim_pairs_do_not_change_the_swd(tmp_path: Path, run: TrainRun) -> None:
    snapshot = _snapshot(run, 0.0)
    few = _evaluator(tmp_path / "few", run, minibatch=8, msssim_pairs=2).measure_fakes(snapshot)
    many = _evaluator(tmp_path / "many", run, minibatch=8, msssim_pairs=30).measure_fakes(snapshot)
    assert few["swd24_32"] == pytest.approx(many["swd24_32"], abs=1e-3)
    assert "msssim30" in many


def test_a_conditional_generator_gets_labels_of_the_data_set(tmp_path: Path) -> None:
    labelled = make_dataset(tmp_path / "labelled", images=24, resolution=16, label_size=3)
    run = make_run(labelled, labels=True, resolution=16, grid_cell_pixels=16)
    metrics = _evaluator(tmp_path, run).measure_fakes(_snapshot(run, 0.0, label_size=3))
    assert list(metrics) == ["swd24_16", "swd24_mean", "msssim8"]


@pytest.mark.parametrize(("resolution", "names"), [(8, ["swd24_8", "swd24_mean"]), (4, [])])
def test_metrics_of_small_resolutions(tmp_path: Path, dataset: Path, resolution: int, names: list[str]) -> None:
    run = make_run(dataset, resolution=resolution, grid_cell_pixels=8)
    assert list(_evaluator(tmp_path, run).measure_fakes(_snapshot(run, 0.0))) == names


def test_a_mirrored_run_is_compared_with_mirrored_reals(tmp_path: Path, dataset: Path) -> None:
    plain, mirrored = (make_run(dataset, mirror=mirror, resolution=32, grid_cell_pixels=32) for mirror in (False, True))
    metrics = [_evaluator(tmp_path, run).measure_reals() for run in (plain, mirrored)]
    assert metrics[0] != metrics[1]


def test_enlarge_repeats_pixels() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(1, 3, 2, 2)
    large = enlarge(image, 8)
    assert large.shape == (1, 3, 8, 8)
    np.testing.assert_array_equal(large[:, :, ::4, ::4], image)
    np.testing.assert_array_equal(large[:, :, 3::4, 3::4], image)
