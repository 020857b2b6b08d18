import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

import stages
from pipeline import checksums, provenance
from pipeline.errors import NetworkError, ParamsError, ShardError, StoppedError, TrainingError
from pipeline.params import TrainRun
from stages import RECORD
from stages import train as stage
from stages.train import UNDER_DVC, train
from tests.golden.training import make as golden
from tests.training.small import ROOT, make_dataset, make_run, run_of_today
from training import run_identity, timing
from training.snapshots import Snapshots
from training.trainer import Trainer


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a params file and a data set, ready for `train("small")`."""
    monkeypatch.chdir(tmp_path)
    make_dataset(Path("data/shard"))
    write_params(tmp_path, make_run(Path("data/shard")))
    return tmp_path


def write_params(place: Path, run: TrainRun) -> None:
    params = yaml.safe_load((ROOT / "profiles/demo.yaml").read_text())
    params["train"]["runs"] = {"small": run.model_dump(mode="json")}
    (place / "params.yaml").write_text(yaml.safe_dump(params))


def files(folder: Path) -> dict[str, bytes]:
    """The content of all files, except the times."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != timing.FILE]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def curve(place: Path, name: str) -> list[tuple[int, float]]:
    with (place / f"runs/small/live/plots/metrics/{name}.tsv").open() as file:
        rows = list(csv.reader(file, delimiter="\t"))
    assert rows[0] == ["step", Path(name).name]
    return [(int(step), float(value)) for step, value in rows[1:]]


def start(place: Path, *, until: int, then: signal.Signals) -> subprocess.CompletedProcess[str]:
    """Start the stage in a process of its own; signal it as soon as a checkpoint after so many images is there."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "stages.train", "small"]
    with subprocess.Popen(words, cwd=place, env=environment, stderr=subprocess.PIPE, text=True) as process:
        checkpoints = "data/.work/train@small-*/checkpoint-*.json"
        while process.poll() is None and max(map(shown, place.glob(checkpoints)), default=-1) < until:
            time.sleep(0.002)
        process.send_signal(then)
        _, errors = process.communicate(timeout=60)
    return subprocess.CompletedProcess(words, process.returncode, stderr=errors)


def shown(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def test_a_run_killed_and_stopped_publishes_what_an_uninterrupted_one_does(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train("small")
    uninterrupted = files(place / "runs/small")
    report = json.loads((place / "reports/train/small.json").read_text())
    assert report["images"] == 480
    assert (place / report["best"]["network"]).is_file()
    assert [step for step, _ in curve(place, "loss/discriminator")] == [48 * n for n in range(1, 11)]
    assert curve(place, "lod")[-1] == (480, 0.0)

    shutil.rmtree(place / "runs")
    assert start(place, until=96, then=signal.SIGKILL).returncode == -signal.SIGKILL
    stopped = start(place, until=192, then=signal.SIGTERM)
    assert stopped.returncode == 0
    assert "stopped on request after" in stopped.stderr
    assert "resuming after" in stopped.stderr
    assert not (place / "runs/small").exists()
    with monkeypatch.context() as patched, pytest.raises(StoppedError, match="stopped on request after"):
        patched.setenv(UNDER_DVC, "train@small")  # DVC would commit what is not there
        stop_after(6, monkeypatch)
    train("small")
    assert files(place / "runs/small") == uninterrupted
    again = json.loads((place / "reports/train/small.json").read_text())
    assert {**again, "seconds": 0} == {**report, "seconds": 0}


def stop_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train in this process until so many steps are done."""
    calls = iter(range(1, 1000))
    with monkeypatch.context() as patched:
        patched.setattr(stage, "stop_signals", lambda: nullcontext(lambda: next(calls) == steps))
        train("small")
    assert not Path("runs/small").exists()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of an uninterrupted run."""
    place = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(place)
        write_params(place, make_run(make_dataset(Path("data/shard"))))
        train("small")
    return files(place / "runs/small")


def test_a_stopped_run_survives_an_upgrade_and_prints_what_is_different(
    place: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stop_after(13, monkeypatch)
    capsys.readouterr()
    torch_before = provenance.library_versions()["torch"]
    newer = {**provenance.library_versions(), "torch": "9.9"}
    monkeypatch.setattr(provenance, "library_versions", lambda: newer)
    monkeypatch.setattr(provenance, "code_digest", lambda: "other")
    monkeypatch.setattr(stages, "recipe_of", lambda stage: 2)
    monkeypatch.setitem(run_identity.BEFORE, "optimizer.of_this_version", 0.0)
    monkeypatch.setattr(run_identity, "flat", with_option("optimizer.of_this_version", 0.0))
    Path("data/shard").rename("data/moved")
    with h5py.File("data/moved/dataset.h5", "r+") as view:
        view.attrs["of_this_version"] = 1
    write_params(place, make_run(Path("data/moved"), grid_columns=2))
    train("small")
    errors = capsys.readouterr().err
    changed = f"the project's code, the stage's recipe 1 -> 2, torch {torch_before} -> 9.9"
    assert f"changed since this work was begun: {changed}\n" in errors
    assert "changed since the checkpoint was saved: dataset data/shard -> data/moved, grid_columns 4 -> 2" in errors
    networks = {name: content for name, content in files(place / "runs/small").items() if name.startswith("network")}
    assert networks == {name: content for name, content in whole.items() if name.startswith("network")}


def with_option(name: str, value: float) -> Callable[..., dict[str, Any]]:
    """`run_identity.flat` of a version whose runs have one more option."""
    flat = run_identity.flat
    return lambda values, section="": flat(values, section) | ({} if section else {name: value})


def test_a_finished_run_is_not_trained_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC may be killed between the end of a stage and its own note of it: days of work must not go."""
    train("small")
    finished = files(place / "runs/small")
    monkeypatch.setattr(Snapshots, "save", lambda *_: pytest.fail("trained again"))
    train("small")
    again = files(place / "runs/small")
    others = {RECORD, checksums.FILE}
    assert {name: again[name] for name in again.keys() - others} == {
        name: finished[name] for name in finished.keys() - others
    }


