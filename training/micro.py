"""How a minibatch is cut where a device cannot hold it at once."""

from pipeline.errors import TrainingError


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
