"""The device of the networks, and the settings under which equal input gives equal bytes."""

import re
import sys
from collections.abc import Generator
from contextlib import contextmanager

import torch


def select_device() -> torch.device:
    """The GPU of this worker if there is one, else the CPU.

    Workers of a cluster take the visible GPUs in turn, by the number at the end of their name (0, 1... of local
    workers; of others the port in their address).
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", worker_number() % torch.cuda.device_count())


def worker_number() -> int:
    """The number of the dask worker that runs this; 0 in another process."""
    if "distributed" not in sys.modules:  # in a dask worker it is loaded
        return 0
    from distributed import get_worker  # noqa: PLC0415

    try:
        name = str(get_worker().name)
    except ValueError:
        return 0
    digits = re.findall(r"\d+", name)
    return int(digits[-1]) if digits else 0


@contextmanager
def reproducible(threads: int) -> Generator[None]:
    """Compute with `threads` CPU threads, and deterministic cuDNN kernels in full float32; restore the settings after.

    The number of threads decides the order of sums and so their last bits: it must not depend on the machine.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(before)
