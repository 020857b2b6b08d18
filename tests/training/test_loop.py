import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from pipeline.errors import TrainingError
from pipeline.params import TrainRun
from pipeline.shards.reader import DataSet
from tests.training.small import make_dataset, make_run
from training import checkpoint, generate
from training.data import device_loader
from training.data.real_images import Reals
from training.history import Row
from training.image_grid import read_png
from training.loop import Reporter, train
from training.timing import FILE, Timing
from training.trainer import Trainer

CPU = torch.device("cpu")


class Killed(BaseException):
    """Ends a run at once, as SIGKILL would."""


class ListReporter(Reporter):
    """Keeps what was reported; kills the run at its `stop`-th tick."""

    def __init__(self, stop: int = 1000) -> None:
        self.rows: list[Row] = []
        self.messages: list[str] = []
        self._stop = stop

    def begin(self, rows: Sequence[Row], timings: Sequence[Timing]) -> None:
        self.rows = list(rows)

    def tick(self, row: Row, timing: Timing) -> None:
        self.rows.append(row)
        self._stop -= 1
        if self._stop == 0:
            raise Killed

    def log(self, message: str) -> None:
        self.messages.append(message)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("dataset"), label_size=3)


@pytest.fixture(scope="module")
def run(dataset: Path) -> TrainRun:
    return make_run(dataset)


@pytest.fixture(scope="module")
def whole(run: TrainRun, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ListReporter]:
    """An uninterrupted run and what it reported."""
    folder, reporter = tmp_path_factory.mktemp("whole"), ListReporter()
    train(run, Reals(DataSet(run.dataset), run), folder, reporter, CPU)
    return folder, reporter


def resumed(run: TrainRun, folder: Path, stops: Sequence[int]) -> ListReporter:
    for stop in stops:
        with pytest.raises(Killed):
            train(run, Reals(DataSet(run.dataset), run), folder, ListReporter(stop), CPU)
    reporter = ListReporter()
    train(run, Reals(DataSet(run.dataset), run), folder, reporter, CPU)
    return reporter


