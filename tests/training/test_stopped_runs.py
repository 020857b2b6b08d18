"""Runs that are stopped, made longer, or fail a health check: what is saved, and how they resume."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.errors import AlarmError, StoppedError, TrainingError
from pipeline.params import SnapshotSwd, TrainRun
from pipeline.shards.reader import DataSet
from tests.training.small import make_dataset, make_run
from tests.training.test_loop import CPU, ListReporter, files
from training import checkpoint
from training.data import device_loader
from training.data.real_images import Reals
from training.history import RunHistory
from training.loop import train
from training.runtime.run_lock import run_lock

STEP = 16
"""Images of a step of `make_run` with its repeats; a tick has three."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.fixture(scope="module")
def run(dataset: Path) -> TrainRun:
    return make_run(dataset)


@pytest.fixture(scope="module")
def whole(run: TrainRun, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ListReporter]:
    folder, reporter = tmp_path_factory.mktemp("whole"), ListReporter()
    trained(run, folder, reporter)
    return folder, reporter


def trained(
    run: TrainRun, folder: Path, reporter: ListReporter | None = None, *, stop: Callable[[], bool] = lambda: False
) -> RunHistory:
    reals = Reals(DataSet(run.dataset), run)
    return train(run, reals, folder, reporter or ListReporter(), CPU, stop_requested=stop)


def after(steps: int) -> Callable[[], bool]:
    """Requests a stop after the `steps`-th step."""
    calls = iter(range(1, 1000))
    return lambda: next(calls) == steps


