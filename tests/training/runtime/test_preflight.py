from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from pipeline.errors import TrainingError
from stages import profiles
from tests.training.small import make_run
from training import checkpoint
from training.distributed.process_group import ProcessGroup
from training.runtime import preflight
from training.runtime.preflight import Load

CPU = torch.device("cpu")


class Sizes(NamedTuple):
    """Takes the place of `Reals`: the sizes of a data set."""

    label_size: int

    def level_mib(self, resolution: int) -> float:
        return resolution / 1000


def test_the_largest_step_of_every_resolution_is_taken_largest_first() -> None:
    (run,) = profiles.read_profile("v2-1gpu").train.runs.values()
    steps = preflight.steps(run)
    assert [(step.resolution, step.minibatch) for step in steps] == [
        (4, 128), (8, 128), (16, 128), (32, 64), (64, 32), (128, 16), (256, 8), (512, 4), (1024, 4)
    ]  # fmt: skip
    assert [step.lod % 1 for step in steps] == [0.0] + [0.5] * 8


def test_steps_are_those_that_the_run_reaches() -> None:
    run = make_run(Path("unread"), resolution=16, schedule__total_kimg=0.33, grid_cell_pixels=16)
    assert [step.resolution for step in preflight.steps(run)] == [4, 8]
    sudden = make_run(Path("unread"), schedule__fade_kimg=0.0)
    assert [(step.resolution, step.lod) for step in preflight.steps(sudden)] == [(4, 1.0), (8, 0.0)]


def test_without_a_gpu_the_shapes_of_microbatches_are_computed() -> None:
    run = make_run(Path("unread"), speed__samples_at_once={8: 4})
    assert preflight.check(run, Sizes(3), CPU) == [Load(8, 4, 0.0), Load(4, 8, 0.0)]
    assert preflight.check(run, Sizes(0), CPU, ProcessGroup(1, 2)) == [Load(8, 4, 0.0), Load(4, 4, 0.0)]


def test_resolutions_that_a_run_has_passed_are_not_taken_again(tmp_path: Path) -> None:
    run = make_run(Path("unread"))
    assert preflight.check(run, Sizes(0), CPU, images_shown=159) == [Load(8, 8, 0.0), Load(4, 8, 0.0)]
    assert preflight.check(run, Sizes(0), CPU, images_shown=168) == [Load(8, 8, 0.0)]
    assert checkpoint.earliest(tmp_path) == 0
    for images_shown in (168, 1000200):  # the newest may be damaged
        (tmp_path / f"checkpoint-{images_shown:09d}.json").touch()
    assert checkpoint.earliest(tmp_path) == 168


def test_a_limit_below_one_group_is_an_error_before_the_run() -> None:
    with pytest.raises(TrainingError, match="a group"):
        preflight.check(make_run(Path("unread"), speed__samples_at_once={8: 2}), Sizes(0), CPU)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A fake GPU: its memory in bytes, which a test may change."""
    memory = {"free": 100 << 20, "allocated": 40 << 20, "reserved": 60 << 20}
    for name, value in {
        "empty_cache": None,
        "reset_peak_memory_stats": None,
        "synchronize": None,
        "memory_allocated": 0,
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (memory["free"], 1 << 40))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: memory["allocated"])
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _: memory["reserved"])
    monkeypatch.setattr(preflight, "take", lambda *_: None)
    return memory


class Large(Sizes):
    """A data set whose levels have 30 MiB and 60 MiB."""

    def level_mib(self, resolution: int) -> float:
        return 7.5 * resolution


def test_only_levels_that_the_gpu_will_hold_are_counted(gpu: dict[str, int]) -> None:
    cuda = torch.device("cuda")
    assert [load.mib for load in preflight.check(make_run(Path("x")), Large(0), cuda)] == [40, 40]
    run = make_run(Path("x"), speed__gpu_mib=50)
    assert [load.mib for load in preflight.check(run, Large(0), cuda)] == [40, 70], "the level of 8x8 is not held"
    run = make_run(Path("x"), speed__gpu_mib=50, speed__graphs_up_to=4)
    with pytest.raises(TrainingError, match=r"at 4x4: 8 samples at once need 90 MiB .* has 85\..*samples_at_once"):
        gpu["free"] = round(85 / 0.95 * (1 << 20))
        preflight.check(run, Large(0), cuda)


def test_a_step_that_cannot_be_held_is_an_error_before_the_run(
    gpu: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(preflight, "take", fail)
    with pytest.raises(TrainingError, match=r"at 8x8: 8 samples at once need more than the GPU has"):
        preflight.check(make_run(Path("x"), speed__graphs_up_to=8), Sizes(0), torch.device("cuda"))


def test_the_remedy_fits_the_groups() -> None:
    step = preflight.steps(make_run(Path("unread")))[-1]
    assert "{8: 8}" in preflight.remedy(step, 16, group_size=4)
    assert "{8: 12}" in preflight.remedy(step, 24, group_size=4)
    assert "mbstd_group_size" in preflight.remedy(step, 4, group_size=4)
