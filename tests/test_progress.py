"""Progress (pipeline/progress.py)."""

import io
import sys
import time

import pytest

from pipeline import progress as module
from pipeline.progress import line, note, progress


class Screen(io.StringIO):
    """A terminal, or none."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def _log(monkeypatch: pytest.MonkeyPatch, terminal: bool = False) -> Screen:
    """Called in the test, not a fixture: pytest sets its own stderr between the two."""
    screen = Screen(terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.delenv(module.QUIET, raising=False)
    return screen


def test_without_a_terminal_there_is_a_line_at_each_interval_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    log = _log(monkeypatch)
    monkeypatch.setattr(module, "SECONDS", 0.1)
    with progress(total=40, initial=10, unit="chunk", desc="crop") as bar:
        bar.set_postfix(loss=1)  # which tqdm would show at once
        for _ in range(20):
            bar.update(1)
        assert log.getvalue() == ""
        time.sleep(0.11)
        bar.update(1)
        bar.update(1)
        note("fetched")
    first, second = log.getvalue().splitlines()
    assert second == "fetched"
    assert first.startswith("crop: 31 of 40 chunks (78 %), ")
    assert first.endswith(" left; loss=1")


def test_short_work_prints_nothing_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    log = _log(monkeypatch)
    assert list(progress(range(1000), unit="image")) == list(range(1000))
    assert log.getvalue() == ""


def test_on_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    log = _log(monkeypatch, terminal=True)
    assert sum(progress(range(3), unit="image")) == 3
    assert "\r" in log.getvalue()


def test_the_variable_silences_both(monkeypatch: pytest.MonkeyPatch) -> None:
    log = _log(monkeypatch)
    monkeypatch.setenv(module.QUIET, "1")
    monkeypatch.setattr(module, "SECONDS", 0.0)
    for log.terminal in (True, False):
        assert list(progress(range(3), unit="image")) == [0, 1, 2]
    assert log.getvalue() == ""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "12 of 40 chunks (30 %), 3.00 s/chunk, 01:24 left"),
        ({"rate": 2.0, "prefix": "verify"}, "verify: 12 of 40 chunks (30 %), 2.00 chunks/s, 00:14 left"),
        ({"total": None}, "12 chunks, 3.00 s/chunk"),
        ({"n": 0}, "0 of 40 chunks (0 %), 36.00 s/chunk, 24:00 left"),
        (
            {"unit": "B", "unit_scale": True, "n": 15e8, "total": 6e9, "rate": 1e6},
            "1.50GB of 6.00GB (25 %), 1.00MB/s, 1:15:00 left",
        ),
    ],
)
def test_a_line_has_count_rate_and_time_left(changes: dict[str, object], expected: str) -> None:
    state = {"n": 12, "initial": 0, "total": 40, "unit": "chunk", "unit_scale": False, "rate": None, "elapsed": 36.0}
    assert line(state | {"prefix": ""} | changes) == expected
