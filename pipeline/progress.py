"""Progress of long work: a bar on a terminal, elsewhere a plain line a minute with count, rate and the time left.

Nothing is printed where the environment variable `CELEBAHQ_QUIET` is set, nor about work of less than a minute without
a terminal. All of it goes to the standard error.
"""

import math
import os
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, TypeVar, overload

from tqdm import tqdm

QUIET = "CELEBAHQ_QUIET"
"""The environment variable that, when it is not empty, turns progress off."""
SECONDS = 60.0
"""Between two lines where there is no terminal."""

Item = TypeVar("Item")
Progress: TypeAlias = "tqdm[Any]"


@overload
def progress(
    items: Iterable[Item],
    *,
    unit: str,
    total: float | None = None,
    initial: int = 0,
    desc: str = "",
    bytes_: bool = False,
) -> "tqdm[Item]": ...
@overload
def progress(
    items: None = None,
    *,
    unit: str,
    total: float | None = None,
    initial: int = 0,
    desc: str = "",
    bytes_: bool = False,
) -> "tqdm[Any]": ...
def progress(
    items: Iterable[Any] | None = None,
    *,
    unit: str,
    total: float | None = None,
    initial: int = 0,
    desc: str = "",
    bytes_: bool = False,
) -> "tqdm[Any]":
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
        "file": sys.stderr, "disable": bool(os.environ.get(QUIET)),
    }  # fmt: skip
    if sys.stderr.isatty():
        return tqdm(items, dynamic_ncols=True, **values)
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


class _Lines(tqdm):  # pyright: ignore[reportMissingTypeArgument] - Generic in the stubs only
    """Prints lines, and neither the first state nor the last one; `mininterval` is the time between two."""

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Print a line if one is due; tqdm also asks for one at the start, at the end, and when the text changes."""
        if msg is None and time.time() - getattr(self, "last_print_t", math.inf) >= self.mininterval:
            self.fp.write(f"{line(self.format_dict)}\n")
            self.fp.flush()
            self.last_print_t = time.time()  # `refresh` leaves it

    def clear(self, nolock: bool = False) -> None:
        """There is no bar to erase."""


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
