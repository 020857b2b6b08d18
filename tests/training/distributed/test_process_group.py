"""Several processes of one run: what they exchange, and that two compute what one does."""

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from pydantic import ValidationError

from tests.stages.test_train import write_params
from tests.training.distributed import two_ranks
from tests.training.distributed.two_ranks import CHOICES, runs, steps
from tests.training.small import ROOT, make_dataset, make_run
from tests.training.test_loop import files
from training.distributed import launch
from training.distributed.process_group import SINGLE_PROCESS
from training.runtime.signals import STOP_SIGNALS

RANKS = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the two processes of `two_ranks`."""
    folder = tmp_path_factory.mktemp("ranks")
    make_dataset(folder / "dataset", label_size=3)
    launch_two(folder)
    return folder


def launch_two(folder: Path) -> None:
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        launch.launch(RANKS, partial(two_ranks.main, folder))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_single_process_exchanges_with_itself() -> None:
    group = SINGLE_PROCESS
    assert (group.broadcast("x"), group.any(True), group.any(False), group.max(3)) == ("x", True, False, 3)


def test_processes_exchange_values(folder: Path) -> None:
    for rank in range(RANKS):
        assert torch.load(folder / f"exchanged-{rank}.pt", weights_only=True) == ({"rank": 0}, True, 1)


@pytest.mark.parametrize("name", CHOICES)
def test_two_processes_compute_what_one_does_on_the_whole_minibatch(folder: Path, name: str) -> None:
    alone = steps(runs(folder / "dataset")[name], SINGLE_PROCESS)
    both = [_steps_of(folder, rank)[name] for rank in range(RANKS)]
    assert len(alone["gradients"]) == len(both[0]["gradients"]) > 20
    for ours, theirs in zip(both[0]["gradients"], alone["gradients"], strict=True):
        # sums in another order: whatever is wrong with groups, noise or averaging is off by tenths
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max()) + 1e-7)
    assert both[0]["figures"] == pytest.approx(alone["figures"], rel=1e-5)
    assert both[0]["figures"] == both[1]["figures"]
    for network, weights in both[0]["networks"].items():
        for key, value in weights.items():
            assert torch.equal(value, both[1]["networks"][network][key]), "the ranks hold different weights"


def test_a_run_of_two_stopped_by_one_ends_as_an_uninterrupted_one(folder: Path) -> None:
    for rank in range(RANKS):
        assert "stopped on request after 256 images" in (folder / f"stopped-{rank}.txt").read_text()
    assert files(folder / "stopped") == files(folder / "whole")


def test_a_process_that_fails_ends_all_and_says_why(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=f"ShardError: {tmp_path}/dataset"):
        launch_two(tmp_path)


@pytest.mark.parametrize("split", [{"schedule__devices": 2}, {"speed__samples_at_once": {4: 4}}], ids=str)
@pytest.mark.parametrize(
    ("layer", "name"),
    [
        ({"networks__mbdisc_kernels": 5}, "mbdisc_kernels"),
        ({"networks__use_batchnorm": True, "networks__use_pixelnorm": False}, "use_batchnorm"),
    ],
)
def test_layers_that_mix_samples_refuse_to_be_split(layer: dict[str, Any], name: str, split: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=f"networks.{name} looks at all samples of a minibatch at once"):
        make_run(Path("nowhere"), networks__mbstd_group_size=0, **layer, **split)


def test_under_torchrun_all_start_from_the_same_networks_and_a_stop_signal_to_any_process_stops_all(
    folder: Path, tmp_path: Path
) -> None:
    """Only the main process writes. Before it saves its first snapshot, the weights of both are compared."""
    path = folder / "whole/network-000000480.safetensors"
    start = {"path": path, "kimg": None, "optimizers": "saved"}
    run = make_run(make_dataset(tmp_path / "data/shard"), schedule__devices=2, schedule__total_kimg=40.0, start=start)
    write_params(tmp_path, run.model_copy(update={"dataset": Path("data/shard")}))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    deadline = time.monotonic() + 60
    with subprocess.Popen(
        [*words, "-m", "stages.train", "small"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            while process.poll() is None and not list(tmp_path.glob("data/.work/*/checkpoint-*.json")):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            for child in psutil.Process(process.pid).children() if process.poll() is None else ():
                if child.environ().get("RANK") == "1" and "stages.train" in " ".join(child.cmdline()):
                    child.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, errors[-4000:]
    assert errors.count(f"starts from {path} at 0.48 kimg, with the saved optimisers") == 1
    assert errors.count("stopped on request after") == 1
    ticks = re.findall(r"^ +([0-9.]+) of 40 kimg", errors, re.MULTILINE)
    assert ticks, errors[-4000:]
    assert float(ticks[0]) > 0.48
    assert len(set(ticks)) == len(ticks), "each tick is logged once"


def test_a_process_for_each_gpu_that_shares_the_devices_evenly(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    run = make_run(folder / "dataset", schedule__devices=8)
    assert [launch.process_count(run, gpus) for gpus in (0, 1, 2, 3, 4, 7, 8, 16)] == [1, 1, 2, 2, 4, 4, 8, 8]
    monkeypatch.setenv(launch.WORLD_SIZE, "2")
    assert launch.process_count(run, 8) == 1, "under torchrun it is one of its processes"


def _steps_of(folder: Path, rank: int) -> dict[str, Any]:
    return torch.load(folder / f"steps-{rank}.pt", weights_only=True)
