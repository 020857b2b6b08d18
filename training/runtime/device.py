"""The device that a run computes on, and how it is set up for it."""

import ctypes
import os
import sys

import torch

from pipeline.params import TrainRun

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of glibc's mallopt."""
_KEEP_BYTES = (1 << 31) - 1


def device_at_hand() -> torch.device:
    """The GPU where there is one, else the CPU; a GPU's products and convolutions in full float32."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    _allow_tf32(False)
    return torch.device("cuda")


def prepare(run: TrainRun, device: torch.device) -> None:
    """Set this process up for a run: threads, memory, and a GPU's kernels."""
    torch.set_num_threads(run.threads)
    if device.type != "cuda":
        keep_freed_memory()
        return
    _allow_tf32(run.speed.precision != "float32")
    torch.backends.cudnn.benchmark = not run.deterministic  # a run has few shapes, each for days
    if run.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs to repeat its sums
        torch.use_deterministic_algorithms(True)
        # filling new tensors would cost time, and no result depends on what they hold
        torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]


def keep_freed_memory() -> None:
    """Let malloc give freed tensors to the next ones, not to the system, which would zero their pages anew (glibc)."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, _KEEP_BYTES)


def _allow_tf32(allowed: bool) -> None:
    """In convolutions only: the few matrix products (dense layers, kernels of fused layers) cost next to nothing."""
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = False
