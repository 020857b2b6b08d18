"""Several processes of one run: what each takes, and that two compute what one does."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.errors import TrainingError
from tests.stages.test_train import curve, write_params
from tests.training.distributed.two_ranks import CHOICES, runs, steps
from tests.training.small import ROOT, make_dataset, make_run
from tests.training.test_loop import files
from training.distributed import launch
from training.distributed.process_group import ALONE, rows_of_part
from training.networks.layers import minibatch_stddev

RANKS = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left behind that did all that `two_ranks` says."""
    folder = tmp_path_factory.mktemp("ranks")
    make_dataset(folder / "dataset", label_size=3)
    result = run_module("tests.training.distributed.two_ranks", str(folder), cwd=ROOT)
    assert result.returncode == 0, result.stderr[-4000:]
    return folder


def run_module(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@given(members=st.integers(1, 6), parts=st.integers(1, 4), own=st.integers(1, 4))
def test_parts_hold_every_sample_once_and_whole_groups(members: int, parts: int, own: int) -> None:
    minibatch = members * parts * own
    all_rows = [rows_of_part(minibatch, members, part, parts) for part in range(parts)]
    assert sorted(np.concatenate(all_rows)) == list(range(minibatch))
    groups, own_groups = minibatch // members, own
    for rows in all_rows:
        for n, row in enumerate(rows):  # the group that a sample is in, found in the part as in the whole
            mates = {int(rows[other]) for other in range(len(rows)) if other % own_groups == n % own_groups}
            assert mates == {sample for sample in range(minibatch) if sample % groups == row % groups}


def test_the_statistic_of_a_part_is_that_of_the_whole() -> None:
    x_NCHW = torch.randn(24, 5, 4, 4, generator=torch.Generator().manual_seed(1))
    whole = minibatch_stddev(x_NCHW, 4)
    for part in range(3):
        rows = rows_of_part(24, 4, part, 3)
        torch.testing.assert_close(minibatch_stddev(x_NCHW[rows], 4), whole[rows])


@pytest.mark.parametrize(("minibatch", "group", "parts"), [(8, 8, 2), (8, 16, 2), (12, 4, 2), (6, 4, 1), (7, 0, 2)])
def test_groups_that_parts_would_cut_are_refused(minibatch: int, group: int, parts: int) -> None:
    with pytest.raises(TrainingError, match=rf"a minibatch of {minibatch} does not give each of {parts} device\(s\)"):
        rows_of_part(minibatch, group, 0, parts)


def test_one_process_takes_all_samples_in_order() -> None:
    assert ALONE.rows(12, 4).tolist() == list(range(12))
    assert (ALONE.of_first("x"), ALONE.any(True), ALONE.any(False), ALONE.largest(3)) == ("x", True, False, 3)


def test_ranks_hear_each_other(folder: Path) -> None:
    for rank in range(RANKS):
        assert torch.load(folder / f"said-{rank}.pt", weights_only=True) == ({"seen by": 0}, True, 1)


@pytest.mark.parametrize("name", CHOICES)
def test_two_processes_compute_what_one_does_on_the_joined_minibatch(folder: Path, name: str) -> None:
    alone = steps(runs(folder / "dataset")[name], ALONE)
    both = [_steps_of(folder, rank)[name] for rank in range(RANKS)]
    assert len(alone["gradients"]) == len(both[0]["gradients"]) > 20
    for ours, theirs in zip(both[0]["gradients"], alone["gradients"], strict=True):
        # sums in another order: whatever is wrong with groups, noise or averaging is off by tenths
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max()) + 1e-7)
    assert both[0]["figures"] == pytest.approx(alone["figures"], rel=1e-5)
    assert both[0]["figures"] == both[1]["figures"]
    for network, weights in both[0]["networks"].items():
        for key, value in weights.items():
            assert torch.equal(value, both[1]["networks"][network][key]), "the ranks have gone apart"


def test_a_run_of_two_that_one_wants_stopped_ends_as_an_undisturbed_one(folder: Path) -> None:
    for rank in range(RANKS):
        assert "asked to stop after 256 images" in (folder / f"stopped-{rank}.txt").read_text()
    assert files(folder / "stopped") == files(folder / "whole")


def test_a_process_that_fails_ends_all_and_says_why(tmp_path: Path) -> None:
    result = run_module("tests.training.distributed.two_ranks", str(tmp_path), cwd=ROOT)
    assert result.returncode == 1
    assert f"ShardError: {tmp_path}/dataset" in result.stderr


@pytest.mark.parametrize("cut", [{"schedule__devices": 2}, {"speed__samples_at_once": {4: 4}}], ids=str)
@pytest.mark.parametrize(
    ("layer", "name"),
    [
        ({"networks__mbdisc_kernels": 5}, "mbdisc_kernels"),
        ({"networks__use_batchnorm": True, "networks__use_pixelnorm": False}, "use_batchnorm"),
    ],
)
def test_layers_that_mix_samples_refuse_to_be_cut(layer: dict[str, Any], name: str, cut: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=f"networks.{name} looks at all samples of a minibatch at once"):
        make_run(Path("nowhere"), networks__mbstd_group_size=0, **layer, **cut)


def test_torchrun_trains_a_stage_whose_first_process_alone_writes(tmp_path: Path) -> None:
    run = make_run(make_dataset(tmp_path / "data/shard"), schedule__devices=2, schedule__total_kimg=0.2)
    write_params(tmp_path, run.model_copy(update={"dataset": Path("data/shard")}))
    torchrun = ("torch.distributed.run", "--standalone", "--nproc-per-node=2")
    result = run_module(*torchrun, "-m", "stages.train", "small", cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-4000:]
    assert result.stderr.count("of 0.2 kimg") == 5, "each tick is told once"
    assert len(curve(tmp_path, "loss/discriminator")) == 5


def test_a_process_other_than_the_first_that_is_asked_to_stop_stops_all(tmp_path: Path) -> None:
    run = make_run(make_dataset(tmp_path / "data/shard"), schedule__devices=2, schedule__total_kimg=40.0)
    write_params(tmp_path, run.model_copy(update={"dataset": Path("data/shard")}))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    with subprocess.Popen(
        [*words, "-m", "stages.train", "small"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            while process.poll() is None and not list(tmp_path.glob("data/.work/*/checkpoint-*.json")):
                time.sleep(0.01)
            (second,) = (
                child
                for child in psutil.Process(process.pid).children()
                if child.environ().get("RANK") == "1" and "stages.train" in " ".join(child.cmdline())
            )
            second.send_signal(signal.SIGTERM)
            _, told = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, told[-4000:]
    assert told.count("asked to stop after") == 1


def test_a_process_for_each_gpu_that_shares_the_devices_evenly(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    run = make_run(folder / "dataset", schedule__devices=8)
    assert [launch.processes_for(run, gpus) for gpus in (0, 1, 2, 3, 4, 7, 8, 16)] == [1, 1, 2, 2, 4, 4, 8, 8]
    monkeypatch.setenv(launch.LAUNCHED, "2")
    assert launch.processes_for(run, 8) == 1, "under torchrun it is one of its processes"


def _steps_of(folder: Path, rank: int) -> dict[str, Any]:
    return torch.load(folder / f"steps-{rank}.pt", weights_only=True)
