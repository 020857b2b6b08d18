from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from pipeline.errors import TrainingError
from stages import profiles
from tests.training.small import make_run
from training import preflight
from training.preflight import Load
from training.ranks import Ranks

CPU = torch.device("cpu")


class Sizes(NamedTuple):
    """A data set that is not there."""

    label_size: int

    def mib(self, resolution: int) -> float:
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


def test_without_a_gpu_shapes_are_computed_of_the_parts() -> None:
    run = make_run(Path("unread"), speed__samples_at_once={8: 4})
    assert preflight.check(run, Sizes(3), CPU) == [Load(8, 4, 0.0), Load(4, 8, 0.0)]
    assert preflight.check(run, Sizes(0), CPU, Ranks(1, 2)) == [Load(8, 4, 0.0), Load(4, 4, 0.0)]


def test_a_group_that_cannot_be_held_is_found_before_the_run() -> None:
    with pytest.raises(TrainingError, match="a group"):
        preflight.check(make_run(Path("unread"), speed__samples_at_once={8: 2}), Sizes(0), CPU)


def test_what_is_suggested_fits_the_groups() -> None:
    step = preflight.steps(make_run(Path("unread")))[-1]
    assert "{8: 8}" in preflight.suggested(step, 16, members=4)
    assert "{8: 12}" in preflight.suggested(step, 24, members=4)
    assert "mbstd_group_size" in preflight.suggested(step, 4, members=4)
