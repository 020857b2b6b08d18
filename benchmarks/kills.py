"""A training run with and without SIGKILLs publishes the same bytes: `python -m benchmarks.kills [KILLS]`.

Stage train grows a small network from 4x4 to 16x16, over two fades: once undisturbed, once with `KILLS` kills, spread
over the whole run. Each start continues to a later checkpoint, and is killed a random time after it, up to
`LONGEST_WAIT`. Uses the data set of the last `dvc repro`.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.result import digests, save

KILLS = 20
NAME = "killed"
IMAGES = 4800
LONGEST_WAIT = 0.5
"""Seconds; about the time from one snapshot to the next."""


def params(tick_images: int) -> dict[str, Any]:
    """The demo's params with a run of short ticks."""
    values: dict[str, Any] = yaml.safe_load(Path("profiles/demo.yaml").read_text(encoding="utf-8"))
    run = values["train"]["runs"].pop("demo")
    run |= {"dataset": "dataset", "resolution": 16, "threads": 1, "snapshot_ticks": 2, "keep_snapshots": 6}
    run["networks"] |= {"fmap_base": 128, "fmap_max": 16, "latent_size": 16}
    run["schedule"] |= {"minibatch": 8, "minibatch_at": {}, "minibatch_repeats": 1, "tick_kimg": tick_images / 1000}
    run["schedule"] |= {"train_kimg": IMAGES / 5000, "fade_kimg": IMAGES / 5000, "total_kimg": IMAGES / 1000}
    values["train"]["runs"] = {NAME: run}
    return values


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start the stage in `folder`."""
    command, env = [sys.executable, "-m", "stages.train", NAME], {**os.environ, "PYTHONPATH": str(Path.cwd())}
    return subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.DEVNULL)


def newest(folder: Path) -> int:
    """Images shown at the newest checkpoint, or 0."""
    records = folder.glob(f"data/.work/train@{NAME}-*/checkpoint-*.json")
    return max((int(record.stem.rpartition("-")[2]) for record in records), default=0)


def kill_once(folder: Path, rng: random.Random, images: int) -> int:
    """Start, wait for a checkpoint after `images` and a random time, kill; returns the newest checkpoint."""
    process, before = start(folder), newest(folder)
    while process.poll() is None and newest(folder) < max(images, before + 1):
        time.sleep(0.001)
    time.sleep(rng.uniform(0, LONGEST_WAIT))
    process.send_signal(signal.SIGKILL)
    if process.wait() != -signal.SIGKILL:
        raise SystemExit(f"the run ended with status {process.returncode} before it could be killed")
    return newest(folder)


def main(kills: int) -> None:
    """Train undisturbed, train with kills, compare, save."""
    rng = random.Random(1)
    tick_images = IMAGES // (5 * kills) // 8 * 8  # 2.5 snapshots for each kill
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree("data/shard", folder / "dataset")
        (folder / "params.yaml").write_text(yaml.safe_dump(params(tick_images)), encoding="utf-8")
        started = time.monotonic()
        if start(folder).wait():
            raise SystemExit("the undisturbed run failed: see the output of python -m stages.train demo")
        undisturbed = time.monotonic() - started
        expected = digests(folder, f"runs/{NAME}")
        shutil.rmtree(folder / "runs")
        started, reached = time.monotonic(), list[int]()
        for number in range(kills):
            reached.append(kill_once(folder, rng, IMAGES * number // (kills + 2)))
            print(f"kill {number + 1}: newest checkpoint after {reached[-1]} images", flush=True)
        if start(folder).wait():
            raise SystemExit("the last start failed")
        found = digests(folder, f"runs/{NAME}")
        figures = {
            "kills": kills,
            "newest_checkpoints_when_killed": reached,
            "in_fades": [sum(IMAGES * n < 5 * shown < IMAGES * (n + 1) for shown in reached) for n in (1, 3)],
            "images": IMAGES,
            "files": len(expected),
            "identical": found == expected,
            "seconds": {"undisturbed": round(undisturbed, 1), "killed": round(time.monotonic() - started, 1)},
        }
    print(json.dumps(figures, indent=1))
    save("kills", figures)
    if not figures["identical"]:
        raise SystemExit("files differ: " + ", ".join(sorted(k for k in expected if expected[k] != found.get(k))))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else KILLS)