def files(folder: Path) -> dict[str, bytes]:
    """The content of all files, except the times."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != FILE]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_run_writes_all_its_files(run: TrainRun, whole: tuple[Path, ListReporter]) -> None:
    folder, reporter = whole
    names = set(files(folder))
    assert [row["images"] for row in reporter.rows] == [48 * n for n in range(1, 11)]
    assert [row["resolution"] for row in reporter.rows] == [4] * 3 + [8] * 7
    assert {row["lod"] for row in reporter.rows if row["images"] >= 350} == {0.0}
    assert {f"grids/samples-{48 * n:09d}.png" for n in range(2, 11, 2)} <= names
    assert {"grids/reals-0004.png", "grids/reals-0008.png", "samples.png", "reals.png", "progress.png"} <= names
    assert "grids/samples-000000000.png" in names, "of the networks before training"
    assert read_png(folder / "latest.png").shape == (2 * 16, 4 * 16, 3)
    assert len((folder / FILE).read_text().splitlines()) == 1 + 10
    networks = checkpoint.network_files(folder)
    assert len(networks) <= run.keep_snapshots
    assert networks[-1] == checkpoint.network_path(folder, 480)
    assert read_png(folder / "progress.png").shape == (2 * 16, 4 * 16, 3)


def test_the_samples_are_made_by_the_averaged_generator(run: TrainRun, whole: tuple[Path, ListReporter]) -> None:
    folder, _ = whole
    _, networks = checkpoint.read_network(checkpoint.network_path(folder, 480), ["G", "Gs"])
    assert not torch.equal(networks["G"]["4x4.Conv.weight"], networks["Gs"]["4x4.Conv.weight"])
    for network in networks.values():
        assert all(value.isfinite().all() for value in network.values())


def test_training_changes_every_level_and_keeps_losses_finite(run: TrainRun, whole: tuple[Path, ListReporter]) -> None:
    folder, reporter = whole
    start = Trainer(run, Reals(DataSet(run.dataset), run), CPU)
    start.initialise()
    _, networks = checkpoint.read_network(checkpoint.network_path(folder, 480), ["G", "D", "Gs"])
    for name, before in start.networks().items():
        assert all(not torch.equal(value, networks[name][key]) for key, value in before.items())
    assert all(math.isfinite(value) for row in reporter.rows for value in row.values())


@pytest.mark.parametrize("stops", [[1, 5], [3, 1, 4]], ids=str)
def test_a_killed_run_ends_as_an_uninterrupted_one(
    run: TrainRun, whole: tuple[Path, ListReporter], tmp_path: Path, stops: list[int]
) -> None:
    reporter = resumed(run, tmp_path, stops)
    assert reporter.rows == whole[1].rows
    assert files(tmp_path) == files(whole[0])


def test_a_finished_run_is_not_trained_again(run: TrainRun, whole: tuple[Path, ListReporter]) -> None:
    before = files(whole[0])
    reporter = resumed(run, whole[0], [])
    assert reporter.rows == whole[1].rows
    assert files(whole[0]) == before


def test_a_damaged_checkpoint_costs_its_part_of_the_run_only(
    run: TrainRun, whole: tuple[Path, ListReporter], tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        train(run, Reals(DataSet(run.dataset), run), tmp_path, ListReporter(7), CPU)
    newest = checkpoint.network_files(tmp_path)[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    reporter = resumed(run, tmp_path, [])
    assert "is damaged" in reporter.messages[0]
    assert files(tmp_path) == files(whole[0])


def test_another_seed_gives_another_run(run: TrainRun, whole: tuple[Path, ListReporter], tmp_path: Path) -> None:
    other = make_run(run.dataset, seed=2, schedule__total_kimg=0.05)
    reporter = ListReporter()
    train(other, Reals(DataSet(run.dataset), other), tmp_path, reporter, CPU)
    first, first_other = whole[1].rows[0], reporter.rows[0]
    assert first["images"] == first_other["images"]
    assert first["loss/discriminator"] != first_other["loss/discriminator"]


def test_labels_reach_both_networks(dataset: Path, tmp_path: Path) -> None:
    run = make_run(dataset, labels=True, schedule__total_kimg=0.08)
    row = train(run, Reals(DataSet(dataset), run), tmp_path, ListReporter(), CPU).rows[-1]
    snapshot = generate.load(checkpoint.network_files(tmp_path)[-1], CPU)
    assert snapshot.info.label_size == 3
    assert snapshot.generator.label_size == 3
    assert row["loss/generator"] > -row["score/fake"]  # the label term comes on top


def test_losses_that_explode_end_the_run_and_keep_the_last_good_snapshot(
    run: TrainRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[int] = []
    process = device_loader.process_reals

    def spoil(images_NCHW: torch.Tensor, mirrored_N: torch.Tensor, lod: float) -> torch.Tensor:
        if not images_NCHW.is_meta:  # of preflight
            shown.append(len(images_NCHW))
        return process(images_NCHW, mirrored_N, lod) * (math.inf if sum(shown) > 250 else 1)

    monkeypatch.setattr(device_loader, "process_reals", spoil)
    with pytest.raises(
        TrainingError, match=r"after 336 images the losses are no longer finite .* kept: .*network-000000288"
    ):
        train(run, Reals(DataSet(run.dataset), run), tmp_path, ListReporter(), CPU)
    kept = checkpoint.newest(tmp_path, pytest.fail)
    assert kept is not None
    assert all(value.isfinite().all() for network in kept.networks.values() for value in network.values())


def test_a_folder_of_another_run_is_left_alone(run: TrainRun, whole: tuple[Path, ListReporter]) -> None:
    before = files(whole[0])
    other = make_run(run.dataset, seed=2)
    with pytest.raises(TrainingError, match=r"holds another run \(different: seed 1 -> 2\)"):
        train(other, Reals(DataSet(run.dataset), other), whole[0], ListReporter(), CPU)
    assert files(whole[0]) == before


@pytest.mark.parametrize("changes", [{"networks__mbstd_group_size": 3}, {"schedule__devices": 16}])
def test_a_minibatch_that_cannot_be_grouped_is_refused_before_the_start(
    dataset: Path, tmp_path: Path, changes: dict[str, int]
) -> None:
    run = make_run(dataset, **changes)
    with pytest.raises(TrainingError, match=r"at 4x4: a minibatch of [08] does not give each of (1|16) device"):
        train(run, Reals(DataSet(dataset), run), tmp_path, ListReporter(), CPU)
    assert not files(tmp_path)
