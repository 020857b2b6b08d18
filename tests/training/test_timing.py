import time
from pathlib import Path

import pytest
import torch

from tests.training.small import make_run
from training import schedule
from training.timing import FILE, TickTimer, Timing

CPU = torch.device("cpu")


def test_each_resolution_begins_with_the_first_step_of_its_phase() -> None:
    for changes in (
        {},
        {"schedule__fade_kimg": 0.0},
        {"schedule__train_kimg": 0.0, "schedule__fade_kimg": 0.0},
        {"resolution": 16, "schedule__total_kimg": 0.3},
    ):
        run = make_run(Path("x"), **changes)
        first: dict[int, int] = {}
        for phase in schedule.phases(run.schedule, run.resolution):
            first.setdefault(phase.first.resolution, phase.start)
        growth = schedule.growth(run.schedule, run.resolution)
        assert [resolution for _, resolution in growth] == list(first)
        step = 16
        assert all(0 <= first[resolution] - start <= step for start, resolution in growth)


def test_times_of_the_sessions_of_a_run_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def session(images_shown: int) -> TickTimer:
        return TickTimer(tmp_path, CPU, images_shown=images_shown, growth=[(0, 4), (1000, 8)], total=3000)

    def tick(timer: TickTimer, images: int, seconds: float) -> Timing:
        clock[0] += seconds
        return timer.tick(images, 0.5)

    first = session(0)
    timing = tick(first, 500, 10)
    assert timing[:7] == (0.5, 10, 90, 20, 50, 0.5, 0), "the 500 images of now, and 2000 of twice the work"
    tick(first, 1500, 40)
    clock[0] += 1000  # stopped; resumed from a checkpoint within a tick, of which the last line is lost
    second = session(700)
    assert [line.kimg for line in second.lines] == [0.5]
    timing = tick(second, 1200, 20)
    assert timing[:5] == (1.2, 30, 72, 40, 25)
    names, *lines = (tmp_path / FILE).read_text().splitlines()
    assert names.split(",")[:3] == ["kimg", "seconds", "eta_seconds"]
    assert [line.split(",")[:2] for line in lines] == [["0.5", "10.0"], ["1.2", "30.0"]]
    (tmp_path / FILE).write_text("kimg,seconds\n0.5,ten\n")
    assert not session(700).lines
