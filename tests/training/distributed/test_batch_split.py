"""Minibatches computed in parts: which parts, and that they change nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import TrainingError
from pipeline.shards.reader import DataSet
from tests.training.small import make_dataset, make_run
from training import schedule
from training.data.real_images import Reals
from training.distributed.batch_split import parts_of
from training.trainer import Trainer


@given(members=st.integers(1, 8), groups=st.integers(1, 40), limit=st.integers(1, 64))
def test_parts_are_the_fewest_that_fit(members: int, groups: int, limit: int) -> None:
    samples = members * groups
    if limit < members:
        with pytest.raises(TrainingError, match=f"Raise the limit to {members}"):
            parts_of(samples, members=members, limit=limit)
        return
    parts = parts_of(samples, members=members, limit=limit)
    assert samples % parts == 0 and (samples // parts) % members == 0 and samples // parts <= limit
    assert not [n for n in range(1, parts) if groups % n == 0 and samples // n <= limit]
    assert parts_of(samples, members=members, limit=None) == 1


LSGAN = {"kind": "lsgan", "fake_weight": 0.1, "noise_gain": 50.0, "label_weight": 1.0}


@pytest.mark.parametrize("changes", [{}, {"schedule__joint_steps": True}, {"loss": LSGAN}])
def test_parts_lead_to_the_weights_of_the_whole(tmp_path: Path, changes: dict[str, Any]) -> None:
    dataset, trainers = make_dataset(tmp_path, label_size=3), list[Trainer]()
    streamed = {"ram_mib": 0, "speed__workers": 1, "speed__minibatches_ahead": 3}
    for cuts in ({}, {"speed__samples_at_once": {8: 4}}, {"speed__samples_at_once": {8: 4}, **streamed}):
        run = make_run(dataset, labels=True, mirror=True, networks__mbstd_group_size=4, **changes, **cuts)
        with Reals(DataSet(dataset), run) as reals:
            trainer = Trainer(run, reals, torch.device("cpu"))
            trainer.initialise()
            trainer.images_shown = 240
            step = schedule.at(run.schedule, run.resolution, trainer.images_shown)
            assert step.resolution == 8 and 0 < step.lod < 1 and step.minibatch == 8
            for _ in range(3):
                trainer.update(step)
        trainers.append(trainer)
    whole, *in_parts = trainers
    expected = whole.take_figures()
    for parts in in_parts:
        assert whole.images_shown == parts.images_shown
        for name, network in whole.networks().items():
            for key, value in network.items():
                torch.testing.assert_close(parts.networks()[name][key], value, rtol=1e-3, atol=1e-5)
        assert parts.take_figures() == pytest.approx(expected, rel=1e-4)
