"""The split of a minibatch: over the processes of a run, and into microbatches where a device cannot hold its rows.

Both splits keep the groups of the minibatch statistic whole, so that all parts together compute what one device
computes on the whole minibatch. Every random number is drawn for the whole minibatch; a part takes its rows.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import TrainingError
from pipeline.params import TrainRun
from training.distributed.process_group import ProcessGroup
from training.schedule import Step

Rows = NDArray[np.int64]


def microbatch_rows(run: TrainRun, step: Step, group: ProcessGroup) -> list[Rows]:
    """The rows of a step's minibatch that each microbatch of this process takes; all have the same number."""
    group_size = run.networks.mbstd_group_size
    rows = rows_of_part(step.minibatch, group_size, group.rank, group.world_size)
    limit = run.speed.samples_at_once.get(step.resolution)
    if limit is None or len(rows) <= limit:
        return [rows]
    count = microbatch_count(len(rows), group_size=min_samples(group_size, step.minibatch), limit=limit)
    return [rows[rows_of_part(len(rows), group_size, part, count)] for part in range(count)]


def microbatch_count(samples: int, *, group_size: int, limit: int) -> int:
    """The fewest equal parts of `samples` that consist of whole groups and have at most `limit` samples.

    Raises
    ------
    TrainingError
        A single group is larger than the limit.
    """
    groups = samples // group_size
    for count in range(1, groups + 1):
        if groups % count == 0 and samples // count <= limit:
            return count
    raise TrainingError(
        f"a group of the minibatch statistic has {group_size} samples, but speed.samples_at_once allows {limit}: a "
        f"group cannot be split. Raise the limit to {group_size}, or lower networks.mbstd_group_size."
    )


def min_samples(group_size: int, minibatch: int) -> int:
    """The samples of one group, the least that can be computed at once; 1 where there are no groups."""
    return max(min(group_size, minibatch), 1)


def rows_of_part(minibatch: int, group_size: int, part: int, parts: int) -> Rows:
    """The rows of a minibatch that belong to one of `parts` equal parts, each of whole groups.

    With M groups, sample n of the minibatch belongs to group n mod M (`layers.minibatch_stddev`). A part takes
    consecutive groups. Its rows are ordered so that the same rule, applied to the part alone, finds these groups.

    Parameters
    ----------
    group_size
        `networks.mbstd_group_size`: 0 or 1 for no groups. A group larger than the minibatch is the whole minibatch.

    Raises
    ------
    TrainingError
        The groups cannot be divided evenly.
    """
    samples = min_samples(group_size, minibatch)
    groups, rest = divmod(minibatch, samples)
    if minibatch < 1 or rest or groups % parts:
        raise TrainingError(
            f"a minibatch of {minibatch} does not give each of {parts} device(s) as many whole groups of "
            f"{samples} samples. Choose minibatches that are multiples of schedule.devices x networks.mbstd_group_size."
        )
    own = groups // parts
    return np.arange(minibatch).reshape(samples, groups)[:, part * own : (part + 1) * own].reshape(-1)
