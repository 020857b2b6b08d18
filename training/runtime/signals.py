"""How a run is asked to stop, and kept from being trained twice at once."""

import ctypes
import fcntl
import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from pipeline.errors import TrainingError

REQUESTS = (signal.SIGTERM, signal.SIGINT)


_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux


def die_with_parent() -> None:
    """End this process as soon as the one that started it has ended, however it did (on Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)


def never() -> bool:
    """Nobody asks."""
    return False


@contextmanager
def asked_to_stop() -> Generator[Callable[[], bool]]:
    """Yield what tells whether SIGTERM or SIGINT came; a second SIGINT interrupts at once. In the main thread only."""
    asked = False

    def note(number: int, _: FrameType | None) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked = True

    before = {number: signal.signal(number, note) for number in REQUESTS}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def sole_writer(folder: Path, tell: Callable[[str], None]) -> Generator[None]:
    """Hold the folder of a run; the system lets go of it when the process ends, however it does.

    Raises
    ------
    TrainingError
        Another process trains in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingError(
                f"{folder}: another process trains in this folder. Wait for it, or end it: on SIGTERM it saves "
                f"and stops."
            ) from error
        except OSError as error:  # a file system without locks
            tell(f"{folder} cannot be locked ({error.strerror}): see to it that only one process trains in it")
        yield
    finally:
        os.close(descriptor)