@pytest.mark.parametrize("change", ["option", "images"])
def test_another_run_begins_anew_and_the_old_work_is_kept(
    change: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stop_after(13, monkeypatch)
    (old,) = stages.work_folders("train@small")
    before = files(old)
    if change == "images":
        shutil.rmtree("data/shard")
        make_dataset(Path("data/shard"), images=16)
    write_params(place, make_run(Path("data/shard"), seed=2 if change == "option" else 1, schedule__total_kimg=0.1))
    train("small")
    fault = "different: seed 1 -> 2" if change == "option" else "trained on other images than those of data/shard"
    assert f"{old} is another run ({fault}). It is kept until you delete it." in capsys.readouterr().err
    assert files(old) == before
    assert [step for step, _ in curve(place, "lod")] == [48, 96, 112]


GOLDEN = ROOT / "tests/golden/training/format4"


def test_a_run_of_an_earlier_version_is_found_by_what_its_checkpoint_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    golden.make_dataset(Path("data/shard"))
    expected = json.loads((GOLDEN / "expected.json").read_text())
    options = expected["runs"]["wgan_labels"] | {"dataset": "data/shard"}
    write_params(tmp_path, run_of_today(options))
    for name in ("train@small-0123456789abcdef", "train@small-fedcba9876543210"):
        shutil.copytree(GOLDEN / "wgan_labels", Path("data/.work") / name)
    with pytest.raises(
        TrainingError, match=r"train@small-0123456789abcdef, .*train@small-f.* may be the run on"
    ) as error:
        train("small")
    (right,) = re.findall(r"Rename the right one to (\S+)\.$", str(error.value))
    shutil.rmtree("data/.work/train@small-fedcba9876543210")
    train("small")
    errors = capsys.readouterr().err
    assert f"resuming from {right}\n" in errors
    assert "resuming after 0.2 thousand images\n" in errors
    assert "images are taken to be those of data/shard" in errors
    np.testing.assert_allclose(
        [value for _, value in curve(tmp_path, "loss/generator")][:6],
        [row["loss/generator"] for row in expected["figures"]["wgan_labels"]][:6],
        rtol=1e-3,
    )


def test_a_published_run_copied_into_a_clone_is_made_longer_to_the_same_bytes(
    tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, kimg in (("house", 0.288), ("clone", 0.48)):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        make_dataset(Path("data/shard"))
        write_params(tmp_path / place, make_run(Path("data/shard"), schedule__total_kimg=kimg))
        if place == "clone":
            shutil.copytree(tmp_path / "house/runs/small", "runs/small")
            begun = resumed_after(monkeypatch)
        train("small")
    assert begun == [288]
    assert files(tmp_path / "clone/runs/small") == whole


def resumed_after(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where the runs of this process resume."""
    found: list[int] = []
    restore = Trainer.restore

    def restored(self: Trainer, images_shown: int, *states: Any) -> None:
        found.append(images_shown)
        restore(self, images_shown, *states)

    monkeypatch.setattr(Trainer, "restore", restored)
    return found


def test_a_published_run_is_made_longer(place: Path) -> None:
    write_params(place, make_run(Path("data/shard"), schedule__total_kimg=0.2))
    train("small")
    shutil.copytree(place / "runs/small", place / "cache", copy_function=os.link)  # as DVC holds what it committed
    committed = files(place / "cache")
    for name in committed:
        (place / "cache" / name).chmod(0o444)
    write_params(place, make_run(Path("data/shard"), schedule__total_kimg=0.4, alarms=None))
    train("small")
    assert files(place / "cache") == committed, "a file was changed in place"
    rows = [step for step, _ in curve(place, "loss/discriminator")]
    assert rows == [48, 96, 144, 192, 208, 256, 304, 352, 400]  # the shorter run's last tick ended with it
    assert json.loads((place / "runs/small" / RECORD).read_text())["run"]["schedule"]["total_kimg"] == 0.4


def test_a_dry_run_prints_the_phases_and_changes_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train("small", "--dry-run")
    printed = capsys.readouterr().out
    assert not {path.name for path in place.iterdir()} - {"data", "params.yaml"}
    assert not (place / "data/.work").exists()
    run, lines = yaml.safe_load(printed.partition("\n\n")[0]), printed.partition("\n\n")[2].splitlines()
    assert TrainRun.model_validate_json(json.dumps(run["small"])) == make_run(Path("data/shard"))
    assert [line.split()[:8] for line in lines[1:4]] == [
        ["4", "train", "0.0", "0.2", "8", "22", "0.001", "-"],
        ["8", "fade", "in", "0.2", "0.3", "8", "18", "0.001"],
        ["8", "train", "0.3", "0.5", "8", "20", "0.001", "-"],
    ]
    assert lines[1].endswith("0.0 MiB in memory")
    assert lines[-1] == "begins with new networks"
    stop_after(13, monkeypatch)
    (work,) = stages.work_folders("train@small")
    capsys.readouterr()
    train("small", "--dry-run")
    assert capsys.readouterr().out.splitlines()[-1] == f"resumes after 0.208 kimg, from {work}"
    shutil.rmtree("data/shard")
    train("small", "--dry-run")
    assert "The data set is not there yet: data/shard/dataset.h5: no such file" in capsys.readouterr().out
    with pytest.raises(ParamsError, match=r"unknown option --dry; usage: python -m stages.train NAME \[--dry-run\]"):
        train("small", "--dry")


def test_a_run_goes_on_from_an_earlier_snapshot_of_itself_and_nothing_is_lost(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_params(place, make_run(Path("data/shard"), snapshot_swd=None, schedule__total_kimg=0.2))
    train("small")
    bad = files(place / "runs/small")
    path = Path("runs/small/network-000000096.safetensors")
    start_options = {"path": path, "kimg": None, "optimizers": "new"}
    changes: dict[str, Any] = {"snapshot_swd": None, "start": start_options, "schedule__learning_rate": 0.0005}
    write_params(place, make_run(Path("data/shard"), **changes, schedule__total_kimg=0.2))
    capsys.readouterr()
    train("small", "--dry-run")
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[:5] for line in printed if " train " in line] == [["4", "train", "0.1", "0.2", "8"]]
    starts_from = (
        f"starts from {path} at 0.096 kimg, with new optimisers; different from its run: schedule.learning_rate"
    )
    assert printed[-1] == f"{starts_from} 0.001 -> 0.0005"
    train("small")
    errors = capsys.readouterr().err
    assert f"{starts_from} 0.001 -> 0.0005\n" in errors
    (kept,) = stages.work_folders("train@small")
    assert f"the run that was published before is kept in {kept}\n" in errors
    assert files(kept) == bad
    record = json.loads((place / "runs/small" / RECORD).read_text())
    digest = hashlib.sha256(bad[path.name]).hexdigest()
    assert record["start"] == {
        "path": str(path), "images_shown": 96, "network_sha256": digest, "state_sha256": None,
    }  # fmt: skip
    assert [step for step, _ in curve(place, "lod")] == [144, 192, 208]
    assert not path.exists()
    begun = resumed_after(monkeypatch)
    write_params(place, make_run(Path("data/shard"), **changes, schedule__total_kimg=0.25))
    train("small")
    assert begun == [208], "the file that it started from lies elsewhere now: it is the same run"
    write_params(place, make_run(Path("data/shard"), snapshot_swd=None, schedule__total_kimg=0.2))
    train("small")
    assert {**files(place / "runs/small"), RECORD: b""} == {**bad, RECORD: b""}, "the options of before bring it back"
    assert len(stages.work_folders("train@small")) == 1
    write_params(place, make_run(Path("data/shard"), snapshot_swd=None, start=start_options | {"path": Path("no.pkl")}))
    with pytest.raises(NetworkError, match=r"no.pkl: no such network file, which start.path names"):
        train("small")


def test_a_run_that_is_not_in_the_params_is_named(place: Path) -> None:
    with pytest.raises(ParamsError, match="no run 'large'; it has small"):
        train("large")


def test_a_run_without_data_set_is_named(place: Path) -> None:
    write_params(place, make_run(Path("data/absent")))
    with pytest.raises(ShardError, match="data/absent"):
        train("small")
