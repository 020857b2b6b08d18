"""A training run that is killed again and again publishes the bytes of an undisturbed run.

`CELEBAHQ_KILLS=20 pytest tests/training/test_kills.py -s` kills 20 times, spread over the run and both of its fades.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.result import digests
from tests.training.small import ROOT, make_dataset

KILLS = int(os.environ.get("CELEBAHQ_KILLS", "0"))
NAME = "killed"
IMAGES = 240 * KILLS


@pytest.mark.skipif(not KILLS, reason="tests/stages/test_train.py kills once; CELEBAHQ_KILLS=20 kills 20 times")
@pytest.mark.timeout(120 + 60 * KILLS)
def test_a_killed_run_publishes_the_same_bytes(tmp_path: Path) -> None:
    make_dataset(tmp_path / "dataset")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(_params()), encoding="utf-8")
    started = time.monotonic()
    assert _start(tmp_path).wait() == 0
    seconds = time.monotonic() - started
    expected = digests(tmp_path, f"runs/{NAME}")
    (tmp_path / "runs").rename(tmp_path / "undisturbed")
    rng, reached = random.Random(1), list[int]()
    for number in range(KILLS):
        reached.append(_kill_once(tmp_path, rng.uniform(0, seconds / 20), IMAGES * number // (KILLS + 2)))
        print(f"kill {number + 1}: newest checkpoint after {reached[-1]} of {IMAGES} images")
    assert _start(tmp_path).wait() == 0
    assert digests(tmp_path, f"runs/{NAME}") == expected
    print(f"{KILLS} kills, {len(expected)} files identical")


def _params() -> dict[str, Any]:
    """The demo's params with a run from 4 to 16 pixels in short ticks."""
    values: dict[str, Any] = yaml.safe_load((ROOT / "profiles/demo.yaml").read_text(encoding="utf-8"))
    run = values["train"]["runs"].pop("demo")
    run |= {"dataset": "dataset", "resolution": 16, "snapshot_ticks": 2, "keep_snapshots": 6, "snapshot_swd": None}
    run["networks"] |= {"fmap_base": 128, "fmap_max": 16, "latent_size": 16}
    run["schedule"] |= {"minibatch": 8, "minibatch_repeats": 1, "tick_kimg": 0.048, "total_kimg": IMAGES / 1000}
    run["schedule"] |= {"train_kimg": IMAGES / 5000, "fade_kimg": IMAGES / 5000}
    values["train"]["runs"] = {NAME: run}
    return values


def _start(folder: Path) -> subprocess.Popen[bytes]:
    command, env = [sys.executable, "-m", "stages.train", NAME], {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.DEVNULL)


def _newest(folder: Path) -> int:
    """Images shown at the newest checkpoint, or 0."""
    records = folder.glob(f"data/.work/train@{NAME}-*/checkpoint-*.json")
    return max((int(record.stem.rpartition("-")[2]) for record in records), default=0)


def _kill_once(folder: Path, wait: float, images: int) -> int:
    """Start, wait for a checkpoint after `images` and `wait` seconds, kill; returns the newest checkpoint."""
    process, before = _start(folder), _newest(folder)
    while process.poll() is None and _newest(folder) < max(images, before + 1):
        time.sleep(0.001)
    time.sleep(wait)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    return _newest(folder)
