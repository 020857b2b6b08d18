"""How a minibatch is cut where a device cannot hold it at once."""

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import TrainingError
from pipeline.params import TrainRun
from training.distributed.process_group import Ranks, members_of, rows_of_part
from training.schedule import Step


def cut(run: TrainRun, step: Step, ranks: Ranks) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """The samples of a step's minibatch that this rank takes, and of each part the positions among these.

    Raises
    ------
    TrainingError
        `run.speed.samples_at_once` allows less than a group.
    """
    group = run.networks.mbstd_group_size
    own = ranks.rows(step.minibatch, group)
    members = members_of(group, step.minibatch)
    parts = parts_of(len(own), members=members, limit=run.speed.samples_at_once.get(step.resolution))
    return own, [rows_of_part(len(own), group, part, parts) for part in range(parts)]


def samples_at_once(run: TrainRun, step: Step, ranks: Ranks) -> int:
    """How many samples of a step this rank computes at a time; all parts have so many."""
    own, parts = cut(run, step, ranks)
    return len(own) // len(parts)


def parts_of(samples: int, *, members: int, limit: int | None) -> int:
    """The fewest equal parts of `samples`, each of whole groups of `members`, that hold at most `limit` samples each.

    Raises
    ------
    TrainingError
        A single group is larger than the limit.
    """
    if limit is None or samples <= limit:
        return 1
    groups = samples // members
    for parts in range(2, groups + 1):
        if groups % parts == 0 and samples // parts <= limit:
            return parts
    raise TrainingError(
        f"a group of the minibatch statistic has {members} samples, and speed.samples_at_once allows {limit}: a group "
        f"cannot be cut. Raise the limit to {members}, or lower networks.mbstd_group_size."
    )
