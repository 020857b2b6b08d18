"""Runs that start from trained networks: forks, network files, snapshots of the original."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.errors import NetworkError, TrainingError
from pipeline.params import StartOptions, TrainRun
from pipeline.shards.reader import DataSet
from tests.training.small import make_dataset, make_run
from tests.training.test_loop import CPU, Killed, ListReporter, files
from training import checkpoint, interop, start
from training.data.real_images import Reals
from training.loop import train
from training.start import Start

PICKLE = Path(__file__).parents[1] / "golden/pggan/snapshot_b.pkl"


def options(path: Path, *, kimg: float | None = None, optimizers: str = "new") -> StartOptions:
    return StartOptions.model_validate({"path": path, "kimg": kimg, "optimizers": optimizers})


def trained(run: TrainRun, folder: Path, begun: Start | None = None, stops: tuple[int, ...] = ()) -> ListReporter:
    reals = Reals(DataSet(run.dataset), run)
    for stop in stops:
        with pytest.raises(Killed):
            train(run, reals, folder, ListReporter(stop), CPU, start=begun)
    reporter = ListReporter()
    train(run, reals, folder, reporter, CPU, start=begun)
    return reporter


def weights(folder: Path, images_shown: int) -> dict[str, Any]:
    return checkpoint.read_network(checkpoint.network_path(folder, images_shown), ("G", "D", "Gs"))[1]


def equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return all(torch.equal(value, b[name][key]) for name in a for key, value in a[name].items())


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("dataset"), label_size=3)


@pytest.fixture(scope="module")
def run(dataset: Path) -> TrainRun:
    return make_run(dataset, schedule__total_kimg=0.35, snapshot_swd=None)


@pytest.fixture(scope="module")
def parent(run: TrainRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run killed in the fade, after its checkpoints at 96 and 192 images."""
    folder = tmp_path_factory.mktemp("parent")
    with pytest.raises(Killed):
        train(run, Reals(DataSet(run.dataset), run), folder, ListReporter(5), CPU)
    return folder


