"""`dask scheduler` and `dask worker` as processes of their own, started in another folder than the project's."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

DASK = Path(sys.executable).with_name("dask")
ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
SECONDS = 60


@contextmanager
def dask_process(
    folder: Path, *words: str, environment: dict[str, str] | None = None
) -> Generator["subprocess.Popen[bytes]"]:
    """Run a dask command in `folder`; end it, with its children, on leaving."""
    with (folder / f"{words[0]}.log").open("ab") as log:
        process = subprocess.Popen(
            [DASK, *words], cwd=folder, env=environment or ENVIRONMENT, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def dask_scheduler(folder: Path) -> Generator[str]:
    """The address of a scheduler whose process runs in `folder`."""
    file = folder / "scheduler.json"
    words = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
    with dask_process(folder, "scheduler", *words):
        deadline = time.monotonic() + SECONDS
        while not file.exists() or not file.read_text():
            assert time.monotonic() < deadline, (folder / "scheduler.log").read_text()
            time.sleep(0.02)
        yield json.loads(file.read_text())["address"]


def worker_words(address: str, *options: str) -> Sequence[str]:
    """The command that starts one worker, as README has it, and `options`."""
    return ("worker", address, "--no-dashboard", "--nthreads", "1", *options)
