"""The split of a minibatch over processes and into microbatches: its rows, and that it changes no result."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import TrainingError
from pipeline.shards.reader import DataSet
from tests.training.small import make_dataset, make_run
from training import schedule
from training.data.real_images import Reals
from training.distributed.batch_split import microbatch_count, rows_of_part
from training.networks.layers import minibatch_stddev
from training.trainer import Trainer


@given(members=st.integers(1, 6), parts=st.integers(1, 4), own=st.integers(1, 4))
def test_parts_hold_every_sample_once_and_whole_groups(members: int, parts: int, own: int) -> None:
    minibatch = members * parts * own
    all_rows = [rows_of_part(minibatch, members, part, parts) for part in range(parts)]
    assert sorted(np.concatenate(all_rows)) == list(range(minibatch))
    groups, own_groups = minibatch // members, own
    for rows in all_rows:
        for n, row in enumerate(rows):  # the group that a sample is in, found in the part as in the whole
            mates = {int(rows[other]) for other in range(len(rows)) if other % own_groups == n % own_groups}
            assert mates == {sample for sample in range(minibatch) if sample % groups == row % groups}


def test_the_statistic_of_a_part_is_that_of_the_whole() -> None:
    x_NCHW = torch.randn(24, 5, 4, 4, generator=torch.Generator().manual_seed(1))
    whole = minibatch_stddev(x_NCHW, 4)
    for part in range(3):
        rows = rows_of_part(24, 4, part, 3)
        torch.testing.assert_close(minibatch_stddev(x_NCHW[rows], 4), whole[rows])


@pytest.mark.parametrize(("minibatch", "group", "parts"), [(8, 8, 2), (8, 16, 2), (12, 4, 2), (6, 4, 1), (7, 0, 2)])
def test_groups_that_parts_would_split_are_refused(minibatch: int, group: int, parts: int) -> None:
    with pytest.raises(TrainingError, match=rf"a minibatch of {minibatch} does not give each of {parts} device\(s\)"):
        rows_of_part(minibatch, group, 0, parts)
    assert rows_of_part(12, 4, 0, 1).tolist() == list(range(12))


@given(group_size=st.integers(1, 8), groups=st.integers(1, 40), limit=st.integers(1, 64))
def test_microbatches_are_the_fewest_that_fit(group_size: int, groups: int, limit: int) -> None:
    samples = group_size * groups
    if limit < group_size:
        with pytest.raises(TrainingError, match=f"Raise the limit to {group_size}"):
            microbatch_count(samples, group_size=group_size, limit=limit)
        return
    count = microbatch_count(samples, group_size=group_size, limit=limit)
    assert samples % count == 0 and (samples // count) % group_size == 0 and samples // count <= limit
    assert not [n for n in range(1, count) if groups % n == 0 and samples // n <= limit]


LSGAN = {"kind": "lsgan", "fake_weight": 0.1, "noise_gain": 50.0, "label_weight": 1.0}


@pytest.mark.parametrize("changes", [{}, {"schedule__joint_steps": True}, {"loss": LSGAN}])
def test_microbatches_lead_to_the_weights_of_the_whole_minibatch(tmp_path: Path, changes: dict[str, Any]) -> None:
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
