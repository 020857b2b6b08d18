"""Where networks compute, and the settings under which equal input gives equal bytes."""

from collections.abc import Generator
from contextlib import contextmanager

import torch


def select_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def reproducible(threads: int) -> Generator[None]:
    """Compute on `threads` CPU threads and by deterministic GPU kernels in full float32; put back what was set before.

    The number of threads decides how sums are split and with that their last bits, so it must not be
    what the machine happens to have.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(before)
