"""Requests to stop, sent to real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.stages.test_train import write_params
from tests.training.small import ROOT, make_dataset, make_run

UNDER_DVC = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_STAGE": "train@small"}
CODE = """
import hashlib, sys, time
from training.runtime.signals import nothing_to_save, stop_signals
with stop_signals() as stop_requested:
    if sys.argv[1] == "measuring":
        with nothing_to_save("the step was measured"):
            print("ready", flush=True)
            hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # minutes in C, without the interpreter
    print("ready", flush=True)
    while not stop_requested() or sys.argv[1] == "slow step":
        time.sleep(0.01)
    time.sleep(0.3)  # Ctrl-C again by the parent
    with nothing_to_save("the next step was compiled"):
        print("not reached")
"""
FIRST = "stop requested: the step is finished and saved first. A second request ends the run at once.\n"
LAST = "The run resumes from its newest checkpoint when it is started again.\n"


@pytest.mark.parametrize(
    ("doing", "signals", "said"),
    [
        ("slow step", [0, 0.1, 1.2], f"{FIRST}stopped on request at once. {LAST}"),
        ("step", [0], f"{FIRST}stopped on request while the next step was compiled. {LAST}"),
        ("measuring", [0], f"stopped on request while the step was measured. {LAST}"),
    ],
)
def test_a_process_with_nothing_to_save_ends_at_once(doing: str, signals: list[float], said: str) -> None:
    words = [sys.executable, "-c", CODE, doing]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, env=UNDER_DVC, **pipes) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for wait, number in zip(signals, (signal.SIGINT, signal.SIGTERM, signal.SIGINT), strict=False):
            time.sleep(wait)
            process.send_signal(number)
        output, errors = process.communicate(timeout=10)
    assert (process.returncode, output, errors) == (1, "", said)


SLOW_MEASUREMENT = """
import sys, time
from stages import main, train
from training.runtime import preflight
loaded = {"pandas"} & set(sys.modules)  # takes long, and is not needed
preflight.take = lambda *_: (print("measuring", *loaded, flush=True), time.sleep(600))
main(train.train)
"""


def test_a_run_that_measures_its_steps_is_stopped_within_seconds(tmp_path: Path) -> None:
    write_params(tmp_path, make_run(make_dataset(tmp_path / "data/shard", images=8)))
    words = [sys.executable, "-c", SLOW_MEASUREMENT, "small"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, cwd=tmp_path, env=UNDER_DVC, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "measuring\n"
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert time.monotonic() - started < 10
    assert process.returncode == 1, "under DVC"
    assert f"stopped on request while the largest steps of all resolutions were tried. {LAST}" in errors
