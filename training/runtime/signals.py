"""How a run is stopped by signals, and how its processes end with their parent."""

import ctypes
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """End this process as soon as its parent process has ended, for whatever reason (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def stop_signals() -> Generator[Callable[[], bool]]:
    """Yield a function that returns whether SIGTERM or SIGINT has arrived; main thread only.

    A second SIGINT raises KeyboardInterrupt at once.
    """
    received = False

    def handle(number: int, _: FrameType | None) -> None:
        nonlocal received
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received = True

    before = {number: signal.signal(number, handle) for number in STOP_SIGNALS}
    try:
        yield lambda: received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
