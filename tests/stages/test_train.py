import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from pipeline.errors import ParamsError, ShardError
from pipeline.params import TrainRun
from stages import RECORD
from stages.train import UNDER_DVC, train
from tests.training.small import ROOT, make_dataset, make_run


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
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def curve(place: Path, name: str) -> list[tuple[int, float]]:
    with (place / f"runs/small/live/plots/metrics/{name}.tsv").open() as file:
        rows = list(csv.reader(file, delimiter="\t"))
    assert rows[0] == ["step", Path(name).name]
    return [(int(step), float(value)) for step, value in rows[1:]]


def start(place: Path, *, until: int, then: signal.Signals, dvc: bool = False) -> subprocess.CompletedProcess[str]:
    """Start the stage in a process of its own; signal it as soon as a checkpoint after so many images is there."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} | ({UNDER_DVC: "train@small"} if dvc else {})
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


def test_a_run_killed_and_stopped_publishes_what_an_uninterrupted_one_does(place: Path) -> None:
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
    under_dvc = start(place, until=288, then=signal.SIGINT, dvc=True)
    assert under_dvc.returncode == 1, "DVC would commit what is not there"
    assert "StoppedError: stopped on request after" in under_dvc.stderr
    train("small")
    assert files(place / "runs/small") == uninterrupted
    again = json.loads((place / "reports/train/small.json").read_text())
    assert {**again, "seconds": 0} == {**report, "seconds": 0}


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


def test_a_run_that_is_not_in_the_params_is_named(place: Path) -> None:
    with pytest.raises(ParamsError, match="no run 'large'; it has small"):
        train("large")


def test_a_run_without_data_set_is_named(place: Path) -> None:
    write_params(place, make_run(Path("data/absent")))
    with pytest.raises(ShardError, match="data/absent"):
        train("small")
