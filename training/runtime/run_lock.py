"""A lock on a run's folder, so that only one process at a time trains in it."""

import fcntl
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import TrainingError

LOCKS = Path("/proc/locks")
"""Linux: all locks on files, with process, device and inode."""


def holder(folder: Path) -> int | None:
    """The process of this machine that trains in a folder, without taking the lock; None if unknown or none."""
    status = folder.stat()
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in LOCKS.read_text(encoding="ascii").splitlines() if LOCKS.exists() else []:
        _, kind, _, _, process, file, *_ = line.split()
        if kind == "FLOCK" and file == wanted:
            return int(process)
    return None


@contextmanager
def run_lock(folder: Path, log: Callable[[str], None]) -> Generator[None]:
    """Lock the folder of a run; the system releases the lock when the process ends, for whatever reason.

    A file system without locks is reported to `log`.

    Raises
    ------
    TrainingError
        Another process trains in this folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingError(
                f"{folder}: another process trains in this folder. Wait for it, or stop it with SIGTERM, on which it "
                f"saves a checkpoint and ends."
            ) from error
        except OSError as error:
            log(f"{folder} cannot be locked ({error.strerror}): make sure that only one process trains in it")
        yield
    finally:
        os.close(descriptor)
