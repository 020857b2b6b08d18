import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline.errors import NetworkError, TrainingError
from pipeline.params import TrainRun
from stages import read_params
from training import checkpoint, run_identity
from training.checkpoint import NetworkInfo
from training.run_identity import SavedRun


@pytest.fixture(scope="module")
def run() -> TrainRun:
    root = Path(__file__).parents[2]
    return read_params(root / "profiles/demo.yaml").train.runs["demo"]


def info(run: TrainRun, images_shown: int) -> NetworkInfo:
    return NetworkInfo.of_run(run, channels=3, label_size=0, images_shown=images_shown, lod=1.25)


def networks(seed: int) -> dict[str, dict[str, Tensor]]:
    draw = torch.Generator().manual_seed(seed)
    return {
        name: {"b.weight": torch.randn(3, 4, generator=draw), "a.bias": torch.randn(4, generator=draw)}
        for name in ("G", "D", "Gs")
    }


def save(folder: Path, run: TrainRun, images_shown: int) -> None:
    state: dict[str, Any] = {"ticks": images_shown // 100, "moments": {"v": torch.full((2,), float(images_shown))}}
    checkpoint.save(folder, info(run, images_shown), networks(images_shown), state, run=run, images="digest")


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path, run: TrainRun) -> None:
    save(tmp_path, run, 1200)
    found = checkpoint.newest(tmp_path, pytest.fail)
    assert found is not None
    assert found.info == info(run, 1200)
    assert found.run == checkpoint.saved_run(tmp_path) == SavedRun(1200, run.model_dump(mode="json"), "digest")
    assert found.state["ticks"] == 12
    assert found.state["moments"]["v"].tolist() == [1200, 1200]
    for name, network in networks(1200).items():
        assert found.networks[name].keys() == network.keys()
        assert all(torch.equal(found.networks[name][key], value) for key, value in network.items())


def test_equal_checkpoints_are_equal_files(tmp_path: Path, run: TrainRun) -> None:
    for place in ("a", "b"):
        save(tmp_path / place, run, 1200)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_folder_without_checkpoint_starts_a_run(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path, pytest.fail) is None


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
@pytest.mark.parametrize("broken", ["network", "state"])
def test_a_damaged_newest_checkpoint_is_skipped_for_the_one_before(
    tmp_path: Path, run: TrainRun, broken: str, damage: str
) -> None:
    save(tmp_path, run, 1200)
    save(tmp_path, run, 2400)
    (path,) = tmp_path.glob(f"{broken}-000002400*")
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        path.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    else:
        path.unlink()
    messages: list[str] = []
    found = checkpoint.newest(tmp_path, messages.append)
    assert found is not None
    assert found.info.images_shown == 1200
    assert len(messages) == 1
    assert "checkpoint-000002400.json" in messages[0]
    assert path.name in messages[0]
    assert not list(tmp_path.glob("*2400*"))


def test_a_damaged_record_is_logged_and_a_checkpoint_without_record_ignored(tmp_path: Path, run: TrainRun) -> None:
    for shown in (1200, 2400, 3600):
        save(tmp_path, run, shown)
    (tmp_path / "checkpoint-000003600.json").unlink()
    (tmp_path / "checkpoint-000002400.json").write_text("{")
    messages: list[str] = []
    found = checkpoint.newest(tmp_path, messages.append)
    assert found is not None
    assert found.info.images_shown == 1200
    assert [message.partition(": ")[2] for message in messages] == [
        "damaged record; resuming from the checkpoint before it"
    ]


def test_only_damaged_checkpoints_end_the_run(tmp_path: Path, run: TrainRun) -> None:
    save(tmp_path, run, 1200)
    checkpoint.network_path(tmp_path, 1200).write_bytes(b"")
    with pytest.raises(TrainingError, match="all of its 1 checkpoints are damaged"):
        checkpoint.newest(tmp_path, lambda message: None)


def test_single_networks_of_a_file_are_read(tmp_path: Path, run: TrainRun) -> None:
    save(tmp_path, run, 1200)
    found, read = checkpoint.read_network(checkpoint.network_path(tmp_path, 1200), ["Gs"])
    assert found.lod == 1.25
    assert read.keys() == {"Gs"}
    assert read["Gs"].keys() == networks(1200)["Gs"].keys()


