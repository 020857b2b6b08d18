"""Progress (pipeline/progress.py)."""

import io
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import progress as module
from pipeline.progress import State, line, note, progress, publish, published, read_published


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


@pytest.mark.parametrize("quiet", [False, True])
def test_other_processes_can_read_how_far_the_work_is(
    quiet: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, file = _log(monkeypatch), tmp_path / "crop.progress.json"
    if quiet:
        monkeypatch.setenv(module.QUIET, "1")
    monkeypatch.setattr(module, "SECONDS_PUBLISHED", 0.0)
    assert read_published(file) is None
    with published(file):
        begun = read_published(file)
        assert begun is not None
        assert replace(begun, at=0) == State()
        with progress(total=40, initial=10, unit="row") as bar:
            bar.set_dropped(3)
            time.sleep(0.02)
            bar.update(10)
        found = read_published(file)
        assert found is not None
        assert (found.done, found.total, found.unit, found.dropped) == (20, 40, "row", 3)
        assert found.left is not None
        assert 0.02 <= 2 * found.left / 4 < 1, "ten rows took as long as half of the twenty that are left"
        assert list(progress(range(5), unit="row")) == [*range(5)]
        assert read_published(file) == found, "a few rows that are done again do not stand for the work"
        assert list(progress(range(5), unit="byte")) == [*range(5)]
        assert (last := read_published(file))
        assert (last.done, last.unit) == (5, "byte")
    assert [*tmp_path.iterdir()] == []
    publish(State(1))
    assert [*tmp_path.iterdir()] == []
    assert log.getvalue() == ""


def test_what_is_published_stays_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), published(tmp_path / "state.json"):
        publish(State(5, 10, "row"))
        raise ZeroDivisionError
    assert (found := read_published(tmp_path / "state.json"))
    assert found.done == 5
    (tmp_path / "state.json").write_text("[")
    assert read_published(tmp_path / "state.json") is None
