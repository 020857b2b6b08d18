"""The loggers of a run: each step once, however often the run is stopped; what fails never ends the run."""

import struct
from collections import defaultdict
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch.utils.tensorboard
import yaml
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util import tensor_util
from wandb.proto import wandb_internal_pb2

from pipeline.errors import ParamsError
from stages import loggers
from stages import train as stage
from stages.loggers import RunReporter, duration, to_tensorboard
from stages.train import train
from tests.training.small import ROOT, make_dataset, make_run
from training.timing import Timing

TICKS = [48, 96, 144, 160]
SNAPSHOTS = [96, 160]


def write_params(**changes: Any) -> None:
    run = make_run(Path("data/shard"), schedule__total_kimg=0.16, snapshot_swd=None, **changes)
    params = yaml.safe_load((ROOT / "profiles/demo.yaml").read_text())
    params["train"]["runs"] = {"small": run.model_dump(mode="json")}
    Path("params.yaml").write_text(yaml.safe_dump(params))


def stop_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(1, 1000))
    with monkeypatch.context() as patched:
        patched.setattr(stage, "stop_signals", lambda: nullcontext(lambda: next(calls) == steps))
        train("small")


def tensorboard_steps() -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for path in sorted(Path("tensorboard").glob("small-*/events.*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                assert value.tag != "images" and tensor_util.make_ndarray(value.tensor) is not None
                found[value.tag].append(event.step)
    return found


def wandb_records(path: Path) -> Iterator[wandb_internal_pb2.Record]:
    """The records of an offline run: a LevelDB log in blocks of 32 KiB, whose first 7 bytes are the file's header."""
    content, position, parts = path.read_bytes(), 7, b""
    while position + 7 <= len(content):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, position)
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            yield record
            parts = b""


def wandb_steps() -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for path in sorted(Path("wandb").glob("offline-run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime_ns):
        for record in wandb_records(path):
            items = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
            for name in items.keys() - {"images"}:
                if "images" in items:
                    found[name].append(int(float(items["images"])))
    return found


def test_a_logger_that_fails_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(torch.utils.tensorboard.SummaryWriter):
        def add_scalar(self, *_: Any, **__: Any) -> None:
            raise OSError("no route to the disk")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.utils.tensorboard, "SummaryWriter", Broken)
    make_dataset(Path("data/shard"))
    write_params(loggers=["tensorboard", "dvclive"], snapshot_ticks=4)
    train("small")
    said = [line for line in capsys.readouterr().err.splitlines() if "failed" in line]
    assert said == ["the logger tensorboard failed, and training goes on without it (OSError: no route to the disk)"]
    assert len((tmp_path / "runs/small/live/plots/metrics/lod.tsv").read_text().splitlines()) == 1 + len(TICKS)


@pytest.mark.parametrize("package", ["tensorboard", "wandb"])
def test_a_logger_that_is_not_installed_is_one_sentence(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(to_tensorboard, "find_spec", lambda _: None)
    monkeypatch.setattr(loggers.to_wandb, "find_spec", lambda _: None)
    run = make_run(Path("x"), loggers=[package])
    with pytest.raises(ParamsError, match=rf"not installed: pip install 'celebahq\[{package}\]'$"):
        RunReporter("small", run, tmp_path)


def test_loggers_of_a_run_that_fails_before_it_begins_are_not_said_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    RunReporter("small", make_run(Path("x"), loggers=["dvclive", "tensorboard", "wandb"]), tmp_path).close()
    assert capsys.readouterr().err == ""


def test_the_line_of_a_tick_has_all_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reporter = RunReporter("small", make_run(Path("x"), loggers=[]), tmp_path)
    row = {"images": 300, "resolution": 8, "lod": 0.5, "loss/discriminator": 1.0, "loss/generator": 2.0}
    reporter.tick(row, Timing(0.3, 3700, 90061, 4.0, 250.0, 1.25, 2048.0, 0.0))
    assert capsys.readouterr().err == (
        "     0.3 of 0.48 kimg     8 px  lod  0.50  loss D    1.000 G    2.000   250.0 images/s  4.00 s/kimg  "
        "data wait 1.2 s  GPU 2048 MiB  time 1h 01m  ETA 1d 01h 01m\n"
    )
    assert [duration(seconds) for seconds in (4.4, 61, 3600)] == ["4s", "1m 01s", "1h 00m"]


def test_stopped_and_killed_runs_give_tensorboard_and_wandb_each_step_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    make_dataset(Path("data/shard"))
    write_params(loggers=["tensorboard"])
    stop_after(4, monkeypatch)
    write_params(loggers=["wandb", "tensorboard"])  # a logger that is chosen later gets the whole history
    stop_after(5, monkeypatch)
    (work,) = Path("data/.work").glob("train@small-*/")
    for path in work.glob("*-000000144.*"):  # as if killed: the tick that ended here is computed again
        path.unlink()
    train("small")
    assert "failed" not in capsys.readouterr().err
    for found in (tensorboard_steps(), wandb_steps()):
        assert found["loss/discriminator"] == TICKS
        assert found["sample_std"] == SNAPSHOTS
        assert found["timing/images_per_second"] == TICKS
    assert tensorboard_steps()["samples"] == [0, *SNAPSHOTS]
    assert wandb_steps()["samples/_type"] == SNAPSHOTS, "of the sessions that had it"
    assert not (tmp_path / "runs/small/live").exists()
    assert len({path.parent.name for path in Path("tensorboard").glob("*/events.*")}) == 1
