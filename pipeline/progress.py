"""Progress of long work: a bar on a terminal, elsewhere a plain line a minute with count, rate and the time left.

Nothing is printed where the environment variable `CELEBAHQ_QUIET` is set, nor about work of less than a minute without
a terminal. All of it goes to the standard error. Within `published`, other processes can read how far the work is.
"""

import json
import math
import os
import sys
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, overload

from tqdm import tqdm

QUIET = "CELEBAHQ_QUIET"
"""The environment variable that, when it is not empty, turns progress off."""
SECONDS = 60.0
"""Between two lines where there is no terminal."""
SECONDS_PUBLISHED = 1.0
"""Between two versions of a published state."""

Item = TypeVar("Item")
Progress: TypeAlias = "_Bar"


@dataclass(frozen=True, slots=True)
class State:
    """How far a work is, for other processes.

    `done` of `total` (None: unknown) of `unit`; so many inputs `dropped`; seconds `left` from `at`, in seconds of
    Unix time, on; None: unknown.
    """

    done: float = 0
    total: float | None = None
    unit: str = ""
    dropped: int = 0
    left: float | None = None
    at: float = 0


class _Published:
    """Where states are published, and the last one."""

    path: Path | None = None
    state = State()
    lock = threading.Lock()


@contextmanager
def published(path: Path) -> Generator[None]:
    """Write how far the work in this context is to a JSON file; it is removed at the end, and stays after an error."""
    _Published.path, _Published.state = path, State()
    publish(State())
    try:
        yield
        path.unlink(missing_ok=True)
    finally:
        _Published.path = None


def publish(state: State) -> None:
    """Publish a state, within `published`; not that of a shorter work of the same unit, which belongs to the longer."""
    path, last = _Published.path, _Published.state
    if path is None or (state.unit == last.unit and (state.total or 0) < (last.total or 0)):
        return
    with _Published.lock, suppress(OSError):  # of a full disk, about which the work itself has more to say
        _Published.state = state
        new = path.with_suffix(".partial")
        new.write_text(json.dumps(asdict(state) | {"at": time.time()}), encoding="utf-8")
        new.replace(path)  # not flushed: it is of no use when the system has stopped


def read_published(path: Path) -> State | None:
    """The state in a file; None if there is none."""
    try:
        return State(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


@overload
def progress(
    items: Iterable[Item],
    *,
    unit: str,
    total: float | None = None,
    initial: int = 0,
    desc: str = "",
    bytes_: bool = False,
) -> Iterable[Item]: ...
@overload
def progress(
    items: None = None,
    *,
    unit: str,
    total: float | None = None,
    initial: int = 0,
    desc: str = "",
    bytes_: bool = False,
) -> Progress: ...
def progress(
    items: Iterable[Any] | None = None,
    *,
    unit: str,
    total: float | None = None,
    initial: int = 0,
    desc: str = "",
    bytes_: bool = False,
) -> Any:
    """A tqdm over `items`, or one to `update` by hand and to close, as a context manager.

    Parameters
    ----------
    unit
        What is counted, singular: `image`.
    total
        How many there are; the length of `items` by default, unknown (no time left is shown) if it has none.
    initial
        How many were done before.
    desc
        What is done, ahead of the numbers.
    bytes_
        Large numbers are shortened: 1.5 GB.
    """
    values: dict[str, Any] = {
        "total": total, "initial": initial, "unit": unit, "desc": desc or None, "unit_scale": bytes_, "leave": False,
        "file": sys.stderr,
    }  # fmt: skip
    if os.environ.get(QUIET):
        return _Bar(items, mininterval=SECONDS, maxinterval=SECONDS, miniters=1, **values)
    if sys.stderr.isatty():
        return _OnTerminal(items, dynamic_ncols=True, **values)
    return _Lines(items, mininterval=SECONDS, maxinterval=SECONDS, miniters=1, **values)


def duration(seconds: float) -> str:
    """Seconds as text with two digits or so."""
    for unit, length in (("d", 86_400 * 2), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / (86_400 if unit == 'd' else length):.1f} {unit}"
    return f"{seconds:.0f} s"


def note(message: str) -> None:
    """Print a line to the standard error, above a bar if there is one."""
    tqdm.write(message, file=sys.stderr)


class _Bar(tqdm):  # pyright: ignore[reportMissingTypeArgument] - Generic in the stubs only
    """Publishes how far it is, and prints nothing."""

    dropped, _published = 0, -SECONDS_PUBLISHED

    def __iter__(self) -> Iterator[Any]:
        """The items; each is counted when the next one is asked for."""
        with self:
            for item in self.iterable:
                yield item
                self.update()

    def update(self, n: float | None = 1) -> bool | None:
        """Count `n` more."""
        shown = super().update(n)
        self._publish()
        return shown

    def set_dropped(self, count: int) -> None:
        """State how many inputs are dropped so far."""
        self.dropped = count
        if count:
            self.set_postfix_str(f"{count} dropped", refresh=False)
        self._publish()

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Print nothing."""

    def clear(self, nolock: bool = False) -> None:
        """There is no bar to erase."""

    def _publish(self) -> None:
        now = time.monotonic()
        if now - self._published >= SECONDS_PUBLISHED or self.n == self.total:
            self._published = now
            publish(self._state())

    def _state(self) -> State:
        left, new = None, self.n - self.initial
        if self.total and new > 0:
            left = max(self.total - self.n, 0) * (time.time() - self.start_t) / new
        return State(self.n, self.total, self.unit, self.dropped, left)


class _OnTerminal(_Bar):
    """The bar of tqdm."""

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Draw the bar."""
        tqdm.display(self, msg, pos)

    def clear(self, nolock: bool = False) -> None:
        """Erase the bar."""
        tqdm.clear(self, nolock)


class _Lines(_Bar):
    """Prints lines, and neither the first state nor the last one; `mininterval` is the time between two."""

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Print a line if one is due; tqdm also asks for one at the start, at the end, and when the text changes."""
        if msg is None and time.time() - getattr(self, "last_print_t", math.inf) >= self.mininterval:
            self.fp.write(f"{line(self.format_dict)}\n")
            self.fp.flush()
            self.last_print_t = time.time()  # `refresh` leaves it


def line(state: Mapping[str, Any]) -> str:
    """One line of tqdm's `format_dict`: `12 of 40 chunks (30 %), 3.21 s/chunk, 01:24 left; 2 dropped`."""
    done, total, unit, scaled = state["n"], state["total"], state["unit"], state["unit_scale"]
    rate = state["rate"] or max(done - state["initial"], 1) / max(state["elapsed"], 1e-9)

    def text(value: float) -> str:
        return f"{tqdm.format_sizeof(value)}{unit}" if scaled else f"{value:.0f} {unit}s"

    per_second = f"{text(rate)}/s" if scaled else f"{rate:.2f} {unit}s/s"
    speed = per_second if scaled or rate >= 1 else f"{1 / rate:.2f} s/{unit}"
    head = f"{state['prefix']}: " if state["prefix"] else ""
    tail = f"; {state['postfix']}" if state.get("postfix") else ""
    if not total:
        return f"{head}{text(done)}, {speed}{tail}"
    left = tqdm.format_interval(max(total - done, 0) / rate)
    first = text(done) if scaled else f"{done:.0f}"
    return f"{head}{first} of {text(total)} ({100 * done / total:.0f} %), {speed}, {left} left{tail}"