def weights(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    _, networks = checkpoint.read_network(checkpoint.network_files(folder)[-1], ("G", "D", "Gs"))
    return networks


def test_a_run_stopped_in_the_middle_of_ticks_and_fades_ends_as_an_uninterrupted_one(
    run: TrainRun, whole: tuple[Path, ListReporter], tmp_path: Path
) -> None:
    shown = 0
    for steps in (5, 8, 1, 7):  # within the first resolution, in mid-fade, one step on, across the growth
        torch.manual_seed(steps)  # no draw may come from torch's own generator
        shown += steps * STEP
        with pytest.raises(StoppedError, match=f"stopped on request after {shown} images"):
            trained(run, tmp_path, stop=after(steps))
        assert checkpoint.network_path(tmp_path, shown).is_file()
    reporter = ListReporter()
    trained(run, tmp_path, reporter)
    assert reporter.rows == whole[1].rows
    assert files(tmp_path) == files(whole[0])


def test_a_request_that_comes_with_the_last_step_is_too_late(run: TrainRun, tmp_path: Path) -> None:
    history = trained(run, tmp_path, stop=after(480 // STEP))
    assert history.rows[-1]["images"] == 480


def test_a_longer_run_resumes_from_a_shorter_one(
    run: TrainRun, whole: tuple[Path, ListReporter], tmp_path: Path
) -> None:
    short = make_run(run.dataset, schedule__total_kimg=0.288, keep_snapshots=2, alarms=None)
    trained(short, tmp_path)
    trained(run, tmp_path)
    for name, network in weights(tmp_path).items():
        for key, value in network.items():
            assert torch.equal(value, weights(whole[0])[name][key])
    with pytest.raises(
        TrainingError, match=r"was shown 0.48 thousand images, more than the run's schedule.total_kimg 0.288"
    ):
        trained(short, tmp_path)


def test_two_processes_do_not_train_in_one_folder(run: TrainRun, tmp_path: Path) -> None:
    with run_lock(tmp_path, pytest.fail), pytest.raises(TrainingError, match="another process trains in this"):
        trained(run, tmp_path)


def test_the_best_snapshot_at_full_resolution_stays(dataset: Path, tmp_path: Path) -> None:
    run = make_run(dataset, keep_snapshots=1)
    reporter = ListReporter()
    history = trained(run, tmp_path, reporter)
    distances = {row["images"]: row["swd16"] for row in reporter.rows if "swd16" in row}
    assert list(distances) == [192, 288, 384, 480]  # snapshots; at 4x4 there is no patch to measure
    whole = {row["images"]: row["swd16"] for row in reporter.rows if "swd16" in row and row["lod"] == 0}
    assert list(whole) == [384, 480]
    assert history.best == (384, "swd16", min(whole.values())), (
        "the test needs a run whose last snapshot is not its best"
    )
    assert min(distances.values()) < min(whole.values()), "and where a half-faded one is nearer, but not compared"
    assert [path.name for path in checkpoint.network_files(tmp_path)] == [
        f"network-{shown:09d}.safetensors" for shown in (history.best[0], 480)
    ]


def test_a_snapshot_is_that_of_the_step_trained_last(dataset: Path, tmp_path: Path) -> None:
    """Where a phase without a fade ends, the first step at the next resolution is still to come."""
    run = make_run(dataset, schedule__fade_kimg=0.0, schedule__total_kimg=0.16, snapshot_ticks=1)
    reporter = ListReporter()
    history = trained(run, tmp_path, reporter)
    assert history.best is None
    assert [row["resolution"] for row in reporter.rows] == [4] * 4
    info, _ = checkpoint.read_network(checkpoint.network_files(tmp_path)[-1], ())
    assert (info.images_shown, info.lod, info.resolution) == (160, 1.0, 4)


def test_a_run_that_does_not_grow_trains_at_full_resolution(dataset: Path, tmp_path: Path) -> None:
    no_growing = {"schedule__train_kimg": 0.0, "schedule__fade_kimg": 0.0, "schedule__initial_resolution": 8}
    history = trained(make_run(dataset, schedule__total_kimg=0.1, **no_growing), tmp_path)
    assert [(row["lod"], row["resolution"]) for row in history.rows] == [(0.0, 8)] * 3
    assert history.best is not None


def test_a_distance_measured_otherwise_is_replaced() -> None:
    history, options = RunHistory(), SnapshotSwd(images=16, patches_per_image=8, directions=8)
    history.update_best(100, "swd16", 3.0, options)
    history.update_best(200, "swd16", 4.0, options)
    assert history.best == (100, "swd16", 3.0)
    again = RunHistory()
    again.load_json(history.to_json())
    again.update_best(300, "swd16", 5.0, options.model_copy(update={"directions": 64}))
    assert again.best == (300, "swd16", 5.0)


@pytest.mark.parametrize(("first", "then"), [("float32", "float16"), ("float16", "float32"), ("float16", "bfloat16")])
def test_a_run_resumes_in_another_precision(dataset: Path, tmp_path: Path, first: str, then: str) -> None:
    with pytest.raises(StoppedError):
        trained(make_run(dataset, speed__precision=first), tmp_path, stop=after(5))
    assert trained(make_run(dataset, speed__precision=then), tmp_path).rows[-1]["images"] == 480


def test_without_snapshot_swd_no_distance_is_measured(dataset: Path, tmp_path: Path) -> None:
    reporter = ListReporter()
    history = trained(make_run(dataset, snapshot_swd=None, schedule__total_kimg=0.2), tmp_path, reporter)
    assert history.best is None
    assert not any(name.startswith("swd") for row in reporter.rows for name in row)


ALARMS = {"max_score": 1e5, "min_sample_std": 0.0, "max_skipped_share": 0.5}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule__learning_rate": 5.0, "alarms": ALARMS}, r"score/(real|fake) is .*alarms.max_score is 100000"),
        ({"alarms": ALARMS | {"min_sample_std": 1.5}}, r"the samples are all alike: .*min_sample_std is 1.5"),
    ],
    ids=["scores blow up", "samples collapse"],
)
def test_a_failed_health_check_ends_the_run_with_a_remedy(
    dataset: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    reporter = ListReporter()
    with pytest.raises(AlarmError, match=rf"after \d+ images .*{message}.*lower schedule.learning_rate"):
        trained(make_run(dataset, **changes), tmp_path, reporter)
    assert reporter.rows, "the figures of the failed tick are reported"
    trained(make_run(dataset, **{**changes, "alarms": None}, schedule__total_kimg=0.2), tmp_path / "on")


def test_too_many_skipped_updates_end_the_run_and_the_snapshot_before_stays(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    process = device_loader.process_reals

    def spoil(images_NCHW: torch.Tensor, mirrored_N: torch.Tensor, lod: float) -> torch.Tensor:
        if not images_NCHW.is_meta:  # of preflight
            seen.append(1)
        return process(images_NCHW, mirrored_N, lod) * (math.inf if len(seen) > 14 and len(seen) % 2 else 1)

    monkeypatch.setattr(device_loader, "process_reals", spoil)
    run = make_run(dataset, alarms=ALARMS | {"max_skipped_share": 0.2})
    with pytest.raises(AlarmError, match=r"25% of the tick's updates .*kept: .*network-000000096"):
        trained(run, tmp_path)
    assert list(weights(tmp_path)) == ["G", "D", "Gs"]
