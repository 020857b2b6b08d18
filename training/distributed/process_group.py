"""The processes of one run and what they exchange.

Every process computes its rows of each minibatch (`training.distributed.batch_split`). Gradients and figures are
averaged over all of them, so that they all hold the same weights.
"""

import json
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from pipeline.errors import TrainingError
from training.runtime.signals import die_with_parent

TIMEOUT = timedelta(hours=2)
"""How long a process waits for another, which may be measuring a snapshot at full resolution."""


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """This process's rank among the `world_size` processes of its run."""

    rank: int
    world_size: int

    @property
    def is_main(self) -> bool:
        """Whether this process writes and reports: rank 0."""
        return self.rank == 0

    def mean(self, tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
        """The mean over all processes of each tensor, in one exchange; all have one dtype and one device.

        None stays None; it must be None in every process.
        """
        given = [tensor for tensor in tensors if tensor is not None]
        if self.world_size == 1 or not given:
            return list(tensors)
        flat = torch.cat([tensor.reshape(-1) for tensor in given])
        self._all_reduce(flat, dist.ReduceOp.SUM)
        means = iter(flat.div_(self.world_size).split([tensor.numel() for tensor in given]))
        # in the memory format of each tensor, which the optimiser's foreach operations need to be that of the weights
        return [
            None if tensor is None else torch.empty_like(tensor).copy_(next(means).view(tensor.shape))
            for tensor in tensors
        ]

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in any process."""
        return self.max(int(flag)) > 0

    def max(self, value: int) -> int:
        """The largest `value` of all processes."""
        if self.world_size == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.int64)
        self._all_reduce(tensor, dist.ReduceOp.MAX)
        return int(tensor)

    def broadcast(self, value: Any) -> Any:
        """The main process's `value`, in every process; sent as JSON."""
        if self.world_size == 1:
            return value
        content = json.dumps(value).encode() if self.is_main else b""
        length = self.max(len(content))
        tensor = torch.frombuffer(bytearray(content.ljust(length, b"\0")), dtype=torch.uint8)
        self._all_reduce(tensor, dist.ReduceOp.SUM)  # the others add zeros
        return json.loads(bytes(tensor.numpy()))

    def _all_reduce(self, tensor: Tensor, operation: dist.ReduceOp.RedOpType) -> None:
        try:
            dist.all_reduce(tensor, operation)
        except RuntimeError as error:  # raised by torch when another process has ended
            raise TrainingError(
                f"rank {self.rank} of {self.world_size} lost another rank ({str(error).splitlines()[0]}). The message "
                f"of the one that ended first says why; then run again: training resumes from the newest checkpoint."
            ) from error


SINGLE_PROCESS = ProcessGroup(0, 1)


@contextmanager
def init_process_group() -> Generator[ProcessGroup]:
    """Join the processes that `torchrun` or `training.distributed.launch` started; a single process without them.

    Each process uses the GPU of its local rank; without GPUs all of them use the CPU. On Linux a process ends with the
    one that started it, so that none is left when the run is started again.

    Raises
    ------
    TrainingError
        The other processes cannot be reached.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield SINGLE_PROCESS
        return
    group = ProcessGroup(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    die_with_parent()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", group.rank)))
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=TIMEOUT)
    except (RuntimeError, ValueError) as error:  # raised by torch without a rendezvous
        raise TrainingError(f"rank {group.rank} of {group.world_size} cannot join the others: {error}") from error
    try:
        yield group
    finally:
        dist.destroy_process_group()