@pytest.fixture(scope="module")
def whole(run: TrainRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    trained(run, folder)
    return folder


def test_a_fork_with_the_saved_optimisers_ends_as_the_run_itself(
    run: TrainRun, parent: Path, whole: Path, tmp_path: Path
) -> None:
    begun = start.find(options(checkpoint.network_path(parent, 192), optimizers="saved"))
    before = files(parent)
    reporter = trained(run, tmp_path / "fork", begun, stops=(1,))
    assert files(parent) == before
    assert equal(weights(tmp_path / "fork", 352), weights(whole, 352))
    assert [row["images"] for row in reporter.rows] == [240, 288, 336, 352]
    grids = sorted(path.name for path in (tmp_path / "fork/grids").glob("samples-*"))
    assert grids[0] == "samples-000000192.png", "the networks that it starts from"
    saved = checkpoint.saved_run(tmp_path / "fork")
    assert saved is not None
    assert saved.start == begun.identity
    assert start.find(options(parent, optimizers="saved")) == begun, "a folder stands for its newest checkpoint"


def test_a_fork_with_other_rates_and_new_optimisers_is_resumed_to_the_same_bytes(
    run: TrainRun, parent: Path, tmp_path: Path
) -> None:
    rates = {"learning_rate": 0.004, "learning_rate_at": {}}
    changes = {"schedule__discriminator_rates": rates, "ema_decay": {"half_life_kimg": 0.05}}
    fork = make_run(run.dataset, schedule__total_kimg=0.2, schedule__learning_rate=0.0005, snapshot_swd=None, **changes)
    begun = start.find(options(checkpoint.network_path(parent, 96)))
    assert begun.state is None
    first = trained(fork, tmp_path / "whole", begun)
    assert "starts from" in first.messages[0]
    assert "at 0.096 kimg, with new optimisers; different from its run: ema_decay 0.98 -> absent" in first.messages[0]
    assert "schedule.learning_rate 0.001 -> 0.0005" in first.messages[0]
    assert {row["discriminator_learning_rate"] for row in first.rows} == {0.004}
    stopped = trained(fork, tmp_path / "stopped", begun, stops=(1, 1))
    assert stopped.rows == first.rows
    assert files(tmp_path / "stopped") == files(tmp_path / "whole")
    with pytest.raises(TrainingError, match="it started from other networks or at another kimg"):
        trained(fork, tmp_path / "whole", begun.model_copy(update={"images_shown": 0}))
    with pytest.raises(TrainingError, match="it started from other networks"):
        trained(fork, tmp_path / "whole")


def test_a_file_that_changes_under_its_name_makes_another_run(run: TrainRun, parent: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(checkpoint.network_path(parent, 96), tmp_path / "network.safetensors"))
    fork, images = run.model_copy(update={"start": options(path)}), Reals(DataSet(run.dataset), run).digest()
    begun = start.of_run(fork, images, [tmp_path / "runs"])
    assert begun is not None
    trained(fork, tmp_path / "runs", begun)
    shutil.copy(checkpoint.network_path(parent, 192), path)
    with pytest.raises(TrainingError, match=r"network.safetensors: has changed while the run began. Start again"):
        start.load(begun, fork, 0)
    changed = start.of_run(fork, images, [tmp_path / "runs"])
    assert changed is not None and changed.images_shown == 192
    with pytest.raises(TrainingError, match="it started from other networks or at another kimg"):
        trained(fork, tmp_path / "runs", changed)
    path.unlink()
    assert start.of_run(fork, images, [tmp_path / "runs"]) == begun, "the file is no longer needed"


def test_the_clock_may_be_set_and_saved_optimisers_are_not_reset_by_it(
    run: TrainRun, parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resets: list[int] = []
    monkeypatch.setattr(
        "training.trainer.Trainer.reset_optimizers", lambda trainer: resets.append(trainer.images_shown)
    )
    begun = start.find(options(checkpoint.network_path(parent, 192), kimg=0.04, optimizers="saved"))
    fork = make_run(run.dataset, schedule__total_kimg=0.1, snapshot_swd=None)
    reporter = trained(fork, tmp_path, begun)
    assert reporter.rows[0]["images"] == 88
    assert resets == []
    assert "was trained up to 8 px; by start.kimg the run begins at 4 px" in reporter.messages[1]


def test_a_run_starts_from_the_originals_pickle(dataset: Path, tmp_path: Path) -> None:
    networks = interop.network_info(interop.read(PICKLE)).discriminator.model_dump()
    changes: dict[str, Any] = {f"networks__{name}": value for name, value in networks.items()}
    run = make_run(
        dataset, **changes, labels=True, resolution=16, schedule__minibatch=16, schedule__total_kimg=0.4,
        schedule__minibatch_repeats=1, snapshot_swd=None,
    )  # fmt: skip
    with pytest.raises(TrainingError, match=r"snapshot_b.pkl: .* does not state .* Set start.kimg"):
        start.find(options(PICKLE))
    begun = start.find(options(PICKLE, kimg=0.36))
    loaded = start.load(begun, run, 3)
    assert equal(dict(loaded.networks), interop.state_dicts(interop.read(PICKLE)))
    reporter = trained(run, tmp_path / "run", begun)
    assert [row["images"] for row in reporter.rows] == [408]
    interop.write(tmp_path / "converted.safetensors", interop.read(PICKLE))
    with pytest.raises(TrainingError, match=r"converted.safetensors: .* Set start.kimg"):
        start.find(options(tmp_path / "converted.safetensors"))
    converted = start.find(options(tmp_path / "converted.safetensors", kimg=0.36))
    trained(run, tmp_path / "same", converted)
    assert equal(weights(tmp_path / "same", 408), weights(tmp_path / "run", 408))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 16}, "resolution 8 in the file, 16 in the run"),
        ({"labels": True}, "classes of labels 0 in the file, 3 in the run"),
        (
            {"networks__fmap_max": 4},
            r"networks.fmap_max 8 -> 4 \(\d+ tensors of G differ\). Set train.runs.NAME.networks",
        ),
    ],
    ids=str,
)
def test_networks_that_do_not_fit_are_named(parent: Path, run: TrainRun, changes: dict[str, Any], message: str) -> None:
    begun = start.find(options(checkpoint.network_path(parent, 192)))
    other = make_run(run.dataset, **changes)
    with pytest.raises(NetworkError, match=rf"network-000000192.safetensors: .*{message}"):
        start.load(begun, other, 3 if other.labels else 0)


def test_other_faults_are_named_with_the_remedy(parent: Path, run: TrainRun, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"absent.safetensors: no such network file, which start.path names"):
        start.find(options(tmp_path / "absent.safetensors"))
    with pytest.raises(NetworkError, match="holds no network file to start from"):
        start.find(options(tmp_path))
    network = checkpoint.network_path(parent, 192)
    alone = Path(shutil.copy(network, tmp_path))
    with pytest.raises(TrainingError, match=r"not part of a complete checkpoint.* Set start.optimizers to new"):
        start.find(options(alone, optimizers="saved"))
    begun = start.find(options(network, optimizers="saved"))
    with pytest.raises(TrainingError, match=r"starts after 0.192 kimg .* schedule.total_kimg is 0.19. Raise it"):
        start.load(begun, make_run(run.dataset, schedule__total_kimg=0.19), 0)
    with pytest.raises(TrainingError, match=r"saved with optimizer.beta1 0, .* Set start.optimizers to new"):
        start.load(begun, make_run(run.dataset, optimizer__beta1=0.5), 0)
    remarks = start.load(begun, make_run(run.dataset, networks__mbstd_group_size=2), 0).remarks
    assert remarks == [f"{network} has other options of networks of the same shape: networks.mbstd_group_size 4 -> 2"]
    broken = shutil.copytree(parent, tmp_path / "broken")
    state = broken / "state-000000192.pt"
    state.write_bytes(state.read_bytes()[:-1])
    with pytest.raises(TrainingError, match=r"checkpoint-000000192.json: state-000000192.pt is damaged"):
        start.find(options(checkpoint.network_path(broken, 192), optimizers="saved"))
