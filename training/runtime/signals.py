"""How a run is stopped by signals, and how its processes end with their parent."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
SECOND_AFTER = 1.0
"""Seconds after which another signal is a second request: Ctrl-C reaches a process directly and by its parent."""
UNDER_DVC = "DVC_STAGE"
"""Environment variable of every process that DVC starts; DVC takes a process that ends with status 0 for complete."""
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """End this process as soon as its parent process has ended, for whatever reason (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class _Requests:
    """The requests to stop this process.

    They are received in a thread, since the main thread handles no signal before a function in C returns, such as the
    compilation of a kernel.
    """

    def __init__(self) -> None:
        self.requested = False
        self.doing: str | None = None
        self._first = 0.0

    def serve(self, reader: int) -> None:
        """Receive signals from the pipe of `signal.set_wakeup_fd` until it is closed."""
        with os.fdopen(reader, "rb", buffering=0) as pipe:
            while number := pipe.read(1):
                if number[0] in STOP_SIGNALS:
                    self._receive()

    def end_now(self) -> None:
        """End the process; what it writes is whole or ignored at any moment."""
        during = f" while {self.doing}" if self.doing else " at once"
        _print(f"stopped on request{during}. The run resumes from its newest checkpoint when it is started again.")
        os._exit(int(UNDER_DVC in os.environ))

    def _receive(self) -> None:
        first, self.requested = not self.requested, True
        if self.doing:
            self.end_now()
        elif first:
            self._first = time.monotonic()
            _print("stop requested: the step is finished and saved first. A second request ends the run at once.")
        elif time.monotonic() - self._first > SECOND_AFTER:
            self.end_now()


_active: list[_Requests] = []
"""That of `stop_signals`, in its context."""


@contextmanager
def stop_signals() -> Generator[Callable[[], bool]]:
    """Yield a function that returns whether SIGTERM or SIGINT has arrived; main thread only.

    A second signal, or any in the context of `nothing_to_save`, ends the process, under DVC with an error.
    """
    requests = _Requests()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    thread = threading.Thread(target=requests.serve, args=(reader,), daemon=True)
    handlers = {number: signal.signal(number, lambda *_: None) for number in STOP_SIGNALS}
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    thread.start()
    _active.append(requests)
    try:
        yield lambda: requests.requested
    finally:
        _active.remove(requests)
        signal.set_wakeup_fd(wakeup)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(writer)
        thread.join()


def requested() -> bool:
    """Whether a request to stop has arrived in the context of `stop_signals`."""
    return bool(_active) and _active[-1].requested


@contextmanager
def nothing_to_save(doing: str) -> Generator[None]:
    """Until the context ends, a request to stop ends the process at once: what it does takes long and is not saved.

    `doing` completes the message "stopped on request while ...".
    """
    requests = _active[-1] if _active else _Requests()
    before, requests.doing = requests.doing, doing
    try:
        if requests.requested:
            requests.end_now()
        yield
    finally:
        requests.doing = before


def _print(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
