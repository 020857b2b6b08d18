"""The processes of one run: which samples each of them takes, and what they say to each other.

Process r of R ("rank", "world size") takes whole groups of the minibatch statistic, so the R processes together
compute what one process computes on the joined minibatch. Every random number is drawn for the joined minibatch, of
which a rank takes its rows.
"""

import json
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import TrainingError
from training.runtime.signals import die_with_parent

PATIENCE = timedelta(hours=2)
"""How long a rank waits for another, which may be measuring a snapshot at full resolution."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process's place in its run: rank `index` of `count`."""

    index: int
    count: int

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes and reports."""
        return self.index == 0

    def rows(self, minibatch: int, group: int) -> NDArray[np.int64]:
        """The samples of a joined minibatch that this rank takes: see `rows_of_part`."""
        return rows_of_part(minibatch, group, self.index, self.count)

    def mean(self, tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
        """The mean over all ranks of each tensor, of one type and on one device: one exchange for all of them.

        None is the same tensor on every rank, and stays None.
        """
        given = [tensor for tensor in tensors if tensor is not None]
        if self.count == 1 or not given:
            return list(tensors)
        flat = torch.cat([tensor.reshape(-1) for tensor in given])
        self._exchange(flat, dist.ReduceOp.SUM)
        parts = iter(flat.div_(self.count).split([tensor.numel() for tensor in given]))
        # in each tensor's own order in memory, which operations over many tensors want to be that of the weights
        return [
            None if tensor is None else torch.empty_like(tensor).copy_(next(parts).view(tensor.shape))
            for tensor in tensors
        ]

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true on any rank."""
        return self.largest(int(flag)) > 0

    def largest(self, value: int) -> int:
        """The largest `value` of all ranks."""
        if self.count == 1:
            return value
        told = torch.tensor(value, dtype=torch.int64)
        self._exchange(told, dist.ReduceOp.MAX)
        return int(told)

    def of_first(self, value: Any) -> Any:
        """What the first rank gives for `value`, on every rank: anything that JSON can say."""
        if self.count == 1:
            return value
        said = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8) if self.first else None
        length = self.largest(0 if said is None else len(said))
        told = torch.zeros(length, dtype=torch.uint8) if said is None else said
        self._exchange(told, dist.ReduceOp.SUM)  # all others give zeros
        return json.loads(bytes(told.numpy()))

    def _exchange(self, tensor: Tensor, how: dist.ReduceOp.RedOpType) -> None:
        try:
            dist.all_reduce(tensor, how)
        except RuntimeError as error:  # what torch raises when a peer has gone
            raise TrainingError(
                f"rank {self.index} of {self.count} lost another rank ({str(error).splitlines()[0]}). The one that "
                f"ended first says why; then run again: the run goes on from its newest checkpoint."
            ) from error


ALONE = Ranks(0, 1)
"""A run of one process."""


@contextmanager
def joined() -> Generator[Ranks]:
    """This process among those that `torchrun`, or the stage itself, started; alone where none of them did.

    Each rank takes the GPU of its number on its machine. Where there is none, all of them use the CPU. A rank whose
    starter dies dies with it (on Linux), so that none goes on behind the back of the next start.

    Raises
    ------
    TrainingError
        The others cannot be reached.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    ranks = Ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    die_with_parent()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", ranks.index)))
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:  # what torch raises without a meeting point
        raise TrainingError(f"rank {ranks.index} of {ranks.count} cannot join the others: {error}") from error
    try:
        yield ranks
    finally:
        dist.destroy_process_group()


def members_of(group: int, minibatch: int) -> int:
    """How many samples of a minibatch belong together, where `networks.mbstd_group_size` is `group`."""
    return max(min(group, minibatch), 1)


def rows_of_part(minibatch: int, group: int, part: int, parts: int) -> NDArray[np.int64]:
    """The samples of a minibatch that belong to part 0, 1, … of `parts` equal ones, each of whole groups.

    With M groups, sample n of the minibatch belongs to group n mod M (`layers.minibatch_stddev`). A part takes
    neighbouring groups, its samples in an order by which the same rule, applied to the part alone, finds these groups.

    Parameters
    ----------
    group
        Samples in a group; 0 or 1 where there are none. A group larger than the minibatch is the minibatch.

    Raises
    ------
    TrainingError
        The groups cannot be shared out evenly.
    """
    members = members_of(group, minibatch)
    groups, rest = divmod(minibatch, members)
    if minibatch < 1 or rest or groups % parts:
        raise TrainingError(
            f"a minibatch of {minibatch} does not give each of {parts} device(s) as many whole groups of "
            f"{members} samples. Choose minibatches that are multiples of schedule.devices x networks.mbstd_group_size."
        )
    own = groups // parts
    return np.arange(minibatch).reshape(members, groups)[:, part * own : (part + 1) * own].reshape(-1)
