"""The device of a run, its settings, and the transfer of arrays to it."""

# torch's questions to a processor have no public names in all of its versions
# pyright: reportPrivateUsage=false

import ctypes
import logging
import os
import platform
import sys
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.params import TrainRun

logger = logging.getLogger(__name__)

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of glibc's mallopt."""
_KEEP_BYTES = (1 << 31) - 1


def default_device() -> torch.device:
    """The GPU if there is one, with matrix products and convolutions in full float32; else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    _allow_tf32(False)
    return torch.device("cuda")


def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32: not on an x86 processor without instructions for it."""
    if device.type != "cpu" or platform.machine() not in {"x86_64", "AMD64"}:
        return True
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def prepare(run: TrainRun, device: torch.device) -> None:
    """Configure this process for a run: threads, memory, and the kernels of a GPU."""
    torch.set_num_threads(run.threads)
    if run.speed.precision == "bfloat16" and not has_bfloat16(device):
        logger.warning(
            "precision bfloat16: this processor has no instructions for it and would be about 3 times slower; "
            "computing in float32"
        )
    if device.type != "cuda":
        # glibc's malloc reuses freed memory instead of returning it to the system, which zeroes its pages again
        if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
            libc.mallopt(_MMAP_MAX, 0)
            libc.mallopt(_TRIM_THRESHOLD, _KEEP_BYTES)
        return
    _allow_tf32(run.speed.precision != "float32")
    torch.backends.cudnn.benchmark = not run.deterministic  # a run has few shapes, each used for days
    if run.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # required by cuBLAS for reproducible sums
        torch.use_deterministic_algorithms(True)
        # filling uninitialised tensors costs time, and no result depends on their content
        torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]


def to_device(values: NDArray[Any], device: torch.device) -> Tensor:
    """Copy an array to the device; the host does not wait for a GPU."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _allow_tf32(allowed: bool) -> None:
    """In convolutions only: the few matrix products (dense layers, kernels of fused layers) take hardly any time."""
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = False
