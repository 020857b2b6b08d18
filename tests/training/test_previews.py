"""Snapshots are saved first and measured afterwards, in another process."""

import os
import signal
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline import provenance
from pipeline.errors import NetworkError
from pipeline.params import TrainRun
from pipeline.shards.reader import DataSet
from tests.training.metrics.test_inception import make_network
from tests.training.small import make_dataset, make_run
from tests.training.test_loop import CPU, ListReporter, files
from training import checkpoint, loop
from training.data.real_images import Reals
from training.history import Row
from training.loop import train
from training.previews import PreviewProcess
from training.runtime import signals


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TrainRun:
    place = tmp_path_factory.mktemp("place")
    network = make_network(place / "inception.pt")
    fid = {"file": network, "sha256": provenance.digest_of_file(network), "images": 16}
    return make_run(make_dataset(place / "data"), snapshot_fid=fid)


def trained(run: TrainRun, folder: Path) -> ListReporter:
    reporter = ListReporter()
    train(run, Reals(DataSet(run.dataset), run), folder, reporter, CPU)
    return reporter


@pytest.fixture(scope="module")
def whole(run: TrainRun, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row]]:
    """An undisturbed run, and its rows."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, trained(run, folder).rows


def preview_processes() -> list[psutil.Process]:
    """Children of the server that they are forked from."""
    servers = [child for child in psutil.Process().children() if "forkserver" in " ".join(child.cmdline())]
    return [child for server in servers for child in server.children()]


def test_the_best_snapshot_is_that_by_fid(whole: tuple[Path, list[Row]]) -> None:
    folder, rows = whole
    distances = {row["images"]: row["fid16"] for row in rows if row["lod"] == 0 and "fid16" in row}
    assert len(distances) == 2
    assert {"swd16", "fid16", "sample_std"} <= rows[-1].keys()
    story = checkpoint.read(folder, 480).state["story"]
    assert '"pending": [480]' in story, "saved before it was measured"
    assert (folder / f"network-{min(distances, key=distances.__getitem__):09d}.safetensors").is_file()
    assert not list(folder.glob("scratch*"))


@pytest.mark.parametrize("kills", [1, 2])
def test_a_killed_preview_is_made_again_and_another_time_left_out(
    run: TrainRun, whole: tuple[Path, list[Row]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: int
) -> None:
    left, send = [kills], PreviewProcess._send

    def send_and_kill(self: PreviewProcess) -> None:
        send(self)
        if left[0]:
            left[0] -= 1
            for process in preview_processes():
                os.kill(process.pid, signal.SIGKILL)

    monkeypatch.setattr(PreviewProcess, "_send", send_and_kill)
    (tmp_path / "grids").mkdir()
    (tmp_path / "grids/samples-000000096.png.0.partial").write_bytes(b"of a killed process")
    reporter = trained(run, tmp_path)
    assert not preview_processes(), "none outlives its run"
    if kills == 1:
        assert (reporter.rows, files(tmp_path)) == (whole[1], files(whole[0]))
        return
    assert "the snapshot after 96 images could not be measured: the process" in reporter.messages[-1]
    assert "fid16" not in reporter.rows[1]
    assert reporter.rows[2:] == whole[1][2:]


def test_training_goes_on_where_no_process_can_be_started(
    run: TrainRun, whole: tuple[Path, list[Row]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: ForkServerProcess) -> None:
        raise EOFError  # what a server that cannot fork gives

    monkeypatch.setattr(ForkServerProcess, "start", start)
    reporter = trained(run, tmp_path)
    assert "could not be measured" in reporter.messages[-1]
    assert [row["lod"] for row in reporter.rows] == [row["lod"] for row in whole[1]]


def test_a_request_to_stop_does_not_wait_for_figures_and_the_run_ends_in_the_same_bytes(
    run: TrainRun, whole: tuple[Path, list[Row]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending: list[Any] = []
    finish = loop._finish
    monkeypatch.setattr(loop, "_finish", lambda *values: (ending.append(values), finish(*values)))
    monkeypatch.setattr(signals, "requested", lambda: not ending)
    trained(run, tmp_path)
    assert files(tmp_path) == files(whole[0])


def test_an_absent_inception_network_is_named_before_the_run(run: TrainRun, tmp_path: Path) -> None:
    assert run.snapshot_fid is not None
    absent = run.model_copy(update={"snapshot_fid": run.snapshot_fid.model_copy(update={"file": Path("none.pt")})})
    with pytest.raises(NetworkError, match=r"none.pt: no such file.*run's snapshot_fid in params.yaml"):
        trained(absent, tmp_path)
    assert not files(tmp_path)
