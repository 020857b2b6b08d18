"""How far the files are: a bar for each, one for all, and a line for each that is done."""

import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import NoReturn

from tqdm import tqdm


class Progress:
    """Bars on a terminal, nothing but the lines elsewhere.

    Parameters
    ----------
    label
        What is fetched.
    total
        Bytes of all files whose size is known.
    here
        How many of them are here already.
    """

    def __init__(self, label: str, *, total: int, here: int) -> None:
        self._lock = threading.Lock()
        self._all = self._bar(label, total, here, leave=True)

    @contextmanager
    def file(self, label: str, total: int | None, here: int) -> Generator[Callable[[int], None]]:
        """A bar for one file; the function given is told the file's size so far."""
        with self._lock:
            bar = self._bar(label, total, here, leave=False)

        def arrived(size: int) -> None:
            with self._lock:
                gained = size - bar.n
                bar.update(gained)
                self._all.update(gained)

        try:
            yield arrived
        finally:
            with self._lock:
                bar.close()

    def say(self, line: str) -> None:
        """Print a line without breaking the bars."""
        with self._lock:
            tqdm.write(line, file=sys.stderr)

    def close(self) -> None:
        """Leave the bar of all files as it stands."""
        self._all.close()

    @staticmethod
    def _bar(label: str, total: int | None, here: int, *, leave: bool) -> "tqdm[NoReturn]":
        return tqdm(desc=label, total=total or None, initial=here, unit="B", unit_scale=True, leave=leave, disable=None)