def test_a_wrong_network_file_is_named(tmp_path: Path, run: TrainRun) -> None:
    with pytest.raises(NetworkError, match="no such network file"):
        checkpoint.read_network(tmp_path / "absent.safetensors", ["Gs"])
    (tmp_path / "text.safetensors").write_text("hello hello hello")
    with pytest.raises(NetworkError, match=r"text\.safetensors: damaged, or not a safetensors file"):
        checkpoint.read_network(tmp_path / "text.safetensors", ["Gs"])
    save_file({"x": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(NetworkError, match="not a network file of this project"):
        checkpoint.read_network(tmp_path / "foreign.safetensors", ["Gs"])


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Change the metadata of a network file, and return it."""
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["celebahq"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    change(about)
    save_file(tensors, path, {"celebahq": json.dumps(about)})
    return about


def test_a_network_file_states_what_building_it_needs_and_nothing_of_training(tmp_path: Path, run: TrainRun) -> None:
    save(tmp_path, run, 1200)
    assert rewrite(checkpoint.network_path(tmp_path, 1200), lambda about: None) == {
        "format": 5, "generator": run.networks.model_dump(), "discriminator": run.networks.model_dump(),
        "full_resolution": 32, "resolution": 16, "lod": 1.25, "channels": 3, "label_size": 0, "images_shown": 1200,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "has"),
    [
        (lambda about: about.update(compression=2), "the option compression"),
        (lambda about: about["discriminator"].update(attention=True), "the option discriminator.attention"),
        (lambda about: about.update(format=9), "format 9"),
    ],
    ids=["key", "option", "format"],
)
def test_a_network_file_of_a_newer_version_is_refused_in_one_sentence(
    tmp_path: Path, run: TrainRun, change: Callable[[dict[str, Any]], None], has: str
) -> None:
    save(tmp_path, run, 1200)
    path = checkpoint.network_path(tmp_path, 1200)
    rewrite(path, change)
    with pytest.raises(NetworkError) as error:
        checkpoint.read_network(path, ["Gs"])
    assert str(error.value) == (
        f"{path}: was written by a newer version of this project: it has {has}, which this version does not know. "
        f"Update the project (git pull)."
    )


def test_a_network_file_without_an_option_that_was_added_later_is_read_as_before(
    tmp_path: Path, run: TrainRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, run, 1200)
    path = checkpoint.network_path(tmp_path, 1200)
    rewrite(path, lambda about: about["generator"].pop("use_tanh"))
    with pytest.raises(NetworkError, match=r"not a network file of this project: .*\n?generator.use_tanh"):
        checkpoint.read_network(path, ["Gs"])
    monkeypatch.setitem(run_identity.BEFORE, "networks.use_tanh", False)
    assert checkpoint.read_network(path, ["Gs"])[0] == info(run, 1200)
    save(tmp_path, run, 2400)
    about = rewrite(checkpoint.network_path(tmp_path, 2400), lambda about: None)
    assert "use_tanh" not in about["generator"], "an earlier version can read it"
    networks = run.networks.model_copy(update={"use_tanh": True})
    save(tmp_path, run.model_copy(update={"networks": networks}), 3600)
    assert rewrite(checkpoint.network_path(tmp_path, 3600), lambda about: None)["generator"]["use_tanh"] is True


@given(count=st.integers(1, 300), keep=st.integers(1, 20), restart=st.integers(1, 300))
def test_the_kept_snapshots_do_not_depend_on_when_others_were_removed(count: int, keep: int, restart: int) -> None:
    folder: set[int] = set()
    for shown in range(1, count + 1):
        folder = checkpoint.kept(range(1, shown + 1), keep) & (folder | {shown})
        if shown == restart:  # the newest is lost and made again
            folder = checkpoint.kept(range(1, shown + 1), keep) & (folder - {shown} | {shown})
    assert folder == checkpoint.kept(range(1, count + 1), keep)
    assert len(folder) <= keep
    assert count in folder
    gaps = {b - a for a, b in zip(sorted(folder), sorted(folder)[1:], strict=False)}
    assert len(gaps) <= 2  # one stride, and a shorter last step


def test_pruning_keeps_what_a_run_needs(tmp_path: Path, run: TrainRun) -> None:
    for shown in (100, 200, 300, 400):
        save(tmp_path, run, shown)
    checkpoint.prune(tmp_path, {200, 400}, resumable=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-000000300.json", "checkpoint-000000400.json",
        "network-000000200.safetensors", "network-000000300.safetensors", "network-000000400.safetensors",
        "state-000000300.pt", "state-000000400.pt",
    ]  # fmt: skip
