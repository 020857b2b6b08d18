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
from stages.train import train
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


def start_killed(place: Path, checkpoints: int) -> None:
    """Start the stage in a process of its own and SIGKILL it as soon as so many checkpoints lie in its work folder."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.train", "small"],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and len(list(place.glob("data/.work/train@small-*/checkpoint-*.json"))) < checkpoints:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"


@pytest.mark.parametrize("checkpoints", [1, 2])
def test_a_run_killed_midway_publishes_what_an_undisturbed_one_does(place: Path, checkpoints: int) -> None:
    train("small")
    undisturbed = files(place / "runs/small")
    report = json.loads((place / "reports/train/small.json").read_text())
    assert report["images"] == 480
    assert [step for step, _ in curve(place, "loss/discriminator")] == [48 * n for n in range(1, 11)]
    assert curve(place, "lod")[-1] == (480, 0.0)

    shutil.rmtree(place / "runs")
    start_killed(place, checkpoints)
    assert not (place / "runs/small").exists()
    train("small")
    assert files(place / "runs/small") == undisturbed
    assert json.loads((place / "reports/train/small.json").read_text()) == report


def test_a_run_that_is_not_in_the_params_is_named(place: Path) -> None:
    with pytest.raises(ParamsError, match="no run 'large'; it has small"):
        train("large")


def test_a_run_without_data_set_is_named(place: Path) -> None:
    write_params(place, make_run(Path("data/absent")))
    with pytest.raises(ShardError, match="data/absent"):
        train("small")
