"""The device of the networks, and the settings under which equal input gives equal bytes."""

from collections.abc import Generator
from contextlib import contextmanager

import torch


def select_device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


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
